"""Endpoints: the text a person writes for a place to listen on or to dial.

    tcp://127.0.0.1:8888   tcp://[::1]:8888   tcp://[fe80::1%eth0]:8888   tcp://name:8888
    tcp://:8888            every address, IPv4 and IPv6 (when dialling: loopback)
    udp://...              the same for datagrams
    tls://...              TLS over TCP
    unix:/path  unix:path  a Unix socket in the file system;  unix:@name  in Linux's abstract space
    unixgram:...           the same for datagrams
    fd://3                 a socket this process inherited
    systemd:  systemd:web  all, or those of one name, that systemd opened for this process
    fd://3?tls=1           an inherited socket with TLS; systemd:web?tls=1 too

Options may follow, each scheme knows its own: ``udp://239.1.2.3:5000?interface=lo&ttl=1``.

``Endpoint.parse`` reads it, ``str`` writes it back. This module must not know what a name
resolves to, or whether a path or descriptor exists: that is ``address``. A scheme is one row
of ``SCHEMES`` at the end.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable, Mapping

from jackfield import endpoint_options
from jackfield import lazy_typing as t
from jackfield.endpoint_options import Check, Options
from jackfield.errors import AddressError

SUN_PATH: t.Final = 108 if sys.platform == "linux" else 104
"""Bytes of sockaddr_un.sun_path, a closing NUL included: unix(7) on Linux; BSD and macOS."""

TEXT_LIMIT: t.Final = 1024
"""Characters of endpoint text: a DNS name has at most 253, a path SUN_PATH, an option list
will be short. Beyond it the text is not even looked at."""

SHOWN: t.Final = 160
"""Characters of untrusted text that one log or error line shows: two terminal rows."""

NOT_IN_HOST: t.Final = frozenset(" /\\#@[]*,;\"'<>|")
"""Never in a host name; '*' and ',' are what people try for "every address" and "both"."""


def printable(text: str | bytes, limit: int = SHOWN) -> str:
    """Untrusted ``text`` made safe for one line of a log or terminal, at most ``limit`` long.

    What does not print (control characters, line ends, bidirectional overrides, bytes that
    are no UTF-8) becomes a Python escape such as ``\\x1b``; what is cut off, ``...``.
    """
    if isinstance(text, bytes):
        text = text[: limit + 1].decode("utf-8", "surrogateescape")
    shown = "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode() for c in text[: limit + 1]
    )
    return shown if len(shown) <= limit else shown[: limit - 3] + "..."


class Endpoint(t.NamedTuple):
    """What a person wrote. ``Endpoint.parse`` makes and checks it; ``str`` gives it back.

    ``scheme`` is a key of ``SCHEMES``. ``host`` is a name or address without brackets, ""
    for every address; ``port`` is 0 for any free one. ``path`` (unix, unixgram) begins with
    "@" for an abstract name. ``fd`` is a descriptor number. ``name`` (systemd) is that of
    sockets, "" for all. ``options`` are keys and values.
    """

    scheme: str
    host: str = ""
    port: int = 0
    path: str = ""
    fd: int = -1
    options: Options = ()
    name: str = ""

    @classmethod
    def parse(cls, text: str) -> Endpoint:
        """``text`` as an endpoint; ``AddressError`` with one line that shows where and why."""
        _check_characters(text)
        written, colon, rest = text.partition(":")
        scheme = SCHEMES.get(written.lower())
        if not colon or scheme is None:
            raise refused(text, _scheme_trouble(text, written, rest))
        place, question, query = rest.partition("?")
        endpoint = scheme.parse(text, written.lower(), place)
        if not question:
            return endpoint
        try:
            options = endpoint_options.split(query, scheme.options)
        except ValueError as exc:
            raise refused(text, str(exc)) from None
        return endpoint._replace(options=options)

    def option(self, key: str) -> str | None:
        """The value of the option ``key``, or None where it was not given."""
        return dict(self.options).get(key)

    @property
    def tls(self) -> bool:
        """Is TLS spoken there?"""
        return self.scheme == "tls" or self.option("tls") == "1"

    def __str__(self) -> str:
        return SCHEMES[self.scheme].write(self) + endpoint_options.join(self.options)


# --- what is wrong with a text -------------------------------------------------------------


def refused(text: object, why: str) -> AddressError:
    """An error about ``text``, an endpoint or its text: one line, bounded, safe to print."""
    return AddressError(f"{printable(str(text))}: {why}")


def _check_characters(text: str) -> None:
    if not text:
        raise AddressError("an empty text is no endpoint; write for example tcp://127.0.0.1:8888")
    if len(text) > TEXT_LIMIT:
        raise refused(text, f"{len(text)} characters; no endpoint has more than {TEXT_LIMIT}")
    if not text.isprintable():
        index = next(i for i, c in enumerate(text) if not c.isprintable())
        shown = printable(text[index])
        raise refused(text, f"character {index + 1} is '{shown}', which cannot be printed")


def _scheme_trouble(text: str, written: str, rest: str) -> str:
    """Why ``text`` has no known scheme, with the scheme that was probably meant."""
    if text.startswith(("/", "./", "@")):
        return f"the scheme is missing; write unix:{printable(text)}"
    if rest.isdecimal() or text.startswith("["):
        return f"the scheme is missing; write tcp://{printable(text)}"
    known = " ".join(SCHEMES)
    if rest:
        return f"unknown scheme '{printable(written)}'; known: {known}"
    return f"the scheme is missing; known: {known}; for example tcp://127.0.0.1:8888"


# --- tcp and udp ---------------------------------------------------------------------------


def _parse_ip(text: str, scheme: str, rest: str) -> Endpoint:
    authority = _after_slashes(text, scheme, rest)
    bracketed = authority.startswith("[")
    host, port = (_split_bracketed if bracketed else _split_plain)(text, scheme, authority)
    if not (port.isascii() and port.isdigit()):
        raise refused(text, f"port '{printable(port)}' is no number")
    number = int(port)
    if number > 65535:
        raise refused(text, f"port {printable(port, 24)} is outside 0..65535")
    return Endpoint(scheme, host=host, port=number)


def _after_slashes(text: str, scheme: str, rest: str) -> str:
    if not rest.startswith("//"):
        raise refused(text, f"'//' is missing; write {scheme}://{printable(rest.lstrip('/'))}")
    return rest[2:]


def _split_bracketed(text: str, scheme: str, authority: str) -> tuple[str, str]:
    host, bracket, port = authority[1:].partition("]")
    if not bracket:
        raise refused(text, "the closing bracket is missing")
    if not _is_ipv6(host):
        raise refused(text, f"'{printable(host)}' in brackets is no IPv6 address")
    if not port.startswith(":") or port == ":":
        raise refused(text, f"the port is missing; for example {scheme}://[{host}]:8888")
    return host, port[1:]


def _split_plain(text: str, scheme: str, authority: str) -> tuple[str, str]:
    host, colon, port = authority.rpartition(":")
    if ":" in host:
        raise refused(text, _bracket_trouble(scheme, authority, host, port))
    if not colon or not port:
        host = host or authority
        raise refused(text, f"the port is missing; for example {scheme}://{printable(host)}:8888")
    bad = next((c for c in host if c in NOT_IN_HOST or c == "%"), None)
    if bad == "*":
        raise refused(text, f"every address is written with no host: {scheme}://:{port}")
    if bad:
        raise refused(text, f"'{bad}' cannot stand in a host name")
    return host, port


def _bracket_trouble(scheme: str, authority: str, host: str, port: str) -> str:
    if _is_ipv6(host) and port:
        return f"an IPv6 address wants brackets: {scheme}://[{host}]:{printable(port)}"
    if _is_ipv6(authority):
        return f"an IPv6 address wants brackets and a port: {scheme}://[{authority}]:8888"
    return f"too many ':'; write {scheme}://host:port or {scheme}://[IPv6 address]:port"


def _is_ipv6(text: str) -> bool:
    """True for an IPv6 address, with or without a scope (RFC 4007: ``fe80::1%eth0``)."""
    host, percent, scope = text.partition("%")
    if (percent and not scope) or NOT_IN_HOST.intersection(scope) or "%" in scope:
        return False
    try:
        socket.inet_pton(socket.AF_INET6, host)
    except OSError:
        return False
    return True


def _write_ip(endpoint: Endpoint) -> str:
    host = f"[{endpoint.host}]" if ":" in endpoint.host else endpoint.host
    return f"{endpoint.scheme}://{host}:{endpoint.port}"


# --- unix ----------------------------------------------------------------------------------


def _parse_unix(text: str, scheme: str, rest: str) -> Endpoint:
    if rest.startswith("//"):  # unix:///run/x, as others write it; unix://x would be a guess
        if not rest.startswith("///"):
            raise refused(text, f"write {scheme}:/path, {scheme}:relative or {scheme}:@abstract")
        rest = "/" + rest.lstrip("/")
    if rest in ("", "@", "/"):
        raise refused(text, f"the path is missing; write {scheme}:/path or {scheme}:@name")
    size = len(os.fsencode(rest))
    longest = SUN_PATH - (0 if rest.startswith("@") else 1)
    if size > longest:
        raise refused(text, f"the path has {size} bytes; a Unix socket's has at most {longest}")
    return Endpoint(scheme, path=rest)


def _write_unix(endpoint: Endpoint) -> str:
    return f"{endpoint.scheme}:{endpoint.path}"


# --- fd ------------------------------------------------------------------------------------


def _parse_fd(text: str, scheme: str, rest: str) -> Endpoint:
    number = _after_slashes(text, scheme, rest)
    if not (number.isascii() and number.isdigit()) or len(number) > 9:
        raise refused(text, f"'{printable(number)}' is no descriptor number; for example fd://3")
    return Endpoint(scheme, fd=int(number))


def _write_fd(endpoint: Endpoint) -> str:
    return f"{endpoint.scheme}://{endpoint.fd}"


# --- systemd -------------------------------------------------------------------------------


def _parse_systemd(text: str, scheme: str, rest: str) -> Endpoint:
    # "Printable ASCII without ':', at most 255 characters" (sd_listen_fds_with_names(3)).
    if ":" in rest or "/" in rest or not rest.isascii() or len(rest) > 255:
        why = f"'{printable(rest)}' is no name of a socket; write {scheme}: or {scheme}:NAME"
        raise refused(text, f"{why} as FileDescriptorName= gives it")
    return Endpoint(scheme, name=rest)


def _write_systemd(endpoint: Endpoint) -> str:
    return f"{endpoint.scheme}:{endpoint.name}"


class Scheme(t.NamedTuple):
    """How one scheme is parsed (from: whole text, scheme, what follows its colon) and written,
    and its options with their checks."""

    parse: Callable[[str, str, str], Endpoint]
    write: Callable[[Endpoint], str]
    options: Mapping[str, Check]


UDP_OPTIONS: t.Final = {
    "interface": endpoint_options.interface,  # of a multicast group: by name or address
    "ttl": endpoint_options.byte,  # routers that multicast may pass, plus one
    "loop": endpoint_options.flag,  # 0: this machine does not hear its own multicast
    "source": endpoint_options.ip,  # the one sender to hear (RFC 4607)
    "broadcast": endpoint_options.flag,  # 1: sending to broadcast addresses is allowed
}

UNIXGRAM_OPTIONS: t.Final = {"mode": endpoint_options.mode}  # of the socket's file
UNIX_OPTIONS: t.Final = {**UNIXGRAM_OPTIONS, "uid": endpoint_options.ids}  # who may connect

INHERITED_OPTIONS: t.Final = {"tls": endpoint_options.flag}  # 1: TLS is spoken on the socket

SCHEMES: t.Final[dict[str, Scheme]] = {
    "tcp": Scheme(_parse_ip, _write_ip, {}),
    "udp": Scheme(_parse_ip, _write_ip, UDP_OPTIONS),
    "unix": Scheme(_parse_unix, _write_unix, UNIX_OPTIONS),
    "unixgram": Scheme(_parse_unix, _write_unix, UNIXGRAM_OPTIONS),
    "tls": Scheme(_parse_ip, _write_ip, {}),
    "fd": Scheme(_parse_fd, _write_fd, INHERITED_OPTIONS),
    "systemd": Scheme(_parse_systemd, _write_systemd, INHERITED_OPTIONS),
}
"""Every known scheme. A new one is a row here and one in ``address.RESOLVERS``."""
