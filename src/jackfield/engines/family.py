"""The children of a process that is also their hub: made, linked, stopped and reaped.

What the fork engine (a child per connection) and the supervisor (a child per worker) share. That a
child has ended is seen by the end of its link, so no SIGCHLD is needed. Must not know what the
children serve.
"""

from __future__ import annotations

import itertools
import signal
import socket
import typing as t
from collections.abc import Callable

from jackfield import replicated
from jackfield.bus.hub import Hub
from jackfield.bus.link import Link
from jackfield.bus.messages import Question
from jackfield.engines.reactor import Reactor
from jackfield.engines.view import Afar, Answers, Heard
from jackfield.kernel import processes
from jackfield.kernel.processes import Ended
from jackfield.kernel.signals import handling

REAP_EVERY: t.Final = 0.02
"""Seconds between looks at a child whose link has ended: the kernel closes a process's descriptors
a moment before it can be reaped."""

REAP_TRIES: t.Final = 250
"""Looks before such a child is killed: five seconds. Without a link it serves nobody."""

ANSWER_WITHIN: t.Final = 1.0
"""Seconds in which a child says how it does: many times its longest tick. One that is stopped must
not keep who asks from hearing of the others."""

LARGEST_NUMBER: t.Final = 2**32 - 1
"""Of a question; after some billions they begin anew."""

KILL_AFTER: t.Final = 2.0
"""Seconds beyond the drain that a child has before it is killed."""


class Child:
    """One child: its number in the order of replicas, and its pid."""

    __slots__ = ("pid", "process", "what")

    def __init__(self, process: int, what: t.Any) -> None:
        self.process = process
        self.pid = 0
        self.what = what


class Family:
    """All children of ``reactor``'s process.

    ``make_engine(what)`` is called in a child and returns the engine to run there.
    ``ended(child, how)`` is called in the parent when a child has been reaped; ``ready(child)``
    when its engine runs.
    """

    def __init__(
        self,
        reactor: Reactor,
        make_engine: Callable[[t.Any], Reactor],
        ended: Callable[[Child, Ended], object],
        ready: Callable[[Child], object] = lambda child: None,
        drain: float = 0.0,
    ) -> None:
        self._reactor = reactor
        self._make_engine = make_engine
        self._ended = ended
        self._ready = ready
        self._drain = drain
        self._numbers = itertools.count(1)
        self._children: dict[int, Child] = {}
        self._hub = Hub(self._link_lost, self._link_ready, self._answered)
        self._questions = itertools.count(1)
        self._asked: dict[int, tuple[Heard, t.Any]] = {}  # whom to tell, and until when

    def __len__(self) -> int:
        return len(self._children)

    def bear(self, what: t.Any) -> Child:
        """Fork a child to serve ``what``. Raises ``OSError`` where the system refuses."""
        child = Child(next(self._numbers), what)
        ours, theirs = socket.socketpair()
        try:
            child.pid = processes.fork(lambda: self._live(child, ours, theirs))
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        self._children[child.process] = child
        link = self._hub.link(child.process)
        self._reactor.add_link(ours, link)
        self._hub.joined(link)
        return child

    def _live(self, child: Child, ours: socket.socket, theirs: socket.socket) -> None:
        """The child's whole life."""
        ours.close()
        self._reactor.abandon()
        engine = self._make_engine(child.what)
        answers = Answers(engine)
        link = Link(lambda: engine.stop(0), engine.retire, engine.hold_clients, answers)
        replicated.connect(link, child.process)
        engine.add_link(theirs, link)
        engine.call_soon(link.say_ready)
        with handling({signal.SIGTERM: lambda: engine.stop(self._drain)}, engine.wakeup_fd):
            processes.obey_signals()
            engine.run()

    def retire(self, child: Child) -> None:
        """Have the child accept nobody any more, and end when its last client has left."""
        self._hub.retire(child.process)

    def signal_all(self, number: signal.Signals) -> None:
        """Signal every child."""
        for child in self._children.values():
            processes.send(child.pid, number)

    def close(self) -> None:
        """End at once who is left, and order nothing any more."""
        self.signal_all(signal.SIGKILL)
        for child in self._children.values():
            processes.wait(child.pid)
        self._children.clear()
        self._hub.close()

    # --- what the children tell of themselves ------------------------------------------------

    def sources(self) -> list[Afar]:
        """The children, to be asked how they do."""
        return [Afar(self, child.process, child.pid) for child in self._children.values()]

    def new_stream(self) -> int:
        """A number for what is asked for in several parts."""
        return next(self._questions) & LARGEST_NUMBER

    def ask(self, process: int, topic: int, stream: int, part: int, heard: Heard) -> None:
        """Ask a child; ``heard`` is called later, with None if it does not answer in time."""
        timer = self._reactor.call_later(ANSWER_WITHIN, self._answered, stream, None)
        self._asked[stream] = heard, timer
        self._hub.ask(process, Question(stream, topic, part))

    def _answered(self, stream: int, data: bytes | None) -> None:
        asked = self._asked.pop(stream, None)
        if asked is not None:  # else it is too late
            heard, timer = asked
            timer.cancel()
            heard(data)

    # --- links -------------------------------------------------------------------------------

    def _link_ready(self, process: int) -> None:
        self._ready(self._children[process])

    def _link_lost(self, process: int) -> None:
        self._reap(self._children[process], REAP_TRIES)

    def _reap(self, child: Child, tries: int) -> None:
        how = processes.reap(child.pid)
        if how is not None:
            del self._children[child.process]
            self._ended(child, how)
            return
        if not tries:
            processes.send(child.pid, signal.SIGKILL)
        self._reactor.call_later(REAP_EVERY, self._reap, child, max(0, tries - 1))
