"""The kernel's sockets: messages made by hand and broken, and real sockets found again."""

from __future__ import annotations

import os
import random
import socket
import struct
import sys
import typing as t
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.kernel.test_netlink import attribute
from tests.support import fill, has_ipv6, until

from jackfield.errors import SystemRefused
from jackfield.kernel import inet_diag, netlink, options, sockdiag, tcp_info, unix_diag
from jackfield.kernel.inet_diag import AF_INET, AF_INET6, InetSocket, Reader
from jackfield.kernel.unix_diag import UnixSocket

linux = pytest.mark.skipif(sys.platform != "linux", reason="sock_diag is Linux's")


def inet_message(family: int = AF_INET, *attributes: bytes, inode: int = 41) -> bytes:
    host = socket.inet_aton("127.0.0.1") if family == AF_INET else socket.inet_pton(10, "::1")
    return b"".join(
        (
            bytes([family, 1, 2, 3]),
            struct.pack(">HH", 8888, 63062),
            host.ljust(16, b"\0"),
            host.ljust(16, b"\0"),
            struct.pack("=I8x5I", 7, 1500, 10, 20, 1000, inode),
            *attributes,
        )
    )


def read(data: bytes, reader: Reader | None = None) -> InetSocket:
    padded = b"head" + data + b"tail"
    return (reader or Reader("tcp")).read(padded, 4, 4 + len(data))


INFO: t.Final = bytes(tcp_info.SIZE)
FULL: t.Final = (
    attribute(inet_diag.SHUTDOWN, b"\2"),
    attribute(inet_diag.V6ONLY, b"\1"),
    attribute(inet_diag.MEMORY, struct.pack("=9I", *range(9))),
    attribute(inet_diag.INFO, INFO),
    attribute(inet_diag.CONGESTION, b"cubic\0"),
)


def test_a_message_is_taken_apart() -> None:
    one = read(inet_message(AF_INET, *FULL))
    assert (one.protocol, one.family, one.state, one.timer, one.retransmits) == ("tcp", 2, 1, 2, 3)
    assert (one.local, one.peer) == (("127.0.0.1", 8888), ("127.0.0.1", 63062))
    assert (one.interface, one.expires_ms, one.rqueue, one.wqueue) == (7, 1500, 10, 20)
    assert (one.uid, one.inode, one.timer_name) == (1000, 41, "keepalive")
    assert (one.shutdown, one.v6only, one.congestion) == (2, True, "cubic")
    assert one.memory == inet_diag.Memory(*range(9))
    assert one.tcp == tcp_info.parse(INFO)


def test_a_message_without_attributes() -> None:
    one = read(inet_message(AF_INET6))
    assert one.local == ("::1", 8888)
    assert (one.shutdown, one.v6only, one.congestion, one.memory, one.tcp) == (
        *(0, False, ""),
        *(None, None),
    )


def test_messages_of_one_length_may_differ_in_shape() -> None:
    """The reader remembers where attributes are; another order must not be read by that."""
    reader = Reader("tcp")
    for order in (FULL, FULL[::-1], FULL[1:] + FULL[:1], FULL):
        one = read(inet_message(AF_INET, *order), reader)
        assert one == read(inet_message(AF_INET, *FULL))


@given(st.permutations(FULL), st.integers(0, len(FULL)), st.integers(0, 500))
def test_a_reader_says_what_a_new_one_says(order: list[bytes], count: int, seed: int) -> None:
    reader = Reader("tcp")
    data = inet_message(AF_INET, *order[:count])
    changed = bytearray(data)
    changed[random.Random(seed).randrange(len(data))] ^= 1 << seed % 8
    for feed in (data, bytes(changed), data):
        assert outcome(feed, reader) == outcome(feed, Reader("tcp"))


def outcome(data: bytes, reader: Reader) -> InetSocket | None:
    try:
        return read(data, reader)
    except SystemRefused:
        return None


def test_every_truncation_is_a_socket_or_an_error() -> None:
    whole = inet_message(AF_INET, *FULL)
    for size in range(len(whole)):
        one = outcome(whole[:size], Reader("tcp"))
        assert (one is None) or size >= inet_diag.MESSAGE_SIZE


@given(st.binary(max_size=300))
def test_anything_is_a_socket_or_an_error(data: bytes) -> None:
    for feed in (data, inet_message()[:72] + data):
        one = outcome(feed, Reader("tcp"))
        if one:
            _ = one.local, one.peer, one.tcp, one.memory, one.congestion, one.timer_name
            sockdiag.state_name(one)
        try:
            unix_diag.read(feed, 0, len(feed))
        except SystemRefused:
            pass


@given(st.binary(max_size=300))
def test_tcp_info_of_any_length(data: bytes) -> None:
    assert tcp_info.parse(data).snd_wnd == (
        int.from_bytes(data[228:232].ljust(4, b"\0"), sys.byteorder) if len(data) > 228 else 0
    )


def test_the_reader_forgets_shapes_when_there_are_too_many() -> None:
    reader = Reader("tcp")
    for size in range(2 * inet_diag.LAYOUTS):
        read(inet_message(AF_INET, attribute(99, bytes(size))), reader)
    assert len(reader._layouts) <= inet_diag.LAYOUTS


def unix_message(*attributes: bytes) -> bytes:
    return struct.pack("=BBBxI8x", 1, 1, 10, 41) + b"".join(attributes)


