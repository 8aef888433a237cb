"""The other end of ``probe.py``: its process, what it reports, and clients that look at it."""

from __future__ import annotations

import itertools
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
import typing as t
from pathlib import Path

import pytest
from tests.certificates import OPENSSL, certificates
from tests.contracts.tls import NAME, TlsClient
from tests.households import children, descriptors, kill
from tests.support import PATIENCE, receive, receive_all, until

from jackfield.address import Endpoint, resolve

ROOT: t.Final = Path(__file__).parent.parent.parent
PATH: t.Final = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
PROBE: t.Final = (sys.executable, "-m", "tests.contracts.probe")


class Way(t.NamedTuple):
    """A way to serve, and what is different about it."""

    engine: str
    workers: int = 0
    many: bool = True
    """Serves several clients at a time."""
    one_thread: bool = True
    """A tick is one for everything that a process does."""
    forks: bool = False
    """A child serves each connection, and ends with it."""

    @property
    def several_processes(self) -> bool:
        """Rooms span processes, and a second signal kills them: they cannot tell how it ended."""
        return self.forks or self.workers > 0


class Report(t.NamedTuple):
    """A callback: of the connection from ``whose``, in the process ``pid``."""

    whose: str
    pid: int
    name: str
    detail: t.Any


class Probed:
    """A server under observation, in the directory ``where``; gone at the end of the ``with``."""

    def __init__(
        self, way: Way, where: Path, protocol: str = "Chooser", tls: bool = False, **options: t.Any
    ) -> None:
        self.way = way
        self.where = where
        endpoints = ["tcp://127.0.0.1:0", f"unix:{where / 'socket'}"]
        if tls and OPENSSL:
            endpoints.append("tls://127.0.0.1:0")
            options["tls"] = certificates().issue(NAME, "127.0.0.1", "::1")
        if way.workers:
            options["workers"] = way.workers
        options["engine"] = way.engine
        command = [*PROBE, protocol, json.dumps(endpoints), json.dumps(options)]
        with (where / "log").open("wb") as log:
            self.process = subprocess.Popen(
                command,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=where,
                env={**os.environ, "PYTHONPATH": PATH},
            )
        assert self.process.stdout is not None
        self._pipe = self.process.stdout.fileno()
        self._rest = b""
        self._listening: dict[str, str] = {}
        self._names = itertools.count()
        self.reports: list[Report] = []
        self.clients: list[Client] = []

    def __enter__(self) -> t.Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close_clients()
        left = children(self.process.pid) if self.process.poll() is None else []
        self.process.kill()
        self.process.wait()
        for pid in left:  # a child that hangs
            kill(pid, signal.SIGKILL)
        assert self.process.stdout is not None
        self.process.stdout.close()

    # --- what it says ------------------------------------------------------------------------

    def read(self, seconds: float = 0.0) -> bool:
        """Take up what was reported, or is within ``seconds``; False at the end of all."""
        while select.select([self._pipe], [], [], seconds)[0]:
            block = os.read(self._pipe, 1 << 16)
            if not block:
                return False
            *lines, self._rest = (self._rest + block).split(b"\n")
            self.reports += [Report(*json.loads(line)) for line in lines]
            seconds = 0.0
        return True

    def await_report(self, whose: str, name: str, count: int = 1) -> t.Any:
        """The detail of the ``count``-th report called so, once it is there."""
        deadline = time.monotonic() + PATIENCE
        while len(found := self.found(whose, name)) < count:
            if not self.read(0.2) and len(self.found(whose, name)) < count:
                pytest.fail(f"it ended without {name!r}; its log: {self.log()}")
            if time.monotonic() > deadline:
                pytest.fail(f"no {name!r} of {whose} but {self.names(whose)}; {self.log()}")
        return found[count - 1].detail

    def found(self, whose: str, name: str) -> list[Report]:
        return [r for r in self.reports if r.whose == whose and r.name == name]

    def names(self, whose: str) -> list[str]:
        """What was reported of a connection, in order."""
        self.read()
        return [report.name for report in self.reports if report.whose == whose]

    def log(self) -> str:
        return (self.where / "log").read_text()

    def raise_flag(self, name: str) -> None:
        (self.where / name).touch()

    def lower_flag(self, name: str) -> None:
        (self.where / name).unlink()

    # --- where it is -------------------------------------------------------------------------

    def endpoint(self, kind: str) -> str:
        """Where it listens: a ``tcp``, ``unix`` or ``tls`` endpoint."""
        if not self._listening:
            listening = self.await_report("", "listening")
            self._listening = {text.partition(":")[0]: text for text in listening}
        if kind not in self._listening:
            pytest.skip("missing Debian package: openssl")
        return self._listening[kind]

    def dial(self, kind: str = "tcp", source: str = "127.0.0.1") -> Client:
        """A new client; of a Unix socket it has a name, too, to be known by."""
        address = resolve(Endpoint.parse(self.endpoint(kind).replace("tls:", "tcp:")))[0]
        sock = socket.socket(address.family)
        client = Client(self, sock)
        self.clients.append(client)
        sock.settimeout(PATIENCE)
        number = next(self._names)
        sock.bind(str(self.where / f"client{number}") if kind == "unix" else (source, 0))
        sock.connect(address.sockaddr)
        client.whose = repr(sock.getsockname())
        if kind == "tls":
            client.stream = TlsClient(sock).handshake()
        return client

    def play(self, *words: object, kind: str = "tcp") -> Client:
        """A new client that has chosen what is played."""
        client = self.dial(kind)
        client.choose(*words)
        return client

    def served(self, source: str = "127.0.0.1") -> Client | None:
        """A new client if it is served, or None: it was closed at once."""
        client = self.dial(source=source)
        return client if client.asks_pid() else None

    def refuses(self) -> bool:
        """Is nobody listening any more?"""
        try:
            self.dial().close()
        except ConnectionRefusedError:
            return True
        except ConnectionResetError:  # it was in the backlog
            pass
        return False

    def close_clients(self) -> None:
        for client in self.clients:
            client.close()
        self.clients.clear()

    # --- its processes -----------------------------------------------------------------------

    def serving(self) -> list[int]:
        """The processes that stay: those that serve, or under fork the one that accepts."""
        if self.way.workers:
            until(lambda: len(children(self.process.pid)) == self.way.workers)
            return children(self.process.pid)
        return [self.process.pid]

    def open_descriptors(self) -> list[int]:
        """How many each of them has."""
        return [descriptors(pid) for pid in self.serving()]

    def signal(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def ended(self) -> int:
        """Wait for its end; the exit status. All has been reported then."""
        deadline = time.monotonic() + PATIENCE
        while self.read(0.2):
            if time.monotonic() > deadline:
                pytest.fail(f"it does not end; its log: {self.log()}")
        return self.process.wait(PATIENCE)


class Client:
    """A connection to it: a socket, and TLS above it where that was asked for."""

    def __init__(self, probed: Probed, sock: socket.socket) -> None:
        self.probed = probed
        self.sock = sock
        self.stream: t.Any = sock
        self.whose = ""
        self.pid = 0

    def choose(self, *words: object) -> None:
        self.stream.sendall(" ".join(map(str, words)).encode() + b"\n")

    def asks_pid(self) -> bool:
        """Which process serves it? False: none, it was closed."""
        try:
            self.choose("Pid")
            said = self.stream.recv(100)
        except (ConnectionResetError, BrokenPipeError):
            return False
        self.pid = int(said or 0)
        return bool(said)

    def send(self, data: bytes) -> None:
        self.stream.sendall(data)

    def half_close(self) -> None:
        self.stream.shutdown(socket.SHUT_WR)

    def receive(self, count: int) -> bytes:
        return receive(self.stream, count)

    def receive_all(self) -> bytes:
        return receive_all(self.stream)

    def read_to_its_end(self) -> int:
        """Bytes until the stream ends, in order or with a reset."""
        total = 0
        try:
            while block := self.stream.recv(1 << 20):
                total += len(block)
        except ConnectionResetError:
            pass
        return total

    def close(self) -> None:
        self.stream.close()

    def report(self, name: str, count: int = 1) -> t.Any:
        return self.probed.await_report(self.whose, name, count)

    def names(self) -> list[str]:
        return self.probed.names(self.whose)

    def lost(self) -> str | None:
        """What ``connection_lost`` was given: the name of an exception's class, or None. It came
        last, and once."""
        detail: list[str] | None = self.report("lost")
        assert self.names()[0] == "made"
        assert self.names().index("lost") == len(self.names()) - 1
        return None if detail is None else detail[0]
