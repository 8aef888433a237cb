"""What every engine takes and tells: its options and its counters. Knows no engine."""

from __future__ import annotations

import dataclasses
import typing as t
from collections.abc import Container

from jackfield import limits


@dataclasses.dataclass(frozen=True, slots=True)
class Options:
    """Limits an engine holds its connections to; 0 lifts each. Times are seconds."""

    max_connections: int = limits.MAX_CONNECTIONS
    max_per_host: int = limits.MAX_PER_HOST
    idle_timeout: float = limits.IDLE_TIMEOUT
    login_timeout: float = limits.LOGIN_TIMEOUT
    max_held: int = limits.MAX_HELD
    """Bytes that may wait for one peer; who makes more of them wait is closed as lagging."""
    drain: float = limits.DRAIN
    """Seconds that child processes take to flush when they are told to stop."""
    proxies: Container[t.Any] | None = None
    """Peer addresses that are not counted per host, as they speak for others."""
    max_per_second: float = limits.MAX_PER_SECOND
    threads_max: int = limits.THREADS_MAX
    """Connections the engine ``thread`` serves at a time; others wait in the backlog."""
    thread_stack: int = limits.THREAD_STACK
    """Bytes of stack of each of its threads; 0: the system's own default."""


@dataclasses.dataclass(slots=True)
class Statistics:
    """Counters since the engine was made, and ``connections``: how many stand now."""

    accepted: int = 0
    refused: int = 0
    accept_failures: int = 0
    lost: int = 0
    ticks: int = 0
    connections: int = 0