def test_a_unix_message_is_taken_apart() -> None:
    data = unix_message(
        attribute(0, b"/run/x\0"),
        attribute(2, struct.pack("=I", 42)),
        attribute(3, struct.pack("=II", 7, 8) + b"cut"),
        attribute(4, struct.pack("=II", 1, 128)),
        attribute(6, b"\3"),
        attribute(7, struct.pack("=I", 1000)),
    )
    one = unix_diag.read(data, 0, len(data))
    assert one == UnixSocket(1, 10, 41, b"/run/x", 42, 1, 128, 3, 1000, (7, 8))
    assert (one.protocol, sockdiag.state_name(one)) == ("stream", "LISTEN")


def test_unix_attributes_too_short_count_as_absent() -> None:
    data = unix_message(attribute(2, b"1"), attribute(4, b"1234"), attribute(7, b""))
    one = unix_diag.read(data, 0, len(data))
    assert (one.peer, one.rqueue, one.uid, one.name) == (0, 0, None, b"")


# --- real sockets ------------------------------------------------------------------------------


def found(sock: socket.socket) -> InetSocket | UnixSocket | None:
    inode = os.fstat(sock.fileno()).st_ino
    every: list[InetSocket | UnixSocket] = [*sockdiag.tcp(), *sockdiag.udp(), *sockdiag.unix()]
    return next((one for one in every if one.inode == inode), None)


def find(sock: socket.socket) -> t.Any:
    one = found(sock)
    assert one is not None
    return one


@pytest.fixture(params=["127.0.0.1", "::1"])
def listener(request: pytest.FixtureRequest) -> Iterator[socket.socket]:
    if request.param == "::1" and not has_ipv6():
        pytest.skip("no IPv6 loopback")
    family = socket.AF_INET6 if request.param == "::1" else socket.AF_INET
    with socket.create_server((request.param, 0), family=family, backlog=5) as sock:
        yield sock


@linux
def test_a_tcp_connection(listener: socket.socket) -> None:
    with socket.create_connection(listener.getsockname()[:2]) as client:
        waits = find(listener)
        assert (sockdiag.state_name(waits), waits.rqueue, waits.wqueue) == ("LISTEN", 1, 5)
        server, _ = listener.accept()
        with server:
            client.sendall(b"eleven byte")
            until(lambda: find(server).rqueue == 11)
            one, other = find(client), find(server)
            assert sockdiag.state_name(one) == "ESTABLISHED"
            assert (one.local, one.peer) == (other.peer, other.local)
            assert one.local == client.getsockname()[:2]
            assert one.uid == os.getuid()
            assert one.tcp.cwnd > 0
            assert one.tcp.bytes_sent == 11 == other.tcp.bytes_received
            assert one.tcp.rtt_us > 0
            assert one.memory.rcvbuf == client.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
            client.shutdown(socket.SHUT_WR)
            until(lambda: sockdiag.state_name(find(client)) == "FIN-WAIT-2")
            assert sockdiag.state_name(find(server)) == "CLOSE-WAIT"
            assert (find(client).shutdown, find(server).shutdown) == (2, 1)


@linux
def test_a_peer_that_does_not_read(listener: socket.socket) -> None:
    with socket.create_connection(listener.getsockname()[:2]) as client:
        server, _ = listener.accept()
        with server:
            client.setblocking(False)
            sent = fill(client)
            until(lambda: find(client).tcp.snd_wnd == 0)
            assert find(client).wqueue + find(server).rqueue == sent
            assert find(client).timer_name in ("persist", "on")


@linux
def test_udp() -> None:
    with (
        socket.socket(type=socket.SOCK_DGRAM) as bound,
        socket.socket(type=socket.SOCK_DGRAM) as sender,
    ):
        bound.bind(("127.0.0.1", 0))
        sender.connect(bound.getsockname())
        sender.send(b"x")
        assert (sockdiag.state_name(find(bound)), find(bound).dport) == ("UNCONNECTED", 0)
        assert find(bound).rqueue > 0
        assert find(bound).tcp is None
        assert find(sender).peer == bound.getsockname()
        assert sockdiag.state_name(find(sender)) == "ESTABLISHED"


@linux
def test_unix() -> None:
    name = b"\0jackfield \x1b\n %d" % os.getpid()
    with socket.socket(socket.AF_UNIX) as listening, socket.socket(socket.AF_UNIX) as client:
        listening.bind(name)
        listening.listen(3)
        client.connect(name)
        there, here = find(listening), find(client)
        assert (there.name, there.rqueue, there.wqueue) == (name, 1, 3)
        assert there.waiting == (here.inode,)
        assert here.peer == 0  # nobody has its other end yet
        server, _ = listening.accept()
        with server:
            assert (find(client).peer, find(server).peer) == (find(server).inode, here.inode)
            assert (find(server).name, find(server).uid) == (name, os.getuid())


@linux
def test_who_waits_at_a_unix_listener(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with ExitStack() as opened:
        listening, other = (opened.enter_context(socket.socket(socket.AF_UNIX)) for _ in "ab")
        for sock, path in ((listening, tmp_path / "here"), (other, tmp_path / "there")):
            sock.bind(str(path))
            sock.listen(3)
        lengths = []
        for _ in range(3):
            lengths.append(unix_diag.backlog_length(listening))
            client = opened.enter_context(socket.socket(socket.AF_UNIX))
            client.connect(str(tmp_path / "here"))
        assert lengths == [0, 1, 2]
        listening.accept()[0].close()
        assert options.backlog_length(listening) == 2
        assert options.backlog_length(other) == 0

        def refuse() -> t.NoReturn:
            raise PermissionError(1, "Operation not permitted")

        monkeypatch.setattr(netlink, "_open", refuse)
        assert options.backlog_length(listening) is None
