"""A traced socket does what the socket does, and tells."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jackfield.instrument import Instrument, SocketCall
from jackfield.kernel.traced_socket import TracedSocket, protocol_of, traced


class Notes(Instrument):
    """Keeps every call."""

    wants_calls = True

    def __init__(self, payload: int = 0) -> None:
        self.payload = payload
        self.calls: list[SocketCall] = []

    def called(self, call: SocketCall) -> None:
        self.calls.append(call)

    def last(self) -> tuple[str, int, str, int, int]:
        call = self.calls[-1]
        return call.call, call.result, call.error, call.asked, call.size


@pytest.fixture
def notes() -> Notes:
    return Notes(payload=4)


@pytest.fixture
def pair(notes: Notes) -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with traced(ours, [notes]) as sock, theirs:
        sock.setblocking(False)
        yield sock, theirs


def test_nobody_wants_calls() -> None:
    with socket.socket() as sock:
        assert traced(sock, []) is sock
        assert traced(sock, [Instrument()]) is sock


def test_it_is_wrapped_once(notes: Notes) -> None:
    with socket.socket() as sock:
        once = traced(sock, [Instrument(), notes])
        assert isinstance(once, TracedSocket)
        assert traced(once, [notes]) is once


def test_bytes_go_through(pair: tuple[socket.socket, socket.socket], notes: Notes) -> None:
    ours, theirs = pair
    assert ours.send(b"hello") == 5
    assert notes.last() == ("send", 5, "", 5, 5)
    assert ours.sendmsg([b"wor", memoryview(b"ld")], (), 0) == 5
    assert notes.last() == ("sendmsg", 5, "", 5, 5)
    assert theirs.recv(100) == b"helloworld"
    theirs.sendall(b"\x1b[2J answer")
    assert ours.recv(3, socket.MSG_PEEK) == b"\x1b[2"
    assert notes.last() == ("recv(MSG_PEEK)", 3, "", 3, 0)
    assert ours.recv(100) == b"\x1b[2J answer"
    assert notes.last() == ("recv", 11, "", 100, 11)
    assert notes.calls[-1].payload == r"\x1b[2J"
    assert notes.calls[-1].task > 0
    assert notes.calls[-1].seconds >= 0


def test_errors_go_through(pair: tuple[socket.socket, socket.socket], notes: Notes) -> None:
    ours, theirs = pair
    with pytest.raises(BlockingIOError):
        ours.recv(100)
    assert notes.last() == ("recv", -1, "EAGAIN", 100, 0)
    theirs.close()
    with pytest.raises(BrokenPipeError):
        ours.send(b"x")
    assert notes.last() == ("send", -1, "EPIPE", 1, 0)


def test_the_end(pair: tuple[socket.socket, socket.socket], notes: Notes) -> None:
    ours, theirs = pair
    fd = ours.fileno()
    ours.shutdown(socket.SHUT_WR)
    assert (notes.calls[-1].call, notes.calls[-1].detail) == ("shutdown", "SHUT_WR")
    assert theirs.recv(1) == b""
    ours.close()
    ours.close()
    assert [call.call for call in notes.calls] == ["shutdown", "close"]
    assert notes.calls[-1].fd == fd
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


def test_what_it_accepts_is_traced(notes: Notes) -> None:
    with (
        traced(socket.create_server(("127.0.0.1", 0)), [notes]) as listener,
        socket.create_connection(listener.getsockname()) as client,
    ):
        sock, peername = listener.accept()
        with sock:
            assert peername == client.getsockname()
            accepted = notes.calls[-1]
            assert (accepted.call, accepted.result) == ("accept", sock.fileno())
            host, port = peername
            assert accepted.detail == f"{host}:{port}"
            client.sendall(b"x")
            assert sock.recv(9) == b"x"
            received = notes.calls[-1]
            assert (received.protocol, received.peer) == ("tcp", f"{host}:{port}")
            assert received.local == accepted.local
            assert received.fd == sock.fileno()


def test_datagrams(notes: Notes) -> None:
    with (
        traced(socket.socket(socket.AF_INET, socket.SOCK_DGRAM), [notes]) as ours,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as theirs,
    ):
        for sock in (ours, theirs):
            sock.bind(("127.0.0.1", 0))
        there = "{}:{}".format(*theirs.getsockname())
        assert ours.sendto(b"hello", theirs.getsockname()) == 5
        assert notes.last() == ("sendto", 5, "", 5, 5)
        assert notes.calls[-1].detail == there
        theirs.sendto(b"hi", ours.getsockname())
        assert ours.recvfrom(100) == (b"hi", theirs.getsockname())
        assert (notes.calls[-1].call, notes.calls[-1].detail) == ("recvfrom", there)
        theirs.sendto(b"hey", ours.getsockname())
        assert ours.recvmsg(100)[0] == b"hey"
        assert (notes.calls[-1].call, notes.calls[-1].size) == ("recvmsg", 3)
        with pytest.raises(OSError, match="too long"):
            ours.sendto(bytes(70_000), theirs.getsockname())
        assert notes.calls[-1].error == "EMSGSIZE"


def test_a_name_is_escaped(short_directory: Path, notes: Notes) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(short_directory / "\x1b[2J"))
        with pytest.raises(OSError, match="Invalid argument"):
            traced(sock, [notes]).accept()
        assert r"\x1b[2J" in notes.calls[-1].local
        assert notes.calls[-1].local.isprintable()


def test_all_else_is_handed_on(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, _ = pair
    assert ours.family == socket.AF_UNIX
    assert ours.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
    with pytest.raises(AttributeError):
        _ = ours.nonsense  # type: ignore[attr-defined]


def test_protocols() -> None:
    for family, kind, name in (
        (socket.AF_INET, socket.SOCK_STREAM, "tcp"),
        (socket.AF_INET6, socket.SOCK_DGRAM, "udp"),
        (socket.AF_UNIX, socket.SOCK_STREAM, "unix"),
        (socket.AF_UNIX, socket.SOCK_DGRAM, "unixgram"),
    ):
        with socket.socket(family, kind) as sock:
            assert protocol_of(sock) == name


@given(st.binary(min_size=1, max_size=50))
def test_any_payload_is_shown_escaped(data: bytes) -> None:
    notes = Notes(payload=20)
    ours, theirs = socket.socketpair()
    with traced(ours, [notes]) as sock, theirs:
        theirs.sendall(data)
        assert sock.recv(100) == data
    shown = notes.calls[0].payload
    assert shown.isprintable()
    assert len(shown) <= 80
