"""Engines by name: which work on this system, which is best, and why one is missing.

``auto`` takes the first of ``AUTOMATIC`` that works. An engine's file is imported when it is made.
"""

from __future__ import annotations

import os
import socket
import sys
import types
from collections.abc import Callable, Sequence

from jackfield import _native, pollers
from jackfield import lazy_typing as t
from jackfield.engines.base import Options, Statistics
from jackfield.errors import UsageError
from jackfield.instrument import Instrument
from jackfield.kernel import io_uring

if t.TYPE_CHECKING:
    from jackfield.engines.reactor import Reactor

__all__ = [
    "ABOUT",
    "AUTO",
    "AUTOMATIC",
    "COMPILED",
    "COROUTINES",
    "NAMES",
    "ONE_THREAD",
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
    "uring": "one thread for all, its hot path compiled, on io_uring(7): the kernel completes",
    "native": "one thread for all, its hot path compiled, on epoll(7) or kqueue(2)",
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
"""What each engine is, in a line. Best first."""

NAMES: t.Final = tuple(ABOUT)
"""Every engine."""

COMPILED: t.Final = ("uring", "native")
"""Those whose hot path is in C, and may be missing where that was not compiled."""

AUTOMATIC: t.Final = (*COMPILED, *pollers.NAMES)
"""What ``auto`` takes the first of that works: one thread, and nothing to install. Best first."""

COROUTINES: t.Final = ("asyncio", "uvloop")
"""Those where a protocol may be a coroutine: ``async def handle(stream)``."""

CO_COROUTINE: t.Final = 0x80
"""``inspect.CO_COROUTINE``: the code is that of ``async def``."""

ONE_THREAD: t.Final = (*AUTOMATIC, *COROUTINES)
"""Those that serve everybody in one thread, so that a process with them can be forked."""


def missing(name: str) -> str | None:
    """Why the engine ``name`` cannot be used on this system, or None if it can."""
    if name in pollers.NAMES:
        return pollers.missing(name)
    if name == "uring":
        return io_uring.missing()
    if name == "native":
        return _native.missing("loop")
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
    import importlib.util

    if name == "uvloop" and importlib.util.find_spec("uvloop") is None:
        return "it is not installed (pip install 'jackfield[uvloop]')"
    return None


def choose(name: str, instruments: Sequence[Instrument] = ()) -> str:
    """The engine that ``name`` stands for, and which serves ``instruments``. Raises ``UsageError``
    for an unknown or missing one."""
    reports_calls = any(instrument.wants_calls for instrument in instruments)
    unfit = COMPILED if reports_calls else ()
    if name == AUTO:
        taken = next(name for name in AUTOMATIC if name not in unfit and missing(name) is None)
        if not unfit:
            _say_what_is_passed_over(taken)
        return taken
    if name not in NAMES:
        raise UsageError(f"unknown engine {name!r}; known: {AUTO} {' '.join(NAMES)}")
    if name in unfit:
        raise UsageError(
            f"engine {name} is compiled and does not report its calls; use --engine {AUTO}, or "
            "trace the process from outside (jackfield trace PID)"
        )
    why = missing(name)
    if why is not None:
        raise UsageError(f"engine {name} is not available here: {why}; use --engine {AUTO}")
    return name


def _say_what_is_passed_over(taken: str) -> None:
    """Log, once in a process, why ``auto`` does not take an engine that this system could have."""
    for name in AUTOMATIC[: AUTOMATIC.index(taken)]:
        if name in COMPILED and name not in _passed_over and name not in _ELSEWHERE:
            _passed_over.add(name)
            from jackfield.log import log

            log().info("engine %s is not used: %s; %s serves", name, missing(name), taken)


_passed_over: set[str] = set()
_ELSEWHERE: t.Final = frozenset() if sys.platform == "linux" else frozenset({"uring"})
"""Compiled engines that only another system can have."""


def make(name: str, options: Options, instruments: Sequence[Instrument] = ()) -> Reactor:
    """A new engine, ready to listen. ``name`` as ``choose`` takes it."""
    name = choose(name, instruments)
    if name == "uring":
        from jackfield.engines.uring import UringReactor

        return UringReactor(options, instruments)
    if name == "native":
        from jackfield.engines.native import NativeReactor

        return NativeReactor(options, instruments)
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
    if _is_plain(factory):
        return False
    import inspect  # takes as long to load as a server does

    return any(map(inspect.iscoroutinefunction, (factory, type(factory).__call__)))


def _is_plain(factory: object) -> bool:
    """Is it surely none: a class, or a function of ``def`` or ``lambda`` without a mark?"""
    if isinstance(factory, types.FunctionType):
        return not factory.__code__.co_flags & CO_COROUTINE and not vars(factory)
    return type(factory) is type


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
