"""What a text stands for: ``NAME:SERVICE``, or any endpoint. Behind ``jackfield resolve``.

    localhost:http  [::1]:80  :8888         names and services, by getaddrinfo(3)
    tcp://localhost:http  udp://:53         the same, of one type
    unix:/path  unixgram:@name  fd://3      what ``address.resolve`` says

Must not know how anything is printed.
"""

from __future__ import annotations

import socket
import typing as t

from jackfield.address import Address, Endpoint, Found, look_up, resolve
from jackfield.endpoint import TEXT_LIMIT, refused

KINDS: t.Final = {"tcp": socket.SOCK_STREAM, "tls": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}
"""Schemes with a host and a port -> the type of their sockets."""

PATHS: t.Final = ("unix:", "unixgram:", "systemd:")
"""Endpoints that are written without "//"."""


def find(
    text: str, *, kind: str = "", passive: bool = False, canonical: bool = False
) -> list[Found]:
    """The addresses of ``text``, best first. ``kind``: "tcp", "udp", or "" for both.

    ``passive``: to bind to rather than to connect to. ``canonical``: ask for the canonical name,
    too. Raises ``AddressError``.
    """
    _check(text)
    scheme, slashes, rest = text.partition("://")
    if slashes and scheme.lower() in KINDS:
        kind = scheme = scheme.lower()
        host, service = split(text, rest.partition("?")[0])
    elif slashes or text.startswith(PATHS):
        endpoint = Endpoint.parse(text)
        return [Found(address, "") for address in resolve(endpoint, passive=passive)]
    else:
        host, service = split(text, text)
    return look_up(host, service, kind=KINDS.get(kind, 0), passive=passive, canonical=canonical)


def _check(text: str) -> None:
    if len(text) > TEXT_LIMIT:
        raise refused(text, f"{len(text)} characters; no name has more than {TEXT_LIMIT}")
    if not text.isprintable():
        raise refused(text, "has characters that cannot be printed")


def split(text: str, authority: str) -> tuple[str, str]:
    """``[host]:service`` or ``host:service``; ``text`` is the whole, for the error."""
    if authority.startswith("["):
        host, bracket, service = authority[1:].partition("]")
        if not bracket or not service.startswith(":"):
            raise refused(text, "write [IPv6 address]:service")
        service = service[1:]
    else:
        host, _, service = authority.rpartition(":")
        if ":" in host:
            raise refused(text, "an IPv6 address wants brackets and a port, as in [::1]:80")
    if not service or not (host or ":" in authority):
        raise refused(text, f"the service is missing; for example {host or authority}:http")
    if service.isdigit() and not (service.isascii() and int(service) <= 65535):
        raise refused(text, f"port {service[:24]} is outside 0..65535")
    return host, service


def described(address: Address) -> str:
    """Its family and type, by the names of the socket module."""
    family, kind = socket.AddressFamily(address.family), socket.SocketKind(address.type)
    return f"{family.name} {kind.name}"
