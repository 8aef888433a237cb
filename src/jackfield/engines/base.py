"""What every engine takes and tells: its options and its counters. Knows no engine."""

from __future__ import annotations

import socket
from collections.abc import Container, Iterable

from jackfield import lazy_typing as t
from jackfield import limits
from jackfield.errors import UsageError
from jackfield.instrument import Instrument


def at_least(name: str, value: float, least: float) -> float:
    """``value``, if it is ``least`` or more. Raises ``UsageError``."""
    if not value >= least:  # also a NaN
        raise UsageError(f"{name} must be {least:g} or more, not {value!r}")
    return value


class Options:
    """Limits an engine holds its connections to; 0 lifts each, and less raises ``UsageError``.
    Times are seconds. Never changed: several engines may have the same.

    ``max_held``: bytes that may wait for one peer; whoever makes more wait is closed as lagging.
    ``drain``: seconds that child processes take to flush when they are told to stop. ``proxies``:
    peer addresses that are not counted per host, as they speak for others. ``threads_max``:
    connections the engine ``thread`` serves at a time; others wait in the backlog.
    ``thread_stack``: bytes of stack of each of its threads; 0: the system's own default.
    ``shared``: where connections are counted together with other processes' (``scoreboard``).
    ``statistics``: the counters to use, where others are to see them; None: new ones.
    """

    def __init__(
        self,
        *,
        max_connections: int = limits.MAX_CONNECTIONS,
        max_per_host: int = limits.MAX_PER_HOST,
        idle_timeout: float = limits.IDLE_TIMEOUT,
        login_timeout: float = limits.LOGIN_TIMEOUT,
        max_held: int = limits.MAX_HELD,
        drain: float = limits.DRAIN,
        proxies: Container[t.Any] | None = None,
        max_per_second: float = limits.MAX_PER_SECOND,
        threads_max: int = limits.THREADS_MAX,
        thread_stack: int = limits.THREAD_STACK,
        shared: SharedCounts | None = None,
        statistics: Statistics | None = None,
    ) -> None:
        self.max_connections = int(at_least("max_connections", max_connections, 0))
        self.max_per_host = int(at_least("max_per_host", max_per_host, 0))
        self.idle_timeout = at_least("idle_timeout", idle_timeout, 0)
        self.login_timeout = at_least("login_timeout", login_timeout, 0)
        self.max_held = int(at_least("max_held", max_held, 0))
        self.drain = at_least("drain", drain, 0)
        self.proxies = proxies
        self.max_per_second = at_least("max_per_second", max_per_second, 0)
        self.threads_max = int(at_least("threads_max", threads_max, 0))
        self.thread_stack = int(at_least("thread_stack", thread_stack, 0))
        self.shared = shared
        self.statistics = statistics

    def sharing(self, shared: SharedCounts, statistics: Statistics | None = None) -> Options:
        """The same, for a process that counts together with others."""
        import copy  # for who forks alone

        made = copy.copy(self)
        made.shared = shared
        made.statistics = statistics or self.statistics
        return made


class SharedCounts(t.Protocol):
    """What ``Admission`` asks where the limits are those of several processes together. ``host``:
    the peer's address, or None for who is not counted by it."""

    def reserve(self, host: str | None) -> str | None:
        """A place for a new connection; or why there is none."""

    def enter(self, host: str | None) -> None:
        """It stands."""

    def withdraw(self, host: str | None) -> None:
        """It came to nothing: the place, if one is reserved, is free again."""

    def leave(self, host: str | None) -> None:
        """A connection is gone."""

    def rename(self, before: str | None, after: str | None) -> str | None:
        """Its host is another one. Why it may not stay, or None."""


COUNTERS: t.Final = ("accepted", "refused", "accept_failures", "lost", "ticks", "connections")
"""The fields of ``Statistics``."""


class Statistics:
    """Counters since the engine was made, and ``connections``: how many stand now."""

    __slots__ = COUNTERS

    def __init__(
        self,
        *,
        accepted: int = 0,
        refused: int = 0,
        accept_failures: int = 0,
        lost: int = 0,
        ticks: int = 0,
        connections: int = 0,
    ) -> None:
        self.accepted = accepted
        self.refused = refused
        self.accept_failures = accept_failures
        self.lost = lost
        self.ticks = ticks
        self.connections = connections

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Statistics):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in COUNTERS)

    __hash__ = None  # type: ignore[assignment]  # it counts on

    def __repr__(self) -> str:
        counted = (f"{name}={getattr(self, name)}" for name in COUNTERS)
        return f"Statistics({', '.join(counted)})"


if t.TYPE_CHECKING:
    AnySocket = t.TypeVar("AnySocket", bound=socket.socket)


def traced(sock: AnySocket, instruments: Iterable[Instrument]) -> AnySocket:
    """``sock`` itself, or where one of ``instruments`` wants calls, one that reports them."""
    watching = [instrument for instrument in instruments if instrument.wants_calls]
    if not watching:
        return sock
    from jackfield.kernel.traced_socket import traced as tracing

    return tracing(sock, watching)
