"""The servers that are measured: how each is started, what it weighs, how it is ended.

A contender is a command line. It says where it listens with a line like jackfield's own
(``listening tcp://127.0.0.1:PORT ...``) on standard error; one that cannot is given a free
port and watched until it listens there. A server is ended through the handle it was started with.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import os
import platform
import re
import socket
import subprocess
import sys
import tempfile
import time
import typing as t
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from jackfield.bench import processes, programs
from jackfield.bench.cores import pinned
from jackfield.bench.load import Target
from jackfield.errors import SystemRefused

HOST: t.Final = programs.HOST
PORT: t.Final = programs.PORT
"""In a contender's command: replaced by a free port, since the server cannot report one."""

START_TIMEOUT: t.Final = 30.0
END_TIMEOUT: t.Final = 10.0
"""Seconds. Starting Python takes a tenth; a machine a hundred times slower may still try."""

START_CHECK: t.Final = 0.01
"""Seconds between two looks at whether a server listens yet."""

TCP_LISTEN: t.Final = "0A"
"""In /proc/net/tcp (include/net/tcp_states.h)."""


@dataclass(frozen=True, slots=True)
class Contender:
    """A server to measure. ``speaks`` is the load's adapter in fan-out (c/adapters.c).

    ``config`` is the text of the file whose path takes the place of ``programs.CONFIG``;
    ``most`` the number of connections that it takes, 0: as many as come. One that is a ``limit``
    is there to be approached (c_limits.py).
    """

    name: str
    command: tuple[str, ...]
    version: str
    speaks: str = "chat"
    ours: bool = False
    config: str = ""
    most: int = 0
    limit: bool = False


class Server:
    """A running contender. ``target`` is where it listens."""

    def __init__(self, target: Target) -> None:
        self.target = target

    def memory(self) -> int:
        """Bytes of memory of the process (PSS: a page shared by n processes counts 1/n)."""
        return processes.memory(self.target.pid)


ROOM: t.Final = "room"
"""Instead of a service: bare_room.py, which is the chat's fan-out and nothing else."""


def jackfield(service: str, engine: str, scheme: str = "tcp") -> Contender:
    """jackfield's own ``service`` (echo, chat), with nothing that limits load; or ``ROOM``."""
    bare = service == ROOM
    served = "jackfield.bench.bare_room:Everyone" if bare else service
    command = (sys.executable, "-m", "jackfield", "serve", served, f"{scheme}://{HOST}:0")
    options = ("--engine", engine, "--log-level", "warning", "--max-connections", "0")
    flood = ("--flood", "off") if service == "chat" else ()
    return Contender(
        f"jackfield {engine}{', bare room' if bare else ''}",
        (*command, *options, *flood),
        importlib.metadata.version("jackfield"),
        speaks="raw" if bare else "chat",
        ours=True,
    )


class Absent(t.NamedTuple):
    """A peer that is not installed, and why it is left out."""

    name: str
    reason: str


Find: t.TypeAlias = Callable[[str], Contender | Absent]
"""Finds a peer that does the named work (echo, fanout, udp), or says why there is none."""


def _python(module: str) -> tuple[str, ...]:
    return (sys.executable, "-m", f"jackfield.bench.peers.{module}", "0")


def _asyncio(work: str) -> Contender | Absent:
    return Contender("asyncio", _python(f"asyncio_{work}"), platform.python_version())


def _library(name: str) -> Find:
    """A peer that is a Python package, with a small server in bench/peers for each work."""

    def find(work: str) -> Contender | Absent:
        if importlib.util.find_spec(name) is None:
            return Absent(name, "not installed (pip install 'jackfield[bench]')")
        return Contender(name, _python(f"{name}_{work}"), importlib.metadata.version(name))

    return find


def _program(name: str) -> Find:
    program = programs.PROGRAMS[name]

    def find(work: str) -> Contender | Absent:
        path = programs.find(program)
        if path is None:
            package = program.command
            return Absent(name, f"{package} is not installed (Debian: apt-get install {package})")
        return Contender(
            name,
            (path, *program.options),
            programs.version_of(program, path),
            speaks=program.speaks,
            config=program.config,
            most=program.most,
        )

    return find


