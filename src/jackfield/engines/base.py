"""What every engine takes and tells: its options and its counters. Knows no engine."""

from __future__ import annotations

import dataclasses

from jackfield import limits


@dataclasses.dataclass(frozen=True, slots=True)
class Options:
    """Limits an engine holds its connections to; 0 lifts each. Times are seconds."""

    max_connections: int = limits.MAX_CONNECTIONS
    max_per_host: int = limits.MAX_PER_HOST
    idle_timeout: float = limits.IDLE_TIMEOUT
    login_timeout: float = limits.LOGIN_TIMEOUT


@dataclasses.dataclass(slots=True)
class Statistics:
    """Counters since the engine was made, and ``connections``: how many stand now."""

    accepted: int = 0
    refused: int = 0
    accept_failures: int = 0
    lost: int = 0
    ticks: int = 0
    connections: int = 0
