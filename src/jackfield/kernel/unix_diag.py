"""Unix sockets of this network namespace, as the kernel's unix_diag lists them.

Each is struct unix_diag_msg (linux/unix_diag.h) and a handful of attributes. ``read`` is pure:
any bytes give a socket or ``SystemRefused``. A name is whatever bytes some process chose: it
has to be escaped before it is shown. Must not know processes.
"""

from __future__ import annotations

import os
import socket
import struct
import typing as t

from jackfield.errors import SystemRefused
from jackfield.kernel import netlink

AF_UNIX: t.Final = 1

MESSAGE: t.Final = struct.Struct("=BBBxI8x")
"""family, type, state, inode; a cookie."""

REQUEST: t.Final = struct.Struct("=BBxxIIIQ")
"""struct unix_diag_req: family, protocol, states, inode (of one), what to show, cookie (of one)."""

ANY_STATE: t.Final = 0xFFFFFFFF

SHOW_QUEUES: t.Final = 0x10
SHOW: t.Final = 0x01 | 0x04 | 0x08 | SHOW_QUEUES | 0x40
"""UDIAG_SHOW_NAME, _PEER, _ICONS, _RQLEN, _UID."""

ANY_COOKIE: t.Final = 0xFFFFFFFF_FFFFFFFF
"""INET_DIAG_NOCOOKIE, twice (linux/inet_diag.h): the inode says enough."""

NAME, PEER, ICONS, QUEUES, SHUTDOWN, UID = 0, 2, 3, 4, 6, 7
"""Attributes, UNIX_DIAG_NAME and following."""

TYPES: t.Final = {1: "stream", 2: "dgram", 5: "seqpacket"}
"""SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET."""

_NUMBER: t.Final = struct.Struct("=I")
_TWO: t.Final = struct.Struct("=II")


class UnixSocket(t.NamedTuple):
    """One Unix socket. ``name`` is a path, or begins with a NUL byte: abstract; or empty.

    ``rqueue`` is bytes received and not read, ``wqueue`` bytes sent that the peer did not read.
    For a listener they are the connections that wait to be accepted and the most that may;
    ``waiting`` are the inodes of their other ends.
    """

    type: int
    state: int
    inode: int
    name: bytes
    peer: int
    """The inode of the other end; 0 without one, or where this source does not tell."""
    rqueue: int
    wqueue: int
    shutdown: int
    uid: int | None
    waiting: tuple[int, ...]

    @property
    def protocol(self) -> str:
        """``stream``, ``dgram`` or ``seqpacket``."""
        return TYPES.get(self.type, f"type {self.type}")


def read(data: bytes, start: int, end: int) -> UnixSocket:
    """The socket in the message body ``data[start:end]``. Raises ``SystemRefused``."""
    if end - start < MESSAGE.size:
        raise netlink.malformed("a Unix socket is cut off")
    family, kind, state, inode = MESSAGE.unpack_from(data, start)
    if family != AF_UNIX:
        raise netlink.malformed(f"a Unix socket of family {family}")
    found = {
        kind: data[first:last]
        for kind, (first, last) in netlink.attributes(data, start + MESSAGE.size, end).items()
    }
    waiting = found.get(ICONS, b"")
    rqueue, wqueue = _unpack(_TWO, found.get(QUEUES)) or (0, 0)
    (peer,) = _unpack(_NUMBER, found.get(PEER)) or (0,)
    (uid,) = _unpack(_NUMBER, found.get(UID)) or (None,)
    return UnixSocket(
        kind,
        state,
        inode,
        _name(found.get(NAME, b"")),
        peer,
        rqueue,
        wqueue,
        found.get(SHUTDOWN, b"\0")[0] if found.get(SHUTDOWN) else 0,
        uid,
        tuple(one for (one,) in _NUMBER.iter_unpack(waiting[: len(waiting) & ~3])),
    )


def _name(data: bytes) -> bytes:
    """A path comes with the NUL byte that ends it, if it was bound with that."""
    return data if data.startswith(b"\0") else data.partition(b"\0")[0]


def _unpack(shape: struct.Struct, data: bytes | None) -> tuple[t.Any, ...] | None:
    """The numbers, or None where the attribute is absent or too short to hold them."""
    return shape.unpack_from(data) if data is not None and len(data) >= shape.size else None


def sockets() -> list[UnixSocket]:
    """All Unix sockets in our namespace. Raises ``SystemRefused`` (``netlink.dump``)."""
    return netlink.dump(REQUEST.pack(AF_UNIX, 0, ANY_STATE, 0, SHOW, ANY_COOKIE), read)


def backlog_length(sock: socket.socket) -> int | None:
    """Connections that wait to be accepted from ``sock``, a listener; None where the kernel does
    not tell (no unix_diag, or a filter of system calls)."""
    inode = os.fstat(sock.fileno()).st_ino
    try:
        request = REQUEST.pack(AF_UNIX, 0, ANY_STATE, inode, SHOW_QUEUES, ANY_COOKIE)
        return netlink.one(request, read).rqueue
    except SystemRefused:
        return None
