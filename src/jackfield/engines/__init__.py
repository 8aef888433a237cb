"""Engines by name: which work on this system, which is best, and why one is missing.

``auto`` takes the first of ``NAMES`` that works. An engine's file is imported when it is made.
"""

from __future__ import annotations

import importlib.util
import inspect
import os
import socket
import typing as t
from collections.abc import Callable, Sequence

from jackfield import pollers
from jackfield.engines.base import Options, Statistics
from jackfield.errors import UsageError
from jackfield.instrument import Instrument

if t.TYPE_CHECKING:
    from jackfield.engines.reactor import Reactor

__all__ = [
    "ABOUT",
    "AUTO",
    "COROUTINES",
    "NAMES",
    "Options",
    "Statistics",
    "choose",
    "is_coroutine",
    "make",
    "missing",
    "protocol_factory",
]

AUTO: t.Final = "auto"

ABOUT: t.Final = {
    "epoll": "one thread for all, told by epoll(7) who is ready",
    "kqueue": "one thread for all, told by kqueue(2) who is ready",
    "poll": "one thread for all, asks poll(2) about everybody",
    "select": "one thread for all, asks select(2), which knows descriptors below 1024 alone",
    "iterative": "one client at a time, the others wait in the backlog",
    "thread": "a thread for each connection, blocking reads",
    "fork": "a process for each connection",
    "asyncio": "one thread for all, on asyncio's loop: a protocol may be a coroutine",
    "uvloop": "the same on uvloop's loop",
}
"""What each engine is, in a line. Best first; ``auto`` takes one of the pollers."""

NAMES: t.Final = tuple(ABOUT)
"""Every engine."""

COROUTINES: t.Final = ("asyncio", "uvloop")
"""Those where a protocol may be a coroutine: ``async def handle(stream)``."""


def missing(name: str) -> str | None:
    """Why the engine ``name`` cannot be used on this system, or None if it can."""
    if name in pollers.NAMES:
        return pollers.missing(name)
    if name == "thread" and not hasattr(socket, "MSG_DONTWAIT"):
        return "this system has no MSG_DONTWAIT, to write without waiting to a blocking socket"
    if name == "fork" and not hasattr(os, "fork"):
        return "this system cannot fork"
    if name in COROUTINES:
        return _missing_loop(name)
    return None


def _missing_loop(name: str) -> str | None:
    if pollers.best() not in pollers.NESTED:
        return "this system has neither epoll(7) nor kqueue(2), for which another loop can wait"
    if name == "uvloop" and importlib.util.find_spec("uvloop") is None:
        return "it is not installed (pip install 'jackfield[uvloop]')"
    return None


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
    name = choose(name)
    if name == "iterative":
        from jackfield.engines.iterative import Iterative

        return Iterative(options, instruments)
    if name == "thread":
        from jackfield.engines.thread import ThreadEngine

        return ThreadEngine(options, instruments)
    if name == "fork":
        from jackfield.engines.fork import ForkEngine

        return ForkEngine(options, instruments)
    if name in COROUTINES:
        from jackfield.engines.asyncio_loop import AsyncioEngine

        return AsyncioEngine(name, options, instruments)
    from jackfield.engines.reactor import Reactor

    return Reactor(pollers.make(name), options, instruments)


def is_coroutine(factory: object) -> bool:
    """Is it ``async def handle(stream)``, or an object that is called like one?"""
    return any(map(inspect.iscoroutinefunction, (factory, type(factory).__call__)))


def protocol_factory(name: str, factory: Callable[..., t.Any]) -> Callable[[], t.Any]:
    """What makes a stream protocol under the engine ``name``: ``factory``, or for a coroutine
    function what runs it. Raises ``UsageError`` where the engine has no loop to run it."""
    if not is_coroutine(factory):
        return factory
    if name not in COROUTINES:
        shown = getattr(factory, "__qualname__", type(factory).__qualname__)
        raise UsageError(
            f"{shown} is a coroutine function, which the engine {name} cannot run; use --engine "
            f"{' or '.join(COROUTINES)}, or give a protocol class"
        )
    from jackfield.engines.handlers import HandlerFactory

    return HandlerFactory(factory)
