"""Addresses: the concrete places an endpoint stands for. Names resolve here and nowhere else.

An ``Endpoint`` is what a person wrote; an ``Address`` is one place that the socket module
understands. One endpoint may be several addresses::

    "tcp://localhost:8888" --Endpoint.parse--> Endpoint --resolve--> [tcp://127.0.0.1:8888,
                                                                      tcp://[::1]:8888]

This module must not know listeners, engines or options: it opens no connection.
"""

from __future__ import annotations

import errno
import os
import socket
import sys
from collections.abc import Callable

from jackfield import lazy_typing as t
from jackfield.endpoint import Endpoint, printable, refused
from jackfield.endpoint_options import Options

__all__ = [
    "AF_UNIX",
    "Address",
    "Endpoint",
    "Found",
    "SockAddr",
    "format_sockaddr",
    "look_up",
    "printable",
    "resolve",
]

SockAddr: t.TypeAlias = tuple[t.Any, ...] | str | bytes
"""A sockaddr as the socket module gives it: a tuple for IP, ``str`` or ``bytes`` for Unix."""

AF_UNIX: t.Final[int] = getattr(socket, "AF_UNIX", -1)
"""-1, which is no family, where Python offers no Unix sockets (Windows)."""


def format_sockaddr(family: int, sockaddr: SockAddr) -> str:
    """A sockaddr as text for logs: ``127.0.0.1:63062``, ``[::1]:63062``, ``unix:/path``,
    ``unix:@name``, and ``unix`` alone for a Unix peer without a name. Paths are escaped.

    Among these families the shape decides, not ``family``: a proxy may come over one and speak
    for a client of another."""
    if family not in (socket.AF_INET, socket.AF_INET6, AF_UNIX):
        return printable(f"family {int(family)} {sockaddr!r}")
    if isinstance(sockaddr, tuple) and len(sockaddr) == 2:
        return f"{sockaddr[0]}:{sockaddr[1]}"
    if isinstance(sockaddr, tuple) and len(sockaddr) == 4:
        host = str(sockaddr[0])
        if sockaddr[3] and "%" not in host:
            host += f"%{sockaddr[3]}"
        return f"[{host}]:{sockaddr[1]}"
    if isinstance(sockaddr, str | bytes):
        name = os.fsdecode(sockaddr)
        if name.startswith("\0"):
            name = "@" + name[1:]
        return f"unix:{printable(name)}" if name else "unix"
    return printable(f"family {int(family)} {sockaddr!r}")


class Address(t.NamedTuple):
    """One concrete place: what ``socket.socket`` and ``bind`` or ``connect`` take.

    ``family`` is an AF_* and ``type`` a SOCK_* of the socket module. ``fd`` is the inherited
    descriptor of an ``fd://`` address, else -1. ``options`` are the endpoint's. ``str`` gives
    endpoint text again, without the options: where, not how.
    """

    scheme: str
    family: int
    type: int
    sockaddr: SockAddr
    fd: int = -1
    options: Options = ()

    @classmethod
    def of(cls, sock: socket.socket) -> t.Self:
        """Where ``sock`` is bound (getsockname)."""
        stream, datagram = ("unix", "unixgram") if sock.family == AF_UNIX else ("tcp", "udp")
        scheme = datagram if sock.type == socket.SOCK_DGRAM else stream
        return cls(scheme, sock.family, sock.type, sock.getsockname())

    def bound(self, sock: socket.socket) -> t.Self:
        """Where ``sock``, made for this address, is bound: with its real port."""
        return self._replace(sockaddr=sock.getsockname())

    def option(self, key: str) -> str | None:
        """The value of the option ``key``, or None where it was not given."""
        return dict(self.options).get(key)

    @property
    def tls(self) -> bool:
        """Is TLS spoken there?"""
        return self.scheme == "tls" or self.option("tls") == "1"

    @property
    def port(self) -> int:
        """The port of an IP address, else 0."""
        return int(self.sockaddr[1]) if isinstance(self.sockaddr, tuple) else 0

    @property
    def path(self) -> str:
        """The path of a Unix socket in the file system, else ""."""
        if isinstance(self.sockaddr, tuple):
            return ""
        name = os.fsdecode(self.sockaddr)
        return "" if name.startswith("\0") else name

    def with_port(self, port: int) -> t.Self:
        """The same IP address with another port."""
        assert isinstance(self.sockaddr, tuple)
        host, _, *rest = self.sockaddr
        return self._replace(sockaddr=(host, port, *rest))

    def __str__(self) -> str:
        if self.scheme == "fd":
            return f"fd://{self.fd}"
        place = format_sockaddr(self.family, self.sockaddr)
        if self.family == AF_UNIX:
            return self.scheme + place.removeprefix("unix")
        return f"{self.scheme}://{place}"


def resolve(endpoint: Endpoint, *, passive: bool = False) -> list[Address]:
    """The addresses ``endpoint`` stands for: at least one, none twice, best first.

    ``passive``: to listen on (an empty host is every address) rather than to dial (an empty
    host is loopback). May block while a name server is asked (getaddrinfo(3)). Raises
    ``AddressError`` when a name does not resolve or a descriptor is no open socket.
    """
    return RESOLVERS[endpoint.scheme](endpoint, passive)


