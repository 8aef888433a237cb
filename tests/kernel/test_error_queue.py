"""What Linux keeps for a UDP socket of the ICMP errors its datagrams caused."""

from __future__ import annotations

import errno
import socket
import sys
import typing as t
from collections.abc import Iterator

import pytest
from tests.support import has_ipv6

from jackfield.kernel import error_queue

linux = pytest.mark.skipif(sys.platform != "linux", reason="Linux's behaviour")


@pytest.fixture(params=["127.0.0.1", "::1"])
def sock(request: pytest.FixtureRequest) -> Iterator[socket.socket]:
    where = str(request.param)
    if ":" in where and not has_ipv6():
        pytest.skip("no IPv6 loopback")
    with socket.socket(
        socket.AF_INET6 if ":" in where else socket.AF_INET, socket.SOCK_DGRAM
    ) as sock:
        sock.bind((where, 0))
        sock.setblocking(False)
        yield sock


def nobody(sock: socket.socket) -> t.Any:
    """An address that nobody is bound to any more."""
    with socket.socket(sock.family, socket.SOCK_DGRAM) as gone:
        gone.bind((sock.getsockname()[0], 0))
        return gone.getsockname()


@linux
def test_each_error_has_the_address_of_its_datagram(sock: socket.socket) -> None:
    assert error_queue.enable(sock)
    places = [nobody(sock), nobody(sock)]
    for place in places:
        try:
            sock.sendto(b"anybody?", place)
        except ConnectionRefusedError:  # the first one's error fails the second send
            sock.sendto(b"anybody?", place)
    errors = error_queue.take(sock, 10)
    assert [addr for _, addr in errors] == places
    for exc, addr in errors:
        assert isinstance(exc, ConnectionRefusedError)
        assert str(addr[1]) in str(exc)
    assert error_queue.take(sock, 10) == []
    with pytest.raises(BlockingIOError):  # nor does it fail the next call
        sock.recv(1)


@linux
def test_no_more_are_taken_than_asked(sock: socket.socket) -> None:
    error_queue.enable(sock)
    place = nobody(sock)
    for _ in range(6):
        try:
            sock.sendto(b"", place)
        except ConnectionRefusedError:
            continue
    assert len(error_queue.take(sock, 2)) == 2
    assert error_queue.take(sock, 0) == []
    assert len(error_queue.take(sock, 100)) >= 1


@linux
def test_what_the_send_itself_raised_is_not_told_twice(sock: socket.socket) -> None:
    error_queue.enable(sock)
    if sock.family == socket.AF_INET6:  # IPV6_MTU_DISCOVER = IPV6_PMTUDISC_DO: not in fragments
        sock.setsockopt(socket.IPPROTO_IPV6, 23, 2)
    with pytest.raises(OSError) as caught:
        sock.sendto(bytes(65_520), sock.getsockname())
    assert caught.value.errno == errno.EMSGSIZE
    assert error_queue.take(sock, 10) == []


def test_sockets_without_a_queue() -> None:
    with socket.socket() as sock:
        assert not error_queue.enable(sock)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        assert not error_queue.enable(sock)


def test_messages_that_are_no_error() -> None:
    assert error_queue._remote_errno([]) == 0
    assert error_queue._remote_errno([(0, 1, b"x"), (0, 11, b"short")]) == 0
    local = error_queue.EXTENDED_ERROR.pack(errno.EMSGSIZE, 1, 0, 0, 1500, 0)
    icmp = error_queue.EXTENDED_ERROR.pack(errno.EMSGSIZE, 2, 3, 4, 1500, 0)
    assert error_queue._remote_errno([(0, 11, local)]) == 0
    assert error_queue._remote_errno([(0, 11, icmp + bytes(16))]) == errno.EMSGSIZE
