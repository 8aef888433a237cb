"""Who may come in: connections in all and per host. Counts and judges; its engine closes, except
that who turns out later to be one too many is evicted (``count_anew``). Must not log."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from jackfield import lazy_typing as t
from jackfield import limits
from jackfield.address import format_sockaddr
from jackfield.engines.base import Options, Statistics
from jackfield.errors import NotAdmitted
from jackfield.instrument import Instrument
from jackfield.kernel.options import descriptor_limit

if t.TYPE_CHECKING:
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
    """Counts the connections that hold a descriptor, and where ``options.shared`` is given, tells
    it and obeys what it says of all processes."""

    __slots__ = (
        *("_by_host", "_clock", "_max", "_max_per_host", "_proxies", "_rate", "_shared"),
        "_counts_only",
        "count",
    )

    def __init__(self, options: Options, clock: Callable[[], float] = time.monotonic) -> None:
        self.count = 0
        self._clock = clock
        self._shared = options.shared
        rate = options.max_per_second if self._shared is None else 0
        self._rate = _bucket(rate) if rate else None
        self._max = options.max_connections or max(
            1, descriptor_limit() - limits.DESCRIPTOR_RESERVE
        )
        self._max_per_host = options.max_per_host
        self._proxies = options.proxies
        self._by_host: dict[str, int] = {}
        # The usual case: nothing but a number is kept, for each of thousands a second.
        self._counts_only = not (rate or self._max_per_host or self._shared)

    def refusal(self, peername: t.Any) -> str | None:
        """Why ``peername`` may not come in now, or None: then ``enter`` or ``withdraw`` comes
        next. Whom this refuses costs the rate nothing: they were closed for another reason."""
        if self._counts_only and self.count < self._max:
            return None
        refusal = self._crowded(peername)
        if refusal is None and self._shared is not None:
            return self._shared.reserve(self._host(peername))
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
        if self._counts_only:
            self.count += 1
            return
        self._come(peername)
        if self._shared is not None:
            self._shared.enter(self._host(peername))

    def withdraw(self, peername: t.Any) -> None:
        """Who could have come in was turned away for a reason that is not counted here."""
        if self._shared is not None:
            self._shared.withdraw(self._host(peername))

    def _come(self, peername: t.Any) -> None:
        self.count += 1
        host = self._host(peername)
        if host is not None:
            self._by_host[host] = self._by_host.get(host, 0) + 1

    def rename(self, before: t.Any, after: t.Any) -> str | None:
        """The one that came in as ``before`` is ``after``, and counts as such until it leaves.
        Why it may not stay, or None."""
        self._go(before)
        refusal = self._crowded(after)
        self._come(after)
        if self._shared is not None:
            elsewhere = self._shared.rename(self._host(before), self._host(after))
            refusal = refusal or elsewhere
        return refusal

    def leave(self, peername: t.Any) -> None:
        """It is gone, its descriptor too."""
        if self._counts_only:
            self.count -= 1
            return
        self._go(peername)
        if self._shared is not None:
            self._shared.leave(self._host(peername))

    def _go(self, peername: t.Any) -> None:
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


def _bucket(rate: float) -> TokenBucket:
    from jackfield.rooms.flood import TokenBucket

    return TokenBucket(rate, max(1.0, rate))
