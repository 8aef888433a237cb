"""The servers that are measured: how each is started, what it weighs, how it is ended.

A contender is a command line. It says where it listens with a line like jackfield's own
(``listening tcp://127.0.0.1:PORT ...``) on standard error; one that cannot is given a free
port and watched until it answers. A server is ended through the handle it was started with.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import os
import platform
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import typing as t
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from jackfield.bench import processes
from jackfield.bench.cores import pinned
from jackfield.bench.load import Target
from jackfield.errors import SystemRefused

HOST: t.Final = "127.0.0.1"
PORT: t.Final = "{port}"
"""In a contender's command: replaced by a free port, since the server cannot report one."""

START_TIMEOUT: t.Final = 30.0
END_TIMEOUT: t.Final = 10.0
"""Seconds. Starting Python takes a tenth; a machine a hundred times slower may still try."""

START_CHECK: t.Final = 0.01
"""Seconds between two looks at whether a server listens yet."""


@dataclass(frozen=True, slots=True)
class Contender:
    """A server to measure. ``speaks`` is the load's adapter in fan-out (c/fanout.c)."""

    name: str
    command: tuple[str, ...]
    version: str
    speaks: str = "chat"
    ours: bool = False


class Server:
    """A running contender. ``target`` is where it listens."""

    def __init__(self, target: Target) -> None:
        self.target = target

    def memory(self) -> int:
        """Bytes of memory of the process (PSS: a page shared by n processes counts 1/n)."""
        return processes.memory(self.target.pid)


def jackfield(service: str, engine: str) -> Contender:
    """jackfield's own ``service`` (echo, chat) on ``engine``, with nothing that limits load."""
    command = (sys.executable, "-m", "jackfield", "serve", service, f"tcp://{HOST}:0")
    options = ("--engine", engine, "--log-level", "warning", "--max-connections", "0")
    flood = ("--flood", "off") if service == "chat" else ()
    return Contender(
        f"jackfield {engine}",
        (*command, *options, *flood),
        importlib.metadata.version("jackfield"),
        ours=True,
    )


class Absent(t.NamedTuple):
    """A peer that is not installed, and why it is left out."""

    name: str
    reason: str


def _python(module: str) -> tuple[str, ...]:
    return (sys.executable, "-m", f"jackfield.bench.peers.{module}", "0")


def _asyncio(work: str) -> Contender | Absent:
    return Contender("asyncio", _python(f"asyncio_{work}"), platform.python_version())


def _uvloop(work: str) -> Contender | Absent:
    if importlib.util.find_spec("uvloop") is None:
        return Absent("uvloop", "not installed (pip install 'jackfield[bench]')")
    return Contender("uvloop", _python(f"uvloop_{work}"), importlib.metadata.version("uvloop"))


def _redis(work: str) -> Contender | Absent:
    program = shutil.which("redis-server")
    if program is None:
        return Absent("redis", "redis-server is not installed")
    options = ("--port", PORT, "--bind", HOST, "--save", "", "--appendonly", "no")
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    found = re.search(r"v=(\S+)", said.stdout)
    version = found[1] if found else "unknown"
    return Contender("redis", (program, *options), version, speaks="redis")


_PEERS: t.Final[dict[str, dict[str, Callable[[str], Contender | Absent]]]] = {
    "echo": {"asyncio": _asyncio, "uvloop": _uvloop},
    "fanout": {"redis": _redis, "uvloop": _uvloop},
    "idle": {"asyncio": _asyncio, "uvloop": _uvloop},
}
_WORK: t.Final = {"echo": "echo", "fanout": "fanout", "idle": "echo"}


def peer_names(case: str) -> tuple[str, ...]:
    """The peers that ``case`` (echo, fanout, idle) can be compared with, installed or not."""
    return tuple(_PEERS[case])


def find_peers(case: str, names: t.Iterable[str]) -> tuple[list[Contender], list[Absent]]:
    """The named peers of ``case``: those present, and those left out with the reason."""
    found = [_PEERS[case][name](_WORK[case]) for name in names]
    present = [peer for peer in found if isinstance(peer, Contender)]
    return present, [peer for peer in found if isinstance(peer, Absent)]


@contextlib.contextmanager
def running(contender: Contender) -> Iterator[Server]:
    """Start it on the server's core, wait until it listens, end it afterwards.

    Raises ``SystemRefused`` with its last words when it ends instead of listening.
    """
    port = _free_port() if PORT in contender.command else 0
    command = [str(port) if word == PORT else word for word in contender.command]
    # Its log goes to a file: a pipe that nobody reads would fill and stop it.
    with tempfile.TemporaryFile() as log:
        with pinned("server"):
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/"
            )
        try:
            yield _wait_listening(contender, process, port, log)
        finally:
            _end(process)


def _wait_listening(
    contender: Contender, process: subprocess.Popen[bytes], port: int, log: t.IO[bytes]
) -> Server:
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline:
        found = port if port and _answers(port) else _announced(_read(log))
        if found:
            return Server(Target(HOST, found, process.pid))
        if process.poll() is not None:
            break
        time.sleep(START_CHECK)
    words = _read(log).strip().splitlines() or ["it said nothing"]
    raise SystemRefused(f"{contender.name} does not listen: {words[-1]}")


def _announced(text: str) -> int:
    found = re.search(rf"^listening tcp://{re.escape(HOST)}:(\d+)\b.*\n", text, re.MULTILINE)
    return int(found[1]) if found else 0


def _read(log: t.IO[bytes]) -> str:
    # Not seek and read: the server writes at the offset that it shares with us.
    size = os.fstat(log.fileno()).st_size
    return os.pread(log.fileno(), size, 0).decode("utf-8", "backslashreplace")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(timeout=END_TIMEOUT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
