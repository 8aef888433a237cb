"""Engines by name: which work on this system, which is best, and why one is missing.

``auto`` takes the first of ``NAMES`` that works. An engine's file is imported when it is made.
"""

from __future__ import annotations

import typing as t
from collections.abc import Sequence

from jackfield import pollers
from jackfield.engines.base import Options, Statistics
from jackfield.errors import UsageError
from jackfield.instrument import Instrument

if t.TYPE_CHECKING:
    from jackfield.engines.reactor import Reactor

__all__ = ["AUTO", "NAMES", "Options", "Statistics", "choose", "make", "missing"]

AUTO: t.Final = "auto"

NAMES: t.Final = pollers.NAMES
"""Every engine, best first: today the reactor on each poller."""


def missing(name: str) -> str | None:
    """Why the engine ``name`` cannot be used on this system, or None if it can."""
    return pollers.missing(name)


def choose(name: str) -> str:
    """The engine that ``name`` stands for. Raises ``UsageError`` for an unknown or missing one."""
    if name == AUTO:
        return pollers.best()
    if name not in NAMES:
        raise UsageError(f"unknown engine {name!r}; known: {AUTO} {' '.join(NAMES)}")
    why = missing(name)
    if why is not None:
        raise UsageError(f"engine {name} is not available here: {why}; use --engine {AUTO}")
    return name


def make(name: str, options: Options, instruments: Sequence[Instrument] = ()) -> Reactor:
    """A new engine, ready to listen. ``name`` as ``choose`` takes it."""
    from jackfield.engines.reactor import Reactor

    return Reactor(pollers.make(choose(name)), options, instruments)
