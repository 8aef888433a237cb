"""What a transport needs of the engine that drives it: the seam between floors 4 and 5.

A transport names this contract and never imports an engine; ``engines.reactor.Reactor`` fulfils it.
"""

from __future__ import annotations

import typing as t

from jackfield.protocol import Engine


class Driver(Engine, t.Protocol):
    """What a transport needs of the engine that drives it."""

    now: float
    """The tick's time in seconds, on the monotonic clock."""

    max_held: int
    """Bytes that may wait for one peer; 0: any number."""

    def watch(self, fd: int, old: int, new: int) -> None:
        """The interest in ``fd`` changes from ``old`` to ``new`` (0: none)."""

    def renamed(self, transport: t.Any, before: t.Any) -> None:
        """The connection's ``peername`` was ``before`` and is another now: count it anew."""

    def lost(self, transport: t.Any, exc: BaseException | None, reason: str) -> None:
        """``connection_lost`` has been called: no more callbacks for this one."""

    def gone(self, transport: t.Any) -> None:
        """Forget the transport and close its socket at the end of the tick."""
