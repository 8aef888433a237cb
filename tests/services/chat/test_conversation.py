"""Chat over real sockets, under every engine that serves many at once, and by workers."""

from __future__ import annotations

import socket
import typing as t
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.chat_servers import WAYS, Served, chat_server
from tests.support import receive_all


class Client:
    """A connection that types lines and reads them one by one, with a deadline. It has come in,
    and read that it is welcome: the next one is a guest with the next number."""

    def __init__(self, server: Served, number: int = 0) -> None:
        address = server.addresses[number]
        self.sock = socket.socket(address.family, address.type)
        self.sock.settimeout(20)
        self.sock.connect(address.sockaddr)
        self.stream = self.sock.makefile("rb")
        assert self.line().startswith("-- welcome")

    def __enter__(self) -> t.Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.stream.close()
        self.sock.close()

    def type(self, line: str) -> None:
        self.sock.sendall(line.encode() + b"\r\n")

    def line(self) -> str:
        line = self.stream.readline()
        assert line.endswith(b"\r\n"), line
        return line[:-2].decode()

    def read_to(self, wanted: str) -> list[str]:
        """Everything up to the line ``wanted``."""
        lines = []
        while True:
            lines.append(self.line())
            if lines[-1] == wanted:
                return lines


@pytest.fixture(params=WAYS)
def server(request: pytest.FixtureRequest, short_directory: Path) -> Iterator[Served]:
    with chat_server(request.param, short_directory) as served:
        yield served


def test_people_on_tcp_and_unix_talk_in_one_room(server: Served) -> None:
    with Client(server, 0) as alice, Client(server, 1) as bob:
        alice.type("/nick alice")
        alice.read_to("-- guest-1 is now alice")
        bob.type("/nick bob")
        for client in (alice, bob):
            client.read_to("-- guest-2 is now bob")
        alice.type("hello bob")
        bob.read_to("<alice> hello bob")
        bob.type("/quit")
        assert alice.read_to("-- bob left lobby") == ["<alice> hello bob", "-- bob left lobby"]
        assert bob.stream.read() == b"-- goodbye\r\n"


def test_everybody_reads_everything_in_one_order(server: Served) -> None:
    clients: list[Client] = []
    try:
        for number in range(8):
            clients.append(Client(server, number % 2))
            clients[-1].type(f"/nick user{number}")
            for other in clients:
                other.read_to(f"-- guest-{number + 1} is now user{number}")
        for client in clients:
            client.sock.sendall(b"".join(b"line %d\n" % number for number in range(200)))
        transcripts = [[client.line() for _ in range(8 * 200)] for client in clients]
        assert all(transcript == transcripts[0] for transcript in transcripts)
        for number in range(8):
            own = [line for line in transcripts[0] if line.startswith(f"<user{number}>")]
            assert own == [f"<user{number}> line {index}" for index in range(200)]
    finally:
        for client in clients:
            client.__exit__()


def test_no_notice_shows_where_somebody_is(server: Served) -> None:
    with Client(server) as watcher:
        watcher.read_to("-- guest-1 joined lobby")
        with Client(server) as other:
            host, port = other.sock.getsockname()
            other.read_to("-- guest-2 joined lobby")
            other.type("/nick somebody")
            other.read_to("-- guest-2 is now somebody")
        seen = watcher.read_to("-- somebody left lobby")
        for command in ("/who", "/rooms", "/nick"):
            watcher.type(command)
        seen += watcher.read_to("-- you are guest-1")
        assert not [line for line in seen if host in line or str(port) in line]


def test_a_browser_is_cut_off(server: Served) -> None:
    with Client(server) as alice, Client(server) as browser:
        alice.read_to("-- guest-1 joined lobby")
        browser.sock.sendall(
            b"POST /" + b"a" * 5000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n/nick evil\r\nhello\r\n"
        )
        last = receive_all(browser.sock).decode().splitlines()[-1]
        assert last == "-- disconnected: this is a chat server, not a web server"
        seen = alice.read_to("-- guest-2 left lobby")
        assert set(seen) <= {"-- guest-2 joined lobby", "-- guest-2 left lobby"}


def test_who_pipes_a_line_in_is_heard_to_the_end(server: Served) -> None:
    with Client(server) as alice, Client(server) as pipe:
        alice.read_to("-- guest-2 joined lobby")
        pipe.sock.sendall(b"/nick pipe\nno newline at the end")
        pipe.sock.shutdown(socket.SHUT_WR)
        assert receive_all(pipe.sock).endswith(b"<pipe> no newline at the end\r\n")
        alice.read_to("<pipe> no newline at the end")
        alice.read_to("-- pipe left lobby")
