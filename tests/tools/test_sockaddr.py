"""The bytes shown are the bytes that the kernel has: asked for by getsockname(2) itself."""

from __future__ import annotations

import ctypes
import os
import socket
import sys
from pathlib import Path

import pytest
from tests.support import has_ipv6

from jackfield.address import Address
from jackfield.errors import UsageError
from jackfield.tools.sockaddr import fields, pack

ipv6 = pytest.mark.skipif(not has_ipv6(), reason="no IPv6 loopback")
linux = pytest.mark.skipif(sys.platform != "linux", reason="abstract names are Linux's")


def kernels(sock: socket.socket) -> bytes:
    """The sockaddr as the C library gives it, byte for byte."""
    buffer = ctypes.create_string_buffer(128)
    size = ctypes.c_uint32(128)
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.getsockname(sock.fileno(), buffer, ctypes.byref(size)) == 0
    return buffer.raw[: size.value]


@pytest.mark.parametrize(
    ("family", "host"),
    [
        (socket.AF_INET, "127.0.0.1"),
        (socket.AF_INET, "127.1.2.3"),
        pytest.param(socket.AF_INET6, "::1", marks=ipv6),
    ],
)
@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_ip(family: int, host: str, kind: int) -> None:
    with socket.socket(family, kind) as sock:
        sock.bind((host, 0))
        assert pack(Address.of(sock)) == kernels(sock)


def test_unix_path(short_directory: Path) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(short_directory / "a b\n"))
        assert pack(Address.of(sock)) == kernels(sock)
        assert fields(Address.of(sock))[-1].meaning.endswith(r"a b\n")


@linux
def test_abstract_name() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(b"\0jackfield\x1b\0%d" % os.getpid())
        assert pack(Address.of(sock)) == kernels(sock)
        meaning = fields(Address.of(sock))[-1].meaning
        assert meaning.startswith(r"abstract: a NUL, then jackfield\x1b\x00")


def test_a_socket_without_a_name() -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        assert pack(Address.of(sock)) == kernels(sock)


def test_network_order() -> None:
    """The port is big-endian everywhere; the well-known mistake swaps its bytes."""
    address = Address("tcp", socket.AF_INET6, socket.SOCK_STREAM, ("fe80::2", 8888, 7, 0))
    found = {field.name: (field.data, field.order) for field in fields(address)}
    assert found["port"] == (b"\x22\xb8", "network order")
    assert found["flowinfo"] == (b"\0\0\0\7", "network order")
    assert found["address"][0].hex() == "fe80" + "0" * 27 + "2"
    assert found["scope id"] == (bytes(4), "host order")


def test_a_scope_is_named_by_its_interface() -> None:
    index, name = socket.if_nameindex()[0]
    address = Address("tcp", socket.AF_INET6, socket.SOCK_STREAM, ("fe80::2%x", 1, 0, index))
    scope = fields(address)[-1]
    assert scope.meaning == f"{index} = {name}"
    assert scope.data == index.to_bytes(4, sys.byteorder)


def test_another_family() -> None:
    with pytest.raises(UsageError, match="IPv4, IPv6 and Unix"):
        fields(Address("fd", 9999, socket.SOCK_DGRAM, (0, 0), 3))
