"""Who may come in: connections in all and per host. Counts and judges; its engine closes, except
that who turns out later to be one too many is evicted (``count_anew``). Must not log."""

from __future__ import annotations

import time
import typing as t
from collections.abc import Callable, Iterable

from jackfield import limits
from jackfield.address import format_sockaddr
from jackfield.engines.base import Options, Statistics
from jackfield.errors import NotAdmitted
from jackfield.instrument import Instrument
from jackfield.kernel.options import descriptor_limit
from jackfield.rooms.flood import TokenBucket


def count_anew(
    transport: t.Any,
    before: t.Any,
    admission: Admission,
    statistics: Statistics,
    instruments: Iterable[Instrument],
) -> None:
    """What an engine does when ``transport.peername``, which was ``before``, has become the
    address of a proxy's client: count that host, tell it, close it if there are too many."""
    refusal = admission.rename(before, transport.peername)
    via = format_sockaddr(transport.sock.family, before)
    for instrument in instruments:
        instrument.proxied(transport, via)
    if refusal is not None:
        statistics.refused += 1
        transport.evict(NotAdmitted("too many connections of its host", refusal))


class Admission:
    """Counts the connections that hold a descriptor."""

    __slots__ = ("_by_host", "_clock", "_max", "_max_per_host", "_proxies", "_rate", "count")

    def __init__(self, options: Options, clock: Callable[[], float] = time.monotonic) -> None:
        self.count = 0
        self._clock = clock
        rate = options.max_per_second
        self._rate = TokenBucket(rate, max(1.0, rate)) if rate else None
        self._max = options.max_connections or max(
            1, descriptor_limit() - limits.DESCRIPTOR_RESERVE
        )
        self._max_per_host = options.max_per_host
        self._proxies = options.proxies
        self._by_host: dict[str, int] = {}

    def refusal(self, peername: t.Any) -> str | None:
        """Why ``peername`` may not come in now, or None. Whom this refuses costs the rate
        nothing: they were closed for another reason."""
        refusal = self._crowded(peername)
        if refusal is None and self._rate is not None and not self._rate.take(1, self._clock()):
            return "max-per-second"
        return refusal

    def _crowded(self, peername: t.Any) -> str | None:
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

    def rename(self, before: t.Any, after: t.Any) -> str | None:
        """The one that came in as ``before`` is ``after``, and counts as such until it leaves.
        Why it may not stay, or None."""
        self.leave(before)
        refusal = self._crowded(after)
        self.enter(after)
        return refusal

    def leave(self, peername: t.Any) -> None:
        """It is gone, its descriptor too."""
        self.count -= 1
        host = self._host(peername)
        if host is not None:
            self._by_host[host] -= 1
            if not self._by_host[host]:
                del self._by_host[host]  # the table is no larger than who is connected

    def _host(self, peername: t.Any) -> str | None:
        """The address to count by; None for who is not counted: Unix sockets are one host, and a
        proxy is as many as it speaks for."""
        if not self._max_per_host or not isinstance(peername, tuple):
            return None
        host: str = peername[0]
        return None if self._proxies is not None and peername in self._proxies else host
