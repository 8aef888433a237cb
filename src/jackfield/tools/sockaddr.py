"""The bytes of a sockaddr, field by field: what bind() and connect() are really handed.

    sockaddr_in    family 2 | port 2 | address 4 | zero 8                        ip(7)
    sockaddr_in6   family 2 | port 2 | flowinfo 4 | address 16 | scope id 4      ipv6(7)
    sockaddr_un    family 2 | path                                               unix(7)

Port, flowinfo and address are in network byte order, family and scope id in the host's. On
macOS and BSD the family is one byte, behind one with the length. Must not resolve names.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
import typing as t
from collections.abc import Callable

from jackfield.address import AF_UNIX, Address
from jackfield.endpoint import printable
from jackfield.errors import UsageError

NETWORK: t.Final = "network order"
HOST: t.Final = "host order"
EITHER: t.Final = ""
"""How a field is written (byteorder(3)); bytes that are no number have no order."""

HAS_LENGTH: t.Final = sys.platform == "darwin" or "bsd" in sys.platform


class Field(t.NamedTuple):
    """One field: its bytes, what they mean as text that is safe to print, and their order."""

    name: str
    data: bytes
    meaning: str
    order: str


def fields(address: Address) -> list[Field]:
    """The fields of ``address``'s sockaddr, in their order. Raises ``UsageError`` for a family that
    is not IPv4, IPv6 or Unix."""
    build = _BUILDERS.get(address.family)
    if build is None:
        raise UsageError(f"{address}: only sockaddrs of IPv4, IPv6 and Unix sockets are shown")
    behind = build(address)
    size = 2 + sum(len(field.data) for field in behind)
    return [*_family(address.family, size), *behind]


def _family(family: int, size: int) -> list[Field]:
    name = f"{int(family)} = {socket.AddressFamily(family).name}"
    if HAS_LENGTH:
        length = Field("length", bytes([size]), str(size), EITHER)
        return [length, Field("family", bytes([family]), name, EITHER)]
    return [Field("family", struct.pack("=H", family), name, HOST)]


def _ipv4(address: Address) -> list[Field]:
    assert isinstance(address.sockaddr, tuple)
    host, port = address.sockaddr
    return [
        Field("port", struct.pack("!H", port), str(port), NETWORK),
        Field("address", socket.inet_aton(str(host)), str(host), NETWORK),
        Field("zero", bytes(8), "unused", EITHER),
    ]


def _ipv6(address: Address) -> list[Field]:
    assert isinstance(address.sockaddr, tuple)
    host, port, flowinfo, scope = address.sockaddr
    host = str(host).partition("%")[0]
    return [
        Field("port", struct.pack("!H", port), str(port), NETWORK),
        Field("flowinfo", struct.pack("!I", flowinfo), str(flowinfo), NETWORK),
        Field("address", socket.inet_pton(socket.AF_INET6, host), host, NETWORK),
        Field("scope id", struct.pack("=I", scope), _interface(scope), HOST),
    ]


def _interface(index: int) -> str:
    """A scope id is the index of the interface that a link-local address belongs to."""
    try:
        return f"{index} = {printable(socket.if_indextoname(index))}" if index else "0"
    except OSError:
        return str(index)


def _unix(address: Address) -> list[Field]:
    assert not isinstance(address.sockaddr, tuple)
    name = os.fsencode(address.sockaddr)
    if name.startswith(b"\0"):
        meaning = f"abstract: a NUL, then {printable(name[1:])}"
    else:
        meaning = printable(name) if name else "none: the socket has no name"
        name += b"\0" if name else b""  # what Python hands over ends with a NUL, as unix(7) wants
    return [Field("path", name, meaning, EITHER)] if name else []


_BUILDERS: t.Final[dict[int, Callable[[Address], list[Field]]]] = {
    socket.AF_INET: _ipv4,
    socket.AF_INET6: _ipv6,
    AF_UNIX: _unix,
}


def pack(address: Address) -> bytes:
    """All of it."""
    return b"".join(field.data for field in fields(address))
