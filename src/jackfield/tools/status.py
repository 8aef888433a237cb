"""How a server is doing, in a line: when a signal asks (SIGUSR1), or every so many seconds.

    status engine=iterative accepted=12 waiting=3 refused=0 connections=1

``waiting`` have connected and were not accepted yet: they sit in the kernel's backlog. "-" where
the system does not tell: outside of Linux, and for Unix sockets. Said whatever the log level, since
somebody asked.
"""

from __future__ import annotations

import logging
import typing as t
from collections.abc import Iterable

from jackfield.kernel.options import backlog_length
from jackfield.kernel.sockets import Listener

log = logging.getLogger("jackfield.status")
log.setLevel(logging.INFO)


class Status:
    """Of ``engine``, called ``name``, which accepts from ``listeners``."""

    def __init__(self, name: str, engine: t.Any, listeners: Iterable[Listener]) -> None:
        self._name = name
        self._engine = engine
        self._listeners = listeners

    def line(self) -> str:
        """The counters now. In the engine's thread."""
        counted = self._engine.statistics()
        lengths = [backlog_length(one.sock) for one in self._listeners if one.fileno() >= 0]
        known = [length for length in lengths if length is not None]
        waiting = sum(known) if known else "-"
        return (
            f"status engine={self._name} accepted={counted.accepted} waiting={waiting} "
            f"refused={counted.refused} connections={counted.connections}"
        )

    def say(self) -> None:
        """Log the line. In the engine's thread."""
        log.info("%s", self.line())

    def repeat(self, seconds: float) -> None:
        """Say it every ``seconds``, from now on."""
        self._engine.call_later(seconds, self._again, seconds)

    def _again(self, seconds: float) -> None:
        self.say()
        self.repeat(seconds)
