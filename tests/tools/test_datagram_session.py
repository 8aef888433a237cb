"""A conversation over UDP: which bytes become one datagram, and when it is over."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest
from tests.tools.wires import PATIENCE, Wires, read_some, udp_pair

from jackfield import limits
from jackfield.tools.datagram_session import DatagramSession

FOR_EVER = 3600.0
"""A session that waited this long for replies would fail its test."""


@pytest.fixture
def wires() -> Iterator[Wires]:
    with udp_pair() as (near, peer):
        wires = Wires(near, peer, "poll")  # which sees at once that its reader is gone
        yield wires
        wires.close()


def test_a_line_is_a_datagram(wires: Wires) -> None:
    wires.start(DatagramSession, reply_wait=0)
    wires.type(b"one\n\ntw")
    assert [wires.peer.recv(100) for _ in range(2)] == [b"one\n", b"\n"]
    wires.type(b"o\r\nlast \xff")
    assert wires.peer.recv(100) == b"two\r\n"
    wires.end_input()
    assert wires.peer.recv(100) == b"last \xff"
    wires.finish()


def test_lines_to_a_group_and_replies_from_anybody(wires: Wires) -> None:
    with (
        socket.socket(type=socket.SOCK_DGRAM) as group,
        socket.socket(type=socket.SOCK_DGRAM) as near,
    ):
        group.bind(("127.0.0.1", 0))
        group.settimeout(PATIENCE)
        near.setblocking(False)
        wires.near = near  # not connected
        wires.start(DatagramSession, reply_wait=FOR_EVER, to=group.getsockname())
        wires.type(b"who is there?\n")
        data, addr = group.recvfrom(100)
        assert data == b"who is there?\n"
        for name in (b"I", b"and I"):
            with socket.socket(type=socket.SOCK_DGRAM) as member:
                member.sendto(name, ("127.0.0.1", addr[1]))
            assert read_some(wires.shown) == name
        wires.stop_reading()
        wires.finish()


def test_a_long_line_is_cut_where_a_datagram_ends(wires: Wires) -> None:
    line = os.urandom(limits.DATAGRAM_PAYLOAD + 10).replace(b"\n", b"\r") + b"\n"
    wires.start(DatagramSession, reply_wait=0)
    for start in range(0, len(line), 4096):  # within a pipe's room
        wires.type(line[start : start + 4096])
    wires.end_input()
    first, second = (wires.peer.recv(limits.DATAGRAM_SIZE) for _ in range(2))
    assert len(first) == limits.DATAGRAM_PAYLOAD
    assert first + second == line
    wires.finish()


def test_replies_are_shown_after_the_end_of_input_too(wires: Wires) -> None:
    wires.start(DatagramSession, reply_wait=FOR_EVER)
    wires.type(b"ask\n")
    wires.end_input()
    assert wires.peer.recv(100) == b"ask\n"
    wires.peer.send(b"answer")
    assert read_some(wires.shown) == b"answer"
    wires.peer.send(b"")  # an empty datagram is no end
    wires.peer.send(b"more")
    assert read_some(wires.shown) == b"more"


def test_nothing_sent_means_nothing_to_wait_for(wires: Wires) -> None:
    wires.start(DatagramSession, reply_wait=FOR_EVER)
    wires.end_input()
    wires.finish()


def test_a_silent_peer_is_waited_for_only_so_long(wires: Wires) -> None:
    wires.start(DatagramSession, reply_wait=0.05)
    wires.type(b"ask\n")
    wires.end_input()
    wires.finish()
    assert wires.output() == b""


def test_a_port_where_nobody_listens_any_more(wires: Wires) -> None:
    wires.peer.send(b"last words")
    wires.peer.close()
    wires.type(b"anybody?\n")
    wires.type(b"anybody?\n")
    wires.start(DatagramSession, reply_wait=FOR_EVER)
    with pytest.raises(ConnectionRefusedError):
        wires.finish()
    assert wires.output() == b"last words"