class Found(t.NamedTuple):
    """An address that a name stands for, and the name's canonical form where it was asked for,
    else "". That comes from a name server: escape it before it is shown."""

    address: Address
    canonical: str


def look_up(
    host: str, service: str, *, kind: int = 0, passive: bool = False, canonical: bool = False
) -> list[Found]:
    """What getaddrinfo(3) knows of ``host`` and ``service`` (a name or number), in its order.

    ``kind``: SOCK_STREAM, SOCK_DGRAM, or 0 for both. ``passive``: an empty host is every address,
    not loopback. May block while a name server is asked. Raises ``AddressError``.
    """
    flags = (socket.AI_PASSIVE if passive else 0) | (socket.AI_CANONNAME if canonical else 0)
    try:
        found = socket.getaddrinfo(_name(host) or None, service, type=kind, flags=flags)
    except (OSError, UnicodeError) as exc:
        place = f"[{host}]:{service}" if ":" in host else f"{host}:{service}"
        raise refused(place, f"does not resolve ({_why(exc)})") from exc
    # Only the first entry bears the canonical name; raw sockets have no port to speak of.
    name = found[0][3]
    schemes = {socket.SOCK_STREAM: "tcp", socket.SOCK_DGRAM: "udp"}
    return [
        Found(Address(schemes[type_], family, type_, there), name)
        for family, type_, _, _, there in found
        if type_ in schemes
    ]


def _name(host: str) -> str | bytes:
    """As bytes an ASCII name does without Python's idna codec and the tables it loads."""
    return host.encode() if host.isascii() else host


def _why(exc: OSError | UnicodeError) -> object:
    return getattr(exc, "strerror", None) or exc


def _resolve_ip(endpoint: Endpoint, passive: bool) -> list[Address]:
    kind = socket.SOCK_DGRAM if endpoint.scheme == "udp" else socket.SOCK_STREAM
    if not endpoint.host:
        return _every_address(endpoint, kind, passive)
    flags = socket.AI_PASSIVE if passive else 0
    try:
        found = socket.getaddrinfo(_name(endpoint.host), endpoint.port, type=kind, flags=flags)
    except (OSError, UnicodeError) as exc:
        why = f"the name '{endpoint.host}' does not resolve ({_why(exc)})"
        raise refused(endpoint, why) from exc
    addresses = [
        Address(endpoint.scheme, family, kind, there, options=endpoint.options)
        for family, _, _, _, there in found
    ]
    return list(dict.fromkeys(addresses))


def _every_address(endpoint: Endpoint, kind: int, passive: bool) -> list[Address]:
    """The wildcard or loopback address of each family this system has."""
    ipv4, ipv6 = ("0.0.0.0", "::") if passive else ("127.0.0.1", "::1")
    places = {
        socket.AF_INET: (ipv4, endpoint.port),
        socket.AF_INET6: (ipv6, endpoint.port, 0, 0),
    }
    both = [
        Address(endpoint.scheme, family, kind, place, options=endpoint.options)
        for family, place in places.items()
    ]
    return [address for address in both if _system_has(address.family, kind)] or both[:1]


def _system_has(family: int, kind: int) -> bool:
    try:
        socket.socket(family, kind).close()
    except OSError as exc:
        return exc.errno not in (errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT)
    return True


def _resolve_unix(endpoint: Endpoint, passive: bool) -> list[Address]:
    if AF_UNIX < 0:
        raise refused(endpoint, "this system's Python has no Unix sockets")
    name: str | bytes = endpoint.path
    if endpoint.path.startswith("@"):
        if sys.platform != "linux":
            why = f"abstract names exist on Linux only; write {endpoint.scheme}:/path"
            raise refused(endpoint, why)
        name = b"\0" + os.fsencode(endpoint.path[1:])
    kind = socket.SOCK_DGRAM if endpoint.scheme == "unixgram" else socket.SOCK_STREAM
    return [Address(endpoint.scheme, AF_UNIX, kind, name, options=endpoint.options)]


def _resolve_fd(endpoint: Endpoint, passive: bool) -> list[Address]:
    try:
        sock = socket.socket(fileno=endpoint.fd)
    except OSError as exc:
        state = "not open" if exc.errno == errno.EBADF else "not a socket"
        raise refused(endpoint, f"descriptor {endpoint.fd} is {state}") from exc
    try:
        here = sock.getsockname()
        options = endpoint.options
        return [Address(endpoint.scheme, sock.family, sock.type, here, endpoint.fd, options)]
    finally:
        sock.detach()  # still its owner's: nothing was adopted


def _resolve_systemd(endpoint: Endpoint, passive: bool) -> list[Address]:
    """What it stands for, this process was told once: ``kernel.systemd.expand`` knows."""
    raise refused(endpoint, "names sockets that a server was started with; it cannot be dialled")


RESOLVERS: t.Final[dict[str, Callable[[Endpoint, bool], list[Address]]]] = {
    "tcp": _resolve_ip,
    "udp": _resolve_ip,
    "tls": _resolve_ip,
    "unix": _resolve_unix,
    "unixgram": _resolve_unix,
    "fd": _resolve_fd,
    "systemd": _resolve_systemd,
}
"""One row for each of ``endpoint.SCHEMES``."""
