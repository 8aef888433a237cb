"""Run the compiled load generator (c/load.c) and read what it measured.

It knows the generator's arguments and its line of JSON, and no server.
"""

from __future__ import annotations

import contextlib
import json
import select
import signal
import subprocess
import typing as t
from collections.abc import Callable, Iterator
from pathlib import Path

from jackfield.bench import compiler
from jackfield.bench.cores import pinned
from jackfield.errors import SystemRefused

PARTS: t.Final = (
    *("load.c", "connections.c", "measure.c"),
    *("echo.c", "fanout.c", "adapters.c", "lines.c", "accept.c", "udp.c", "latency.c"),
)
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
    ``wait`` is the time in which a process was ready to run and another had its core. ``lost``
    and ``late`` are datagrams; ``gone`` the stalled members that the server has disconnected.
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
    lost: int
    late: int
    gone: int


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

    ``adapter`` is how the server is spoken to (c/adapters.c lists them); ``size`` the bytes of a
    chat line as it is delivered, its CR LF included. Raises ``SystemRefused`` when a message was
    lost or anything else was received.
    """
    return _measure("fanout", target, seconds, warmup, adapter, members, senders, in_flight, size)


def accept(target: Target, *, in_flight: int, seconds: float, warmup: float) -> Measured:
    """Connect, send a byte, receive it back, close; ``in_flight`` connections at a time."""
    return _measure("accept", target, seconds, warmup, in_flight)


def udp(target: Target, *, in_flight: int, size: int, seconds: float, warmup: float) -> Measured:
    """``in_flight`` datagrams of ``size`` bytes are under way; a lost one is sent again."""
    return _measure("udp", target, seconds, warmup, in_flight, size)


def latency(
    target: Target,
    *,
    adapter: str,
    members: int,
    stalled: int,
    rate: int,
    size: int,
    seconds: float,
    warmup: float,
) -> Measured:
    """``rate`` messages a second to ``members`` of a room, ``stalled`` of which do not read.

    The percentiles are of deliveries to the others. ``size`` and ``adapter`` as in ``fanout``.
    """
    arguments = (adapter, members, stalled, rate, size)
    return _measure("latency", target, seconds, warmup, *arguments)


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
    if process.returncode == -signal.SIGALRM:
        raise SystemRefused("the load generator gave up: connecting took more than two minutes")
    if process.returncode != 0:
        raise SystemRefused(trouble.strip() or f"the load generator ended: {process.returncode}")
    return t.cast(Measured, json.loads(output))
