"""What the protocols of ``probe.py`` are made of: reports, and the choice of what is played.

Every callback is reported as a line of JSON on standard output, whichever process or thread it came
in: whose connection (its peer's address), which process, what, and a detail.
"""

from __future__ import annotations

import functools
import json
import os
import random
import typing as t

from jackfield import Protocol

BIG: t.Final = 8 * 1024 * 1024
"""Bytes that no pair of kernel buffers takes: some of them always wait in the outbox."""

BLOCK: t.Final = 16 * 1024
"""Bytes that a play writes at a time."""

LOOK_EVERY: t.Final = 0.002
"""Seconds between looks at a flag."""


def say(transport: t.Any, name: str, detail: t.Any = None) -> None:
    """Report. One write of less than PIPE_BUF is whole, whoever writes meanwhile (POSIX)."""
    whose = repr(transport.get_extra_info("peername")) if transport is not None else ""
    os.write(1, json.dumps([whose, os.getpid(), name, detail]).encode() + b"\n")


def described(exc: BaseException | None) -> list[str] | None:
    return None if exc is None else [type(exc).__name__, str(getattr(exc, "reason", ""))]


@functools.cache
def noise(size: int) -> bytes:
    """The same bytes each time, with no two places alike: every loss or swap is seen."""
    return random.Random(size).randbytes(size)


PLAYS: t.Final[dict[str, t.Any]] = {}
"""What can be chosen, by the name of its class."""


class Play(Protocol):
    """Reports every callback."""

    transport: t.Any = None

    def __init_subclass__(cls) -> None:
        PLAYS[cls.__name__] = cls

    def __init__(self, *arguments: str) -> None:
        self.arguments = arguments

    def begin(self) -> None:
        """The play was chosen."""

    def report(self, name: str, detail: t.Any = None) -> None:
        say(self.transport, name, detail)

    def when_flagged(self, callback: t.Callable[[], object]) -> None:
        """Call when the file named by the first argument is there."""
        if os.path.exists(self.arguments[0]):
            callback()
        else:
            self.transport.engine.call_later(LOOK_EVERY, self.when_flagged, callback)

    def data_received(self, data: bytes) -> None:
        self.report("data", data[:100].decode("latin-1"))

    def eof_received(self) -> bool | None:
        self.report("eof")
        return None

    def pause_writing(self) -> None:
        self.report("pause")

    def resume_writing(self) -> None:
        self.report("resume")

    def closing(self, reason: Exception) -> None:
        self.report("closing", type(reason).__name__)

    def connection_lost(self, exc: BaseException | None) -> None:
        self.report("lost", described(exc))


class Chooser(Play):
    """Reads the first line, and hands the connection to the play that it names."""

    def __init__(self) -> None:
        if os.path.exists("the-factory-fails"):
            raise ZeroDivisionError("factory")
        super().__init__()
        self.head = b""

    def connection_made(self, transport: t.Any) -> None:
        self.transport = transport
        self.report("made")
        if os.path.exists("made-fails"):
            raise ZeroDivisionError("made")

    def data_received(self, data: bytes) -> None:
        line, end, rest = (self.head + data).partition(b"\n")
        if not end:
            self.head = line
            return
        name, *arguments = line.decode().split()
        play = PLAYS[name](*arguments)
        play.transport = self.transport
        self.transport.set_protocol(play)
        play.begin()
        if rest:
            play.data_received(rest)
