"""Run the compiled load generator (c/load.c) and read what it measured.

It knows the generator's arguments and its line of JSON, and no server.
"""

from __future__ import annotations

import contextlib
import json
import select
import subprocess
import typing as t
from collections.abc import Callable, Iterator
from pathlib import Path

from jackfield.bench import compiler
from jackfield.bench.cores import pinned
from jackfield.errors import SystemRefused

PARTS: t.Final = ("load.c", "connections.c", "measure.c", "echo.c", "fanout.c")
READY: t.Final = "ready\n"
"""What the generator says when every connection stands."""

READY_TIMEOUT: t.Final = 120.0
"""Seconds to open every idle connection: 10,000 take a second or two; the generator's own
alarm is the same."""


class Target(t.NamedTuple):
    """A server to load: its IP address, port, and process (for its CPU time)."""

    host: str
    port: int
    pid: int


class Measured(t.TypedDict, total=False):
    """What the generator prints. Seconds, and for latencies microseconds.

    ``answered`` is what ``held`` counts: all answers, those of the warm-up too.
    ``wait`` is the time in which a process was ready to run and another had its core.
    """

    operations: int
    seconds: float
    server_cpu: float
    server_wait: float
    load_cpu: float
    load_wait: float
    p50_us: float
    p99_us: float
    p999_us: float
    answered: int
    sent: int
    wire_bytes: int


def program() -> Path:
    """The compiled generator. Raises ``SystemRefused`` where it cannot be compiled."""
    return compiler.build("load", [compiler.SOURCES / part for part in PARTS])


def echo(target: Target, *, connections: int, size: int, seconds: float, warmup: float) -> Measured:
    """Every connection has one request of ``size`` bytes in flight, for ``seconds``."""
    return _measure("echo", target, seconds, warmup, connections, size)


def fanout(
    target: Target,
    *,
    adapter: str,
    members: int,
    senders: int,
    in_flight: int,
    size: int,
    seconds: float,
    warmup: float,
) -> Measured:
    """``senders`` of the ``members`` of a room keep ``in_flight`` messages under way.

    ``adapter`` is how the server is spoken to (chat, redis, raw); ``size`` the bytes of a chat
    line as it is delivered, its CR LF included. Raises ``SystemRefused`` when a message was
    lost or anything else was received.
    """
    return _measure("fanout", target, seconds, warmup, adapter, members, senders, in_flight, size)


@contextlib.contextmanager
def held(
    target: Target, *, connections: int, size: int, seconds: float, warmup: float
) -> Iterator[Callable[[], Measured]]:
    """As ``echo``, on connections that stand before and afterwards: what is given is called once,
    and measures. Before and after that call nothing is under way."""
    with _holding("held", target, seconds, warmup, connections, size) as process:

        def measure() -> Measured:
            assert process.stdin is not None
            assert process.stdout is not None
            with contextlib.suppress(BrokenPipeError):  # it has ended, and says why
                process.stdin.write("\n")
                process.stdin.flush()
            line = process.stdout.readline()
            if process.stdout.readline() != READY:
                raise _failure(process)
            return t.cast(Measured, json.loads(line))

        yield measure


@contextlib.contextmanager
def idle(target: Target, *, connections: int) -> Iterator[None]:
    """Hold ``connections`` open, each of which has exchanged one byte, while in the context."""
    with _holding("idle", target, connections):
        yield


@contextlib.contextmanager
def _holding(mode: str, target: Target, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """A generator that is ready, and lets go of its connections when the context ends."""
    with pinned("load"):
        process = subprocess.Popen(
            _command(mode, target, *arguments),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
    with process:
        try:
            _wait_ready(process)
            yield process
        finally:
            assert process.stdin is not None
            process.stdin.close()
            _end(process)


def _wait_ready(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    readable, _, _ = select.select([process.stdout], [], [], READY_TIMEOUT)
    if not readable or process.stdout.readline() != READY:
        raise _failure(process)


def _failure(process: subprocess.Popen[str]) -> SystemRefused:
    assert process.stderr is not None
    _end(process)
    return SystemRefused(process.stderr.read().strip() or "the load generator did not start")


def _end(process: subprocess.Popen[str]) -> None:
    try:
        process.wait(timeout=5)
    except subprocess.TimeoutExpired:
        process.kill()


def _command(mode: str, target: Target, *arguments: object) -> list[str]:
    words = (program(), mode, target.host, target.port, target.pid, *arguments)
    return [str(word) for word in words]


def _measure(mode: str, target: Target, *arguments: object) -> Measured:
    command = _command(mode, target, *arguments)
    with pinned("load"):
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
    with process:
        try:
            output, trouble = process.communicate()
        except BaseException:
            process.kill()
            raise
    if process.returncode != 0:
        raise SystemRefused(trouble.strip() or f"the load generator ended: {process.returncode}")
    return t.cast(Measured, json.loads(output))
