"""Which core is whose, and how many descriptors a process may have.

A child inherits both from the thread that starts it: ``with pinned("server"):`` sets this
thread's, starts, and sets them back, so that no code runs between fork and exec.
"""

from __future__ import annotations

import contextlib
import os
import sys
import typing as t
from collections.abc import Iterator

from jackfield.errors import SystemRefused, UsageError

Role: t.TypeAlias = t.Literal["server", "load"]
SPARE_DESCRIPTORS: t.Final = 64
"""Beside the connections: libraries, a poller, logs, listeners."""


def check_system() -> None:
    """Raise ``SystemRefused`` where bench cannot run: it needs epoll and /proc."""
    if not sys.platform.startswith("linux"):
        raise SystemRefused("bench needs Linux: its load generator uses epoll and /proc")


def usable() -> list[int]:
    """The cores that this thread may run on, in order."""
    return sorted(os.sched_getaffinity(0))


def cores() -> dict[Role, int] | None:
    """The core of each role, or None where this process may use one core only."""
    mine = usable()
    return {"server": mine[0], "load": mine[1]} if len(mine) > 1 else None


@contextlib.contextmanager
def pinned(role: Role) -> Iterator[None]:
    """What this thread starts meanwhile runs on the core of ``role``, and there alone."""
    own = os.sched_getaffinity(0)
    assigned = cores()
    if assigned is None:
        yield
        return
    os.sched_setaffinity(0, {assigned[role]})
    try:
        yield
    finally:
        os.sched_setaffinity(0, own)


def raise_descriptor_limit(connections: int) -> None:
    """Let this process and its children have as many descriptors as the system allows.

    Raises ``UsageError`` when that is too few for ``connections`` in one process.
    """
    import resource  # not on Windows, where check_system has refused already

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard != resource.RLIM_INFINITY and connections + SPARE_DESCRIPTORS > hard:
        raise UsageError(
            f"{connections} connections need {connections + SPARE_DESCRIPTORS} descriptors and "
            f"the limit is {hard}: ask for fewer, or raise it (ulimit -Hn)"
        )
