"""Who may come in: connections in all and per host. Counts only; closes nothing, logs nothing."""

from __future__ import annotations

import typing as t

from jackfield import limits
from jackfield.engines.base import Options
from jackfield.kernel.options import descriptor_limit


class Admission:
    """Counts the connections that hold a descriptor."""

    __slots__ = ("_by_host", "_max", "_max_per_host", "count")

    def __init__(self, options: Options) -> None:
        self.count = 0
        self._max = options.max_connections or max(
            1, descriptor_limit() - limits.DESCRIPTOR_RESERVE
        )
        self._max_per_host = options.max_per_host
        self._by_host: dict[str, int] = {}

    def refusal(self, peername: t.Any) -> str | None:
        """Why ``peername`` may not come in now, or None."""
        if self.count >= self._max:
            return "max-connections"
        host = self._host(peername)
        if host is not None and self._by_host.get(host, 0) >= self._max_per_host:
            return "max-per-host"
        return None

    def enter(self, peername: t.Any) -> None:
        """One more connection stands."""
        self.count += 1
        host = self._host(peername)
        if host is not None:
            self._by_host[host] = self._by_host.get(host, 0) + 1

    def leave(self, peername: t.Any) -> None:
        """It is gone, its descriptor too."""
        self.count -= 1
        host = self._host(peername)
        if host is not None:
            self._by_host[host] -= 1
            if not self._by_host[host]:
                del self._by_host[host]  # the table is no larger than who is connected

    def _host(self, peername: t.Any) -> str | None:
        """The address to count by; None where hosts are not counted (Unix sockets are one)."""
        if not self._max_per_host or not isinstance(peername, tuple):
            return None
        host: str = peername[0]
        return host
