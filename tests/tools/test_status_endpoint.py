"""The status endpoint of a real server, in every way to serve: what it tells, whom it disturbs."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import socket
import stat
import sys
import time
import typing as t
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.certificates import OPENSSL
from tests.chat_servers import FORKING
from tests.cli.process import Serving
from tests.contracts.tls import TlsClient, server_config
from tests.support import IN_PROCESS, PATIENCE, receive, receive_all, receive_until, until

from jackfield import limits
from jackfield.address import Endpoint, resolve
from jackfield.engines import own
from jackfield.errors import SystemRefused, UsageError
from jackfield.protocol import Protocol
from jackfield.rooms.room import Room
from jackfield.server import Server
from jackfield.services import ServiceOptions, make
from jackfield.services.echo import Echo
from jackfield.tools import status_answer

LOCAL: t.Final = "tcp://127.0.0.1:0"
WAYS: t.Final = [*IN_PROCESS, *(FORKING if hasattr(os, "fork") else ())]


class Asked(t.NamedTuple):
    """Where clients are served, and where it is told how."""

    address: t.Any
    path: Path

    def client(self) -> socket.socket:
        return socket.create_connection(self.address, timeout=PATIENCE)

    def connect(self) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(PATIENCE)
        try:
            sock.connect(str(self.path))
        except OSError:
            sock.close()
            raise
        return sock

    def view(self) -> t.Any:
        with self.connect() as sock:
            return json.loads(receive_all(sock))


@contextlib.contextmanager
def server(way: str, directory: Path, service: str = "chat", **options: t.Any) -> Iterator[Asked]:
    """A service with a status endpoint, in one of the ``WAYS``."""
    path = directory / "status"
    if way not in FORKING:
        made = make(service, ServiceOptions())
        options["status_endpoint"] = f"unix:{path}"
        with Server(LOCAL, made.stream, engine=way, **options) as running:
            yield Asked(running.addresses[0].sockaddr, path)
        return
    words = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    words += ["--status-endpoint", f"unix:{path}", *way.split()]
    with Serving("serve", service, LOCAL, *words) as serving:
        where = serving.expect(r"listening (\S+) fd=\d+ .*")[1]
        serving.expect(rf"status at unix:{path} fd=\d+")
        yield Asked(resolve(Endpoint.parse(where))[0].sockaddr, path)
        assert serving.terminate() == 0


@pytest.mark.parametrize("way", WAYS)
def test_it_tells_of_its_connections(way: str, tmp_path: Path) -> None:
    with server(way, tmp_path) as asked, asked.client() as alice:
        alice.sendall(b"/nick alice\n/nick\n")
        read = receive_until(alice, b"you are alice\r\n")
        view = asked.view()
        local = alice.getsockname()
        (found,) = view["connections"]
        assert found["peer"] == f"127.0.0.1:{local[1]}"
        assert found["local"] == f"127.0.0.1:{asked.address[1]}"
        assert (found["label"], found["protocol"]) == ("alice", "LineDoor")
        assert (found["state"], found["paused"], found["outbox"]) == ("open", [], 0)
        assert found["tls"] is False
        assert 0 <= found["idle"] <= found["age"] < PATIENCE
        if sys.platform == "linux":
            assert found["received"] == 18
            until(lambda: asked.view()["connections"][0]["sent"] == len(read))  # acknowledged
        assert view["counters"]["accepted"] == view["counters"]["connections"] == 1
        (room,) = view["rooms"]
        assert (room["name"], room["members"], room["lagging"]) == ("lobby", 1, 0)
        assert view["lagging"] == view["incomplete"] == []
        assert found["pid"] in {one["pid"] for one in view["processes"]}
        assert {one["endpoint"] for one in view["listeners"]} == {
            f"tcp://127.0.0.1:{asked.address[1]}"
        }
    assert not asked.path.exists()


@pytest.mark.parametrize("way", WAYS)
def test_who_asks_is_no_client(way: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "jackfield")
    with server(way, tmp_path, "echo", max_connections=1) as asked:
        waiting = [asked.connect() for _ in range(own.MOST + 2)]  # more than it serves at a time
        for sock in waiting:
            assert receive_all(sock).endswith(b"}\n")
            sock.close()
        with asked.client() as client:
            client.sendall(b"x")
            assert receive(client, 1) == b"x"
            view = asked.view()
            assert view["counters"]["refused"] == 0
            assert view["counters"]["accepted"] == view["counters"]["connections"] == 1
    said = [line for line in caplog.messages if line.startswith("connected")]
    assert len(said) == (1 if way in IN_PROCESS else 0)


@pytest.mark.parametrize("way", [way for way in WAYS if way != "iterative"])
def test_it_answers_where_no_client_may_come_in(way: str, tmp_path: Path) -> None:
    with server(way, tmp_path, "echo", max_connections=1) as asked, asked.client() as client:
        client.sendall(b"x")
        assert receive(client, 1) == b"x"
        with asked.client() as second:
            assert receive_all(second) == b""
        view = asked.view()
        reasons = [view["refused_for"], *(one["refused_for"] for one in view["processes"])]
        assert {"max-connections": 1} in reasons
        assert view["limits"]["max_connections"] == 1


def test_it_answers_where_a_client_occupies_the_server(tmp_path: Path) -> None:
    with server("iterative", tmp_path, "echo") as asked, asked.client() as first:
        first.sendall(b"x")
        assert receive(first, 1) == b"x"
        with asked.client():
            view = asked.view()
            assert len(view["connections"]) == 1
            if sys.platform == "linux":
                assert view["listeners"][0]["waiting"] == 1


def test_workers_are_listed_and_a_stopped_one_is_said_to_be(tmp_path: Path) -> None:
    if not hasattr(os, "fork"):
        pytest.skip("workers are forked, and this system cannot fork")
    with server("--workers 2", tmp_path, "echo") as asked:
        pids = [one["pid"] for one in asked.view()["workers"]]
        assert len(pids) == 2
        os.kill(pids[0], signal.SIGSTOP)
        try:
            until(lambda: _answered(asked.view()) == ([pids[1]], [pids[0]]))
        finally:
            os.kill(pids[0], signal.SIGCONT)
        until(lambda: not asked.view()["incomplete"])


def _answered(view: t.Any) -> tuple[list[int], list[int]]:
    """Which processes are in it, and which are not."""
    return [one["pid"] for one in view["processes"]], [one["pid"] for one in view["incomplete"]]


def test_who_lags_and_by_how_much(tmp_path: Path) -> None:
    room = Room(name="news", soft_limit=1000)

    class Reader(Protocol):
        def connection_made(self, transport: t.Any) -> None:
            room.join(transport)

    path = tmp_path / "status"
    with Server(LOCAL, Reader, status_endpoint=f"unix:{path}") as running:
        asked = Asked(running.addresses[0].sockaddr, path)
        with asked.client():
            until(lambda: len(room) == 1)
            for _ in range(64):
                running.engine.call_soon(room.publish, bytes(1 << 16))

            until(lambda: asked.view()["lagging"])
            view = asked.view()
            (lags,) = view["lagging"]
            (found,) = view["connections"]
            assert (lags["room"], lags["fd"], lags["peer"]) == ("news", found["fd"], found["peer"])
            assert lags["outbox"] > 1000
            assert view["rooms"][0]["lagging"] == 1
            assert found["paused"] == ["outbox"]


@pytest.mark.skipif(not OPENSSL, reason="the openssl command, which makes certificates, is missing")
def test_the_protocol_within_tls(tmp_path: Path) -> None:
    path = tmp_path / "status"
    options: dict[str, t.Any] = {"tls": server_config(), "status_endpoint": f"unix:{path}"}
    with Server("tls://127.0.0.1:0", Echo, **options) as running:
        asked = Asked(running.addresses[0].sockaddr, path)
        with TlsClient(asked.client()) as client:
            client.handshake().sendall(b"x")
            assert client.recv(1) == b"x"
            (found,) = asked.view()["connections"]
            assert (found["tls"], found["protocol"]) == (True, "Echo")


# --- who asks, and does not behave ---------------------------------------------------------------


class Many(Protocol):
    """Has a long name for who asks, so that the answer is long."""

    status_label = "x" * 1000


def test_who_does_not_read_holds_up_nobody(tmp_path: Path) -> None:
    path = tmp_path / "status"
    with contextlib.ExitStack() as s:
        running = s.enter_context(Server(LOCAL, Many, status_endpoint=f"unix:{path}"))
        asked = Asked(running.addresses[0].sockaddr, path)
        for _ in range(900):
            s.enter_context(asked.client())
        until(lambda: running.engine.statistics().connections == 900)
        lazy = s.enter_context(asked.connect())  # some 300 kB, which no socket buffer takes
        assert len(asked.view()["connections"]) == 900
        began = time.monotonic()
        running.stop(0.0)
        assert time.monotonic() - began < PATIENCE
        with pytest.raises(json.JSONDecodeError):
            json.loads(_whatever_comes(lazy))


def _whatever_comes(sock: socket.socket) -> bytes:
    try:
        return receive_all(sock)
    except ConnectionResetError:
        return b""


def test_who_does_not_read_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status_answer, "PATIENCE", 0.05)
    path = tmp_path / "status"
    with contextlib.ExitStack() as s:
        running = s.enter_context(Server(LOCAL, Many, status_endpoint=f"unix:{path}"))
        asked = Asked(running.addresses[0].sockaddr, path)
        for _ in range(900):
            s.enter_context(asked.client())
        until(lambda: running.engine.statistics().connections == 900)
        lazy = [s.enter_context(asked.connect()) for _ in range(own.MOST)]
        until(lambda: _is_whole(asked))  # once one of them has been cut off
        assert all(not _whatever_comes(one).endswith(b"}\n") for one in lazy)


def _is_whole(asked: Asked) -> bool:
    """We are cut off, too, if this machine lets us wait."""
    try:
        return len(asked.view()["connections"]) == 900
    except (ValueError, ConnectionResetError):
        return False


def test_what_is_sent_to_it_is_nothing(tmp_path: Path) -> None:
    with server(IN_PROCESS[0], tmp_path, "echo") as asked, asked.connect() as sock:
        sock.sendall(b"GET / HTTP/1.1\r\n\r\n" + bytes(100_000))
        assert json.loads(receive_all(sock))["connections"] == []


def test_a_stop_waits_for_nobody_who_asks(tmp_path: Path) -> None:
    with server(IN_PROCESS[0], tmp_path, "echo") as asked:
        lingering = asked.connect()
        receive_all(lingering)  # and does not close
        began = time.monotonic()
    assert time.monotonic() - began < limits.LINGER
    with pytest.raises((ConnectionRefusedError, FileNotFoundError)):
        asked.connect()
    lingering.close()


# --- where ---------------------------------------------------------------------------------------


def test_the_file_is_its_owners_and_a_stale_one_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "status"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with server(IN_PROCESS[0], tmp_path, "echo") as asked:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        with pytest.raises(SystemRefused, match="in use"):
            Server(LOCAL, Echo, status_endpoint=f"unix:{path}").open()
        assert asked.view()["counters"]["accepted"] == 0


def test_over_tcp(tmp_path: Path) -> None:
    with Server(LOCAL, Echo, status_endpoint="tcp://localhost:0") as running:
        where = running.describe()[-1].split()[2]
        address: t.Any = resolve(Endpoint.parse(where))[0].sockaddr
        with socket.create_connection(address[:2], timeout=PATIENCE) as sock:
            assert json.loads(receive_all(sock))["jackfield"]


@pytest.mark.parametrize(
    ("endpoint", "why"),
    [
        ("tcp://:0", "others could ask"),
        ("tcp://0.0.0.0:0", "others could ask"),
        ("tcp://192.0.2.1:80", "others could ask"),
        ("udp://127.0.0.1:0", "unix:/path or tcp://127.0.0.1:port"),
        ("tls://127.0.0.1:0", "unix:/path or tcp://127.0.0.1:port"),
        ("nonsense", "the scheme is missing"),
    ],
)
def test_where_it_may_not_be(endpoint: str, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        Server(LOCAL, Echo, status_endpoint=endpoint).open()
