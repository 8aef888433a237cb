"""The log of who came and who left, and, at most once a second, of who could not be served.

An Instrument that writes to the logger "jackfield". Peers' names are escaped by the address module.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from jackfield import lazy_typing as t
from jackfield import limits
from jackfield.errors import reason_of
from jackfield.instrument import Instrument
from jackfield.log import INFO, log


class ConnectionLog(Instrument):
    """``connected fd=5 peer=127.0.0.1:63062``, ``proxied fd=5 peer=192.0.2.1:1024 via=...``,
    ``disconnected fd=5 peer=... reason=eof``."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._said_at: dict[str, float] = {}
        self._unsaid: dict[str, int] = {}

    def connected(self, transport: t.Any) -> None:
        if log().isEnabledFor(INFO):
            log().info("connected fd=%d peer=%s", transport.fd, transport.peer)

    def proxied(self, transport: t.Any, via: str) -> None:
        if log().isEnabledFor(INFO):
            log().info("proxied fd=%d peer=%s via=%s", transport.fd, transport.peer, via)

    def disconnected(self, transport: t.Any, exc: BaseException | None, reason: str) -> None:
        if log().isEnabledFor(INFO):
            log().info("disconnected fd=%d peer=%s reason=%s", transport.fd, transport.peer, reason)

    def refused(self, peer: str, reason: str) -> None:
        self._seldom(reason, f"refused peer={peer} reason={reason}")

    def accept_failed(self, listener: str, exc: OSError) -> None:
        name = reason_of(exc)
        self._seldom(
            name,
            f"accept failed listener={listener} reason={name} ({exc.strerror}); who waits stays "
            f"in the backlog, next try in {limits.ACCEPT_RETRY:g} s",
        )

    def _seldom(self, kind: str, message: str) -> None:
        """Warn now, or count it if the same kind was logged within LOG_INTERVAL."""
        now = self._clock()
        if now - self._said_at.get(kind, float("-inf")) < limits.LOG_INTERVAL:
            self._unsaid[kind] = self._unsaid.get(kind, 0) + 1
            return
        self._said_at[kind] = now
        more = self._unsaid.pop(kind, 0)
        log().warning("%s%s", message, f" ({more} more since the last such line)" if more else "")
