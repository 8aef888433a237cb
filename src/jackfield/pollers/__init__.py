"""Pollers by name: which this system has, which is best, and why one is missing.

Each poller's file is imported when it is chosen, so that a system without epoll or kqueue never
touches theirs. Must not know engines.
"""

from __future__ import annotations

import importlib
import select as system  # "select" becomes our own module, once that is imported

from jackfield import lazy_typing as t
from jackfield.pollers.base import ERROR, HANGUP, READ, WRITE, NestedPoller, Poller, Ready

__all__ = [
    "ERROR",
    "HANGUP",
    "NAMES",
    "NESTED",
    "READ",
    "WRITE",
    "NestedPoller",
    "Poller",
    "Ready",
    "best",
    "make",
    "make_nested",
    "missing",
]

NAMES: t.Final = ("epoll", "kqueue", "poll", "select")
"""Best first: what is ready costs (epoll, kqueue), or what is watched costs (poll), or what is
watched costs and is bounded too (select)."""

NESTED: t.Final = ("epoll", "kqueue")
"""Those that are descriptors themselves."""

_WHERE: t.Final = {
    "epoll": "epoll(7) is Linux's",
    "kqueue": "kqueue(2) is macOS's and the BSDs'",
    "poll": "poll(2) is Unix's",
    "select": "this Python was built without select",
}
_CLASSES: t.Final = {
    "epoll": "EpollPoller",
    "kqueue": "KqueuePoller",
    "poll": "PollPoller",
    "select": "SelectPoller",
}


def missing(name: str) -> str | None:
    """Why poller ``name`` cannot be used on this system, or None if it can."""
    return None if hasattr(system, name) else _WHERE[name]


def best() -> str:
    """The name of the best poller of this system."""
    return next(name for name in NAMES if missing(name) is None)


def make(name: str) -> Poller:
    """A new poller. Raises ``KeyError`` for a name not in ``NAMES``, ``OSError`` when the
    process has no descriptor left for it."""
    class_name = _CLASSES[name]
    module = importlib.import_module(f"jackfield.pollers.{name}")
    poller: Poller = getattr(module, class_name)()
    return poller


def make_nested() -> NestedPoller:
    """A new poller that another one can wait for. Raises ``KeyError`` where there is none (see
    ``NESTED``), ``OSError`` as ``make``."""
    name = best()
    if name not in NESTED:
        raise KeyError(name)
    return t.cast(NestedPoller, make(name))
