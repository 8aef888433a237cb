"""How a server is doing, in a line: when a signal asks (SIGUSR1), or every so many seconds.

    status engine=iterative accepted=12 waiting=3 refused=0 connections=1

``waiting`` have connected and were not accepted yet: they sit in the kernel's backlog. "-" where
the system does not tell: outside of Linux. With workers the line is the sum of all, and a line for
each follows::

    status worker=0 pid=4711 accepted=12 waiting=3 refused=0 connections=1

There ``waiting`` is what only this worker can accept: "-" where they share a listener, and of one
that is retired. Said whatever the log level, since somebody asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from jackfield import lazy_typing as t
from jackfield.kernel.options import backlog_length
from jackfield.kernel.sockets import Listener
from jackfield.log import INFO, log


def waiting(listeners: Iterable[Listener]) -> int | str:
    """How many wait at ``listeners``, at those together of which it is known; "-" if of none."""
    lengths = [backlog_length(one.sock) for one in listeners if one.fileno() >= 0]
    known = [length for length in lengths if length is not None]
    return sum(known) if known else "-"


class Status:
    """Of ``engine``, called ``name``, which accepts from ``listeners``; with workers each accepts
    from its own of ``copies``, which may be the same ones."""

    def __init__(
        self,
        name: str,
        engine: t.Any,
        listeners: Iterable[Listener],
        copies: Sequence[Iterable[Listener]] = (),
    ) -> None:
        self._name = name
        self._engine = engine
        several = (listeners, *copies)
        self._listeners = list({id(one): one for those in several for one in those}.values())
        self._copies = [list(copy) for copy in copies]

    def line(self) -> str:
        """The counters now. In the engine's thread."""
        return f"status engine={self._name} " + _said(
            self._engine.statistics(), waiting(self._listeners)
        )

    def lines(self) -> list[str]:
        """The same, and a line for each worker, if there are any."""
        lines = [self.line()]
        for one in getattr(self._engine, "counts", list)():
            queue = "-" if one.retired else waiting(self._own(one.number))
            said = _said(one.statistics, queue) + " retired" * one.retired
            lines.append(f"status worker={one.number} pid={one.pid} {said}")
        return lines

    def _own(self, worker: int) -> Iterable[Listener]:
        """The listeners that this worker alone accepts from."""
        if not self._copies:
            return
        others = [copy for number, copy in enumerate(self._copies) if number != worker]
        for listener in self._copies[worker]:
            if not any(listener is one for copy in others for one in copy):
                yield listener

    def say(self) -> None:
        """Log the lines. In the engine's thread."""
        told = log().getChild("status")
        told.setLevel(INFO)
        for line in self.lines():
            told.info("%s", line)

    def repeat(self, seconds: float) -> None:
        """Say it every ``seconds``, from now on."""
        self._engine.call_later(seconds, self._again, seconds)

    def _again(self, seconds: float) -> None:
        self.say()
        self.repeat(seconds)


def _said(counted: t.Any, waiting: int | str) -> str:
    return (
        f"accepted={counted.accepted} waiting={waiting} "
        f"refused={counted.refused} connections={counted.connections}"
    )