_LIBRARIES: t.Final[dict[str, Find]] = {
    "asyncio": _asyncio,
    **{name: _library(name) for name in ("uvloop", "gevent", "twisted")},
}
_CHATS: t.Final[dict[str, Find]] = {name: _program(name) for name in programs.PROGRAMS}
_PEERS: t.Final[dict[str, dict[str, Find]]] = {
    "echo": _LIBRARIES,
    "fanout": {**_CHATS, "uvloop": _library("uvloop")},
    "idle": _LIBRARIES,
    "accept": _LIBRARIES,
    "udp": _LIBRARIES,
    # Neither ncat nor ngircd can be asked: they do not send to the sender, by which time is told.
    "latency": {name: _program(name) for name in ("redis", "nats")}
    | {"uvloop": _library("uvloop")},
    "start": _LIBRARIES,
}
_WORK: t.Final = {"idle": "echo", "accept": "echo", "latency": "fanout", "start": "echo"}
"""What a peer does in a case, where that is not called as the case is."""


def peer_names(case: str) -> tuple[str, ...]:
    """The peers that ``case`` (echo, fanout, accept ...) has, installed or not."""
    return tuple(_PEERS[case])


def find_peers(case: str, names: t.Iterable[str]) -> tuple[list[Contender], list[Absent]]:
    """The named peers of ``case``: those present, and those left out with the reason."""
    found = [_PEERS[case][name](_WORK.get(case, case)) for name in names]
    present = [peer for peer in found if isinstance(peer, Contender)]
    return present, [peer for peer in found if isinstance(peer, Absent)]


def leave_out_small(
    contenders: t.Iterable[Contender], connections: int
) -> tuple[list[Contender], list[Absent]]:
    """Those that take so many connections, and those that do not."""
    able: list[Contender] = []
    small: list[Absent] = []
    for one in contenders:
        if one.most and one.most < connections:
            small.append(Absent(one.name, f"takes {one.most} connections at most"))
        else:
            able.append(one)
    return able, small


@contextlib.contextmanager
def running(contender: Contender) -> Iterator[Server]:
    """Start it on the server's core, wait until it listens, end it afterwards.

    Raises ``SystemRefused`` with its last words when it ends instead of listening.
    """
    port = _free_port() if PORT in (*contender.command, *contender.config.split()) else 0
    # Its log goes to a file: a pipe that nobody reads would fill and stop it.
    with tempfile.TemporaryFile() as log, _command(contender, port) as command:
        with pinned("server"):
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/"
            )
        try:
            yield _wait_listening(contender, process, port, log)
        finally:
            _end(process)


@contextlib.contextmanager
def _command(contender: Contender, port: int) -> Iterator[list[str]]:
    """The command with the port in it, and with the path of its configuration."""
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as file:
        file.write(contender.config.replace(PORT, str(port)))
        file.flush()
        known = {PORT: str(port), programs.CONFIG: file.name}
        yield [known.get(word, word) for word in contender.command]


def _wait_listening(
    contender: Contender, process: subprocess.Popen[bytes], port: int, log: t.IO[bytes]
) -> Server:
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline:
        found = port if port and _listens(port) else _announced(_read(log))
        if found:
            return Server(Target(HOST, found, process.pid))
        if process.poll() is not None:
            break
        time.sleep(START_CHECK)
    words = _read(log).strip().splitlines() or ["it said nothing"]
    raise SystemRefused(f"{contender.name} does not listen: {words[-1]}")


def _announced(text: str) -> int:
    found = re.search(
        rf"^listening (?:tcp|udp)://{re.escape(HOST)}:(\d+)\b.*\n", text, re.MULTILINE
    )
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


def _listens(port: int) -> bool:
    # Not by connecting: ncat --chat ends when a member is gone before it was greeted.
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()]
    return any(row[1].endswith(f":{port:04X}") and row[3] == TCP_LISTEN for row in rows)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(timeout=END_TIMEOUT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
