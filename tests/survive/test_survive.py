"""What the Internet does to a server, on every poller: each ends one connection at most."""

from __future__ import annotations

import contextlib
import logging
import random
import signal
import socket
import subprocess
import sys
import time
import typing as t
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support import (
    PATIENCE,
    TOGETHER,
    receive,
    receive_all,
    receive_until,
    require_descriptors,
    reset,
    until,
)

from jackfield import Protocol, Room, Server, limits, services
from jackfield.address import Endpoint, resolve
from jackfield.services import ServiceOptions

HERE = Path(__file__).parent
CROWD = 1000


@pytest.fixture(params=TOGETHER)
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@contextlib.contextmanager
def process(script: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A Python process; ended, whatever happens."""
    child = subprocess.Popen(
        [sys.executable, str(HERE / script), *arguments], stdout=subprocess.PIPE, text=True
    )
    with child:
        try:
            yield child
        finally:
            child.kill()


@contextlib.contextmanager
def served(engine: str, what: str, endpoint: str, *more: str) -> Iterator[tuple[t.Any, str]]:
    """``serving.py`` at work: its process and its endpoint. It has to end well."""
    with process("serving.py", engine, what, endpoint, *more) as child:
        assert child.stdout is not None
        where = child.stdout.readline().strip()
        assert where, "the server did not start"
        yield child, where
        child.send_signal(signal.SIGTERM)
        assert child.wait(PATIENCE) == 0


class Clients:
    """Sockets that are closed in the end."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self._stack = stack

    def dial(self, server: Server | str) -> socket.socket:
        there = (
            resolve(Endpoint.parse(server))[0] if isinstance(server, str) else server.addresses[0]
        )
        sock = self._stack.enter_context(socket.socket(there.family))
        sock.settimeout(PATIENCE)
        sock.connect(there.sockaddr)
        return sock


@pytest.fixture
def clients() -> Iterator[Clients]:
    with contextlib.ExitStack() as stack:
        yield Clients(stack)


class Members:
    """A room, its server and the transports of who is in it."""

    def __init__(self, engine: str, **options: t.Any) -> None:
        self.room = room = Room(**options)
        self.transports: list[t.Any] = []
        self.largest = 0
        self.lost: list[BaseException | None] = []
        members = self

        class Everyone(Protocol):
            def connection_made(self, transport: t.Any) -> None:
                self.transport = transport
                members.transports.append(transport)
                room.join(transport)

            def data_received(self, data: bytes) -> None:
                sizes = [tr.get_write_buffer_size() for tr in members.transports]
                members.largest = max(members.largest, *sizes)
                room.publish(data)

            def connection_lost(self, exc: BaseException | None) -> None:
                room.leave(self.transport)
                members.lost.append(exc)

        self.server = Server("tcp://127.0.0.1:0", Everyone, engine=engine, drain=0)

    def join(self, clients: Clients) -> socket.socket:
        known = len(self.transports)
        client = clients.dial(self.server)
        until(lambda: len(self.transports) > known)
        return client


# --- clients that stop, vanish or say nothing --------------------------------------------------

READER = """
import socket, sys
sock = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
print("connected", flush=True)
data = b""
while not data.endswith(b"END"):
    data += sock.recv(1 << 16)
print(len(data), flush=True)
"""


def test_a_stopped_client(engine: str, clients: Clients) -> None:
    """kill -STOP: its kernel buffers fill, its outbox grows; the others notice nothing. On
    SIGCONT it gets all it missed."""
    members = Members(engine)
    block = bytes(10_000)
    with members.server:
        port = str(members.server.addresses[0].port)
        child = subprocess.Popen(
            [sys.executable, "-c", READER, port], stdout=subprocess.PIPE, text=True
        )
        with child:
            try:
                assert child.stdout is not None
                assert child.stdout.readline() == "connected\n"
                speaker, listener = members.join(clients), members.join(clients)
                child.send_signal(signal.SIGSTOP)
                rounds = 0
                while members.largest < 100_000:
                    speaker.sendall(block)
                    assert receive(listener, len(block)) == block
                    assert receive(speaker, len(block)) == block
                    rounds += 1
                    assert rounds < 10_000
                assert len(members.room) == 3
                child.send_signal(signal.SIGCONT)
                speaker.sendall(b"END")
                assert child.stdout.readline() == f"{rounds * len(block) + 3}\n"
                assert child.wait(PATIENCE) == 0
            finally:
                child.kill()
        until(lambda: len(members.room) == 2)
    assert members.lost[0] is None


def test_a_reset_in_a_room(engine: str, clients: Clients) -> None:
    members = Members(engine)
    with members.server:
        speaker, victim, listener = (members.join(clients) for _ in range(3))
        reset(victim)
        for number in range(20):
            speaker.sendall(b"%4d" % number)
            assert receive(listener, 4) == receive(speaker, 4) == b"%4d" % number
        until(lambda: len(members.room) == 2)
    assert isinstance(members.lost[0], ConnectionError)


def test_a_half_close_in_a_room(engine: str, clients: Clients) -> None:
    """``printf 'hi\\n' | nc``: what it said is heard, by itself too."""
    members = Members(engine)
    with members.server:
        listener, brief = members.join(clients), members.join(clients)
        brief.sendall(b"hi\n")
        brief.shutdown(socket.SHUT_WR)
        assert receive(listener, 3) == b"hi\n"
        assert receive_all(brief) == b"hi\n"
        until(lambda: len(members.room) == 1)


@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_sigpipe_does_not_kill(
    engine: str, kind: str, clients: Clients, short_directory: Path
) -> None:
    """Even where a program has set the signal back to its default."""
    endpoint = "tcp://127.0.0.1:0" if kind == "tcp" else f"unix:{short_directory}/s"
    with served(engine, "WritesOn", endpoint) as (child, where):
        for words in (b"write\n", b"fan_out\n", b"outbox\n"):
            gone = clients.dial(where)
            gone.sendall(words)
            receive(gone, 6)  # it is at it
            gone.close()
        client = clients.dial(where)
        for _ in range(30):
            client.sendall(b"alive?\n")
            assert receive_until(client, b"\n") == b"alive?\r\n"
            time.sleep(0.005)
        assert child.poll() is None


def test_a_member_that_never_reads(
    engine: str, clients: Clients, caplog: pytest.LogCaptureFixture, monkeypatch: t.Any
) -> None:
    """Its memory is bounded, it is closed with a reason, the others get everything."""
    monkeypatch.setattr(limits, "FLUSH", 0.05)
    caplog.set_level(logging.INFO, "jackfield")
    hard = 500_000
    members = Members(engine, soft_limit=1000, hard_limit=hard)
    block = bytes(20_000)
    with members.server:
        stalled = members.join(clients)
        speaker, listener = members.join(clients), members.join(clients)
        rounds = 0
        while len(members.room) == 3:
            speaker.sendall(block)
            assert receive(listener, len(block)) == block
            assert receive(speaker, len(block)) == block
            rounds += 1
            assert rounds < 10_000
        assert stalled.getsockname()
        until(lambda: members.lost)
        until(lambda: "reason=lag" in caplog.text)
        speaker.sendall(b"and on")
        assert receive(listener, 6) == b"and on"
    assert members.largest <= hard
    assert "more than the 500000 that are kept" in str(members.lost[0])


# --- bytes that nobody should send -------------------------------------------------------------


@contextlib.contextmanager
def service(name: str, engine: str) -> Iterator[Server]:
    factory = services.make(name, ServiceOptions(flood=0 if name == "chat" else None)).stream
    with Server("tcp://127.0.0.1:0", factory, engine=engine, drain=0) as server:
        yield server


def test_16_kib_without_a_newline(engine: str, clients: Clients) -> None:
    with service("chat", engine) as server:
        neighbour, endless = clients.dial(server), clients.dial(server)
        receive_until(neighbour, b"guest-2 joined lobby\r\n")
        receive_until(endless, b"guest-2 joined lobby\r\n")
        endless.sendall(b"x" * 16384)
        notice = receive_until(endless, b"it was not sent\r\n")
        assert b"at most 1024 bytes" in notice
        endless.sendall(b"the same line still\nhello\n")
        for client in (neighbour, endless):
            assert receive_until(client, b"\r\n").endswith(b"hello\r\n")


def test_random_bytes_to_echo(engine: str, clients: Clients) -> None:
    rng = random.Random(1)
    with service("echo", engine) as server:
        client = clients.dial(server)
        for _ in range(20):
            data = rng.randbytes(rng.randrange(1, 60_000))
            client.sendall(data)
            assert receive(client, len(data)) == data


@pytest.mark.parametrize("seed", range(3))
def test_random_bytes_to_chat(engine: str, clients: Clients, seed: int) -> None:
    """Nothing of it reaches a neighbour's terminal unless it is text; the server goes on."""
    rng = random.Random(seed)
    with service("chat", engine) as server:
        neighbour, mad = clients.dial(server), clients.dial(server)
        receive_until(neighbour, b"guest-2 joined lobby\r\n")
        with contextlib.suppress(OSError):
            mad.settimeout(0.5)
            for _ in range(20):
                mad.sendall(rng.randbytes(1000))
                mad.sendall(bytes(rng.choices(b"/\r\n\0\xff\xfa\xf0\xfd help", k=1000)))
        mad.close()
        for line in receive_until(neighbour, b" left lobby\r\n").split(b"\r\n"):
            assert line.decode().isprintable()
        sane = clients.dial(server)
        receive_until(sane, b"joined lobby\r\n")
        sane.sendall(b"hello\n")
        assert receive_until(sane, b"hello\r\n")


# --- too many ----------------------------------------------------------------------------------


def test_a_thousand_in_one_room(engine: str) -> None:
    """Each sends; nothing is lost; every member sees the same order."""
    require_descriptors(CROWD + 30)
    with (
        served(engine, "Everyone", "tcp://127.0.0.1:0") as (_, where),
        process("crowd.py", where, str(CROWD)) as crowd,
    ):
        out, _ = crowd.communicate(timeout=90)
        assert out == "ok\n"


def test_no_descriptors_left(engine: str, clients: Clients) -> None:
    """EMFILE: it neither spins nor dies, and serves again when descriptors are free."""
    with served(engine, "Reports", "tcp://127.0.0.1:0", "30") as (_, where):
        crowd = [clients.dial(where) for _ in range(60)]  # completed by the kernel's backlog

        def ask(client: socket.socket) -> tuple[float, int]:
            client.sendall(b"report\n")
            cpu, failures = receive_until(client, b"\r\n").split()
            return float(cpu), int(failures)

        began = time.monotonic()
        cpu, failures = ask(crowd[0])
        while ask(crowd[0])[1] < failures + 4:
            time.sleep(0.02)
        used = ask(crowd[0])[0] - cpu
        assert used < 0.5 * (time.monotonic() - began)
        for client in crowd[1:]:
            client.close()
        fresh = clients.dial(where)
        ask(fresh)
        ask(crowd[0])
