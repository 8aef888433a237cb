"""The limits: small servers in C (c/limit*.c), compiled on the spot, measured beside the others.

What jackfield does with a Python protocol at every event they do with nothing between two system
calls. A ratio to a limit says how much of what the kernel gives is reached.
"""

from __future__ import annotations

import subprocess
import typing as t

from jackfield.bench import compiler
from jackfield.bench.servers import Contender


class Limit(t.NamedTuple):
    """``source`` is the part of the program beside limit.c; ``speaks`` as of a contender."""

    title: str
    source: str
    speaks: str = "raw"


_EPOLL: t.Final = Limit("C epoll", "limit_echo")
_SEND_LOOP: t.Final = Limit("C send loop", "limit_room")
_MMSG: t.Final = Limit("C mmsg", "limit_udp")
_LIMITS: t.Final[dict[str, dict[str, Limit]]] = {
    "echo": {"c-epoll": _EPOLL},
    "idle": {"c-epoll": _EPOLL},
    "accept": {"c-epoll": _EPOLL},
    "fanout": {"c-send-loop": _SEND_LOOP},
    "latency": {"c-send-loop": _SEND_LOOP},
    "udp": {"c-mmsg": _MMSG},
}


def names(case: str) -> tuple[str, ...]:
    """What the limits of ``case`` are called on the command line; none for some cases."""
    return tuple(_LIMITS.get(case, ()))


def find(case: str, wanted: t.Iterable[str]) -> list[Contender]:
    """Compile the named limits of ``case``. Raises ``SystemRefused`` where that cannot be."""
    return [_contender(_LIMITS[case][name]) for name in wanted]


def _contender(limit: Limit) -> Contender:
    sources = [compiler.SOURCES / f"{part}.c" for part in ("limit", limit.source)]
    program = compiler.build(limit.source, sources)
    version = _compiler_version()
    return Contender(limit.title, (str(program), "0"), version, speaks=limit.speaks, limit=True)


def _compiler_version() -> str:
    """As in ``gcc 12.2.0 -O2``; without the number where the compiler does not tell it."""
    path = compiler.find_compiler()
    said = subprocess.run(
        [path, "-dumpfullversion", "-dumpversion"], capture_output=True, text=True, check=False
    )
    words = (path.rpartition("/")[2], said.stdout.strip(), compiler.OPTIMISATION)
    return " ".join(word for word in words if word)
