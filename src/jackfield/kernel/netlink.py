"""Questions to Linux's kernel about its sockets, and how the answers are framed (netlink(7)).

A dump is one request, answered by datagrams of many messages each, up to one that says "done"::

    datagram  =  message message ...        message  =  length, type, flags, sequence, port | body
    body      =  what the family defines, then attributes      attribute  =  length, type | data

All of it is in the machine's own byte order and padded to four bytes. ``split`` and
``attributes`` are pure functions over bytes: whatever they are fed, they return or raise
``SystemRefused``. ``dump`` and ``one`` alone open a socket. Must not know what the messages mean.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
import sys
import typing as t
from collections.abc import Callable

from jackfield.errors import SystemRefused

T = t.TypeVar("T")

HEADER: t.Final = struct.Struct("=IHHII")
"""struct nlmsghdr (linux/netlink.h): length, type, flags, sequence, port."""

ATTRIBUTE: t.Final = struct.Struct("=HH")
"""struct nlattr: length with these four bytes, type."""

KIND_MASK: t.Final = 0x3FFF
"""NLA_TYPE_MASK: the two bits above it are flags of an attribute's type."""

TCP_DIAG: t.Final = 18
SOCK_DIAG_BY_FAMILY: t.Final = 20
KINDS: t.Final = frozenset({TCP_DIAG, SOCK_DIAG_BY_FAMILY})
"""Types of our messages: TCPDIAG_GETSOCK (linux/inet_diag.h), and the general one
(linux/sock_diag.h)."""

NETLINK_SOCK_DIAG: t.Final = 4
ERROR, DONE, OVERRUN = 2, 3, 4
DUMP_INTERRUPTED: t.Final = 0x10
REQUEST_ONE: t.Final = 0x001
REQUEST_DUMP: t.Final = 0x301
"""NLM_F_REQUEST; and that with NLM_F_ROOT | NLM_F_MATCH (linux/netlink.h)."""

SEQUENCE: t.Final = 1
"""A socket asks one question, so there is nothing to tell apart."""

RECEIVE: t.Final = 64 * 1024
"""Bytes for a datagram. The kernel makes them as large as we have shown to take, up to 32 KiB."""

TRIES: t.Final = 5
"""Of a dump that the kernel calls inconsistent because a table changed under it. On a machine
where every try is, the last is taken as it is: some socket may be listed twice or not at all."""


class Interrupted(Exception):
    """The table changed during the dump; ask again."""


def malformed(why: str) -> SystemRefused:
    """The error for an answer that breaks the format."""
    return SystemRefused(f"the kernel's answer about its sockets is malformed: {why}")


def split(data: bytes, read: Callable[[bytes, int, int], T], found: list[T]) -> bool:
    """Append ``read(data, start, end)`` to ``found`` for the body of each message; True when
    the dump is done.

    Raises ``SystemRefused`` for what is malformed and for the kernel's own refusal (with its
    errno), ``Interrupted`` when the kernel says that the table changed.
    """
    at, size = 0, len(data)
    while at < size:
        if at + 16 > size:
            raise malformed("a message's header is cut off")
        length, kind, flags, _, _ = HEADER.unpack_from(data, at)
        end = at + length
        if length < 16 or end > size:
            raise malformed(f"a message of {length} bytes where {size - at} are left")
        if flags & DUMP_INTERRUPTED:
            raise Interrupted
        if kind in KINDS:
            found.append(read(data, at + 16, end))
        elif kind in (DONE, ERROR):
            _raise_refusal(data[at + 16 : end])
            return True
        elif kind == OVERRUN:
            raise malformed("it lost messages on the way")
        at = end + 3 & ~3
    return False


def _raise_refusal(body: bytes) -> None:
    """``body`` of "done" or "error" begins with a negative errno, or 0."""
    if len(body) < 4:
        return
    code = -int.from_bytes(body[:4], sys.byteorder, signed=True)
    if code:
        known = errno.errorcode.get(code)
        name = os.strerror(code) if known else f"error {code}"
        raise SystemRefused(f"the kernel does not list these sockets: {name}", code)


def attributes(data: bytes, at: int, end: int) -> dict[int, tuple[int, int]]:
    """Where the data of each attribute between ``at`` and ``end`` is: type -> (start, end).

    Raises ``SystemRefused`` for one that does not fit. Of two alike the last counts.
    """
    found = {}
    while at + 4 <= end:
        length, kind = ATTRIBUTE.unpack_from(data, at)
        if length < 4 or at + length > end:
            raise malformed(f"an attribute of {length} bytes where {end - at} are left")
        found[kind & KIND_MASK] = (at + 4, at + length)
        at += length + 3 & ~3
    return found


def dump(
    request: bytes, read: Callable[[bytes, int, int], T], kind: int = SOCK_DIAG_BY_FAMILY
) -> list[T]:
    """Ask for all sockets that ``request`` describes; ``read(data, start, end)`` of each.

    Raises ``SystemRefused``: with ENOENT where the kernel has no such module, with
    EPERM or EAFNOSUPPORT where it does not let us ask.
    """
    header = HEADER.pack(16 + len(request), kind, REQUEST_DUMP, SEQUENCE, 0)
    for _ in range(TRIES - 1):
        try:
            return _answers(header + request, read, split)
        except Interrupted:
            continue
    return _answers(header + request, read, _split_anyway)


def one(request: bytes, read: Callable[[bytes, int, int], T], kind: int = SOCK_DIAG_BY_FAMILY) -> T:
    """Ask for the one socket that ``request`` describes; ``read(data, start, end)`` of it.

    Raises ``SystemRefused`` as ``dump``; with ENOENT where there is no such socket, too.
    """
    header = HEADER.pack(16 + len(request), kind, REQUEST_ONE, SEQUENCE, 0)
    found = _answers(header + request, read, _split_only)
    if len(found) != 1:
        raise malformed(f"{len(found)} sockets where one was asked for")
    return found[0]


def _answers(request: bytes, read: Callable[[bytes, int, int], T], take: t.Any) -> list[T]:
    found: list[T] = []
    try:
        with _open() as sock:
            sock.send(request)
            while not take(sock.recv(RECEIVE), read, found):
                pass
    except OSError as exc:
        why = f"cannot ask the kernel for its sockets: {exc.strerror}"
        raise SystemRefused(why, exc.errno) from exc
    return found


def _open() -> socket.socket:
    if sys.platform != "linux":
        raise OSError(errno.EAFNOSUPPORT, "only Linux has netlink")
    return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_SOCK_DIAG)


def _split_only(data: bytes, read: Callable[[bytes, int, int], T], found: list[T]) -> bool:
    """``split`` of an answer that is one datagram: no "done" follows."""
    split(data, read, found)
    return True


def _split_anyway(data: bytes, read: Callable[[bytes, int, int], T], found: list[T]) -> bool:
    """``split`` with the mark of an interrupted dump taken off every message."""
    plain = bytearray(data)
    at = 0
    while at + 16 <= len(plain):
        length, kind, flags, *rest = HEADER.unpack_from(plain, at)
        HEADER.pack_into(plain, at, length, kind, flags & ~DUMP_INTERRUPTED, *rest)
        at += max(length, 16) + 3 & ~3
    return split(bytes(plain), read, found)
