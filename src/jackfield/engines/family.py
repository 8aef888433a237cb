"""The children of a process that is also their hub: made, linked, stopped and reaped.

``Parent`` is what the fork engine (a child per connection) and the supervisor (a child per worker)
have in common; ``Family`` is its children, from when it runs. That a child has ended is seen by the
end of its link, so no SIGCHLD is needed. Must not know what the children serve.
"""

from __future__ import annotations

import itertools
import signal
import socket
import typing as t
from collections.abc import Sequence

from jackfield import pollers, replicated
from jackfield.bus.hub import Hub
from jackfield.bus.link import Link
from jackfield.bus.messages import Question
from jackfield.engines.base import Options
from jackfield.engines.reactor import Reactor
from jackfield.engines.view import Afar, Answers, Heard
from jackfield.errors import UsageError
from jackfield.instrument import Instrument
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


class Parent(Reactor):
    """A reactor that serves nobody itself: its connections are the links to its children."""

    def __init__(
        self, options: Options | None = None, instruments: Sequence[Instrument] = ()
    ) -> None:
        super().__init__(pollers.make(pollers.best()), options, instruments)
        self._family: Family | None = None

    @property
    def family(self) -> Family:
        """The children, while it runs."""
        return t.cast(Family, self._family)

    def run(self) -> None:
        """Serve until ``stop``; then every child has ended. Raises ``UsageError`` beside another
        server with several processes."""
        try:
            self._family = Family(self)
        except UsageError:
            self.close()
            raise
        self.begin()
        try:
            super().run()
        finally:
            self._family.close()

    def begin(self) -> None:
        """From now on there may be children."""

    def make_engine(self, what: t.Any) -> Reactor:
        """The engine to run in a child, which calls this."""
        raise NotImplementedError

    def child_ready(self, child: Child) -> None:
        """Its engine runs."""

    def child_ended(self, child: Child, how: Ended) -> None:
        """It has been reaped."""
        raise NotImplementedError

    def sources(self) -> list[Afar]:
        """Who knows how the clients do: the children."""
        return self._family.sources() if self._family else []

    def _stop_when_empty(self) -> None:
        if self._stopping and not self._family:  # not begun, or nobody left
            self._stopped = True


class Family:
    """All children of ``parent``'s process. Raises ``UsageError`` where there is a hub already."""

    def __init__(self, parent: Parent) -> None:
        self._parent = parent
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
        self._parent.add_link(ours, link)
        self._hub.joined(link)
        return child

    def _live(self, child: Child, ours: socket.socket, theirs: socket.socket) -> None:
        """The child's whole life."""
        ours.close()
        self._parent.abandon()
        engine = self._parent.make_engine(child.what)
        answers = Answers(engine)
        link = Link(lambda: engine.stop(0), engine.retire, engine.hold_clients, answers)
        replicated.connect(link, child.process)
        engine.add_link(theirs, link)
        engine.call_soon(link.say_ready)
        drain = self._parent.options.drain
        with handling({signal.SIGTERM: lambda: engine.stop(drain)}, engine.wakeup_fd):
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
        timer = self._parent.call_later(ANSWER_WITHIN, self._answered, stream, None)
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
        self._parent.child_ready(self._children[process])

    def _link_lost(self, process: int) -> None:
        self._reap(self._children[process], REAP_TRIES)

    def _reap(self, child: Child, tries: int) -> None:
        how = processes.reap(child.pid)
        if how is not None:
            del self._children[child.process]
            self._parent.child_ended(child, how)
            return
        if not tries:
            processes.send(child.pid, signal.SIGKILL)
        self._parent.call_later(REAP_EVERY, self._reap, child, max(0, tries - 1))
