"""Who is at the other end of a Unix socket: process, user and group, as the kernel knows them.

The kernel notes them when the peer connects (or, for a dialled server, when it listened), so
that they cannot be forged; the process may have ended since, and its number been used again.
See unix(7) SO_PEERCRED, and unix(4) LOCAL_PEERCRED on macOS and FreeBSD.
"""

from __future__ import annotations

import socket
import struct
import sys
import typing as t

from jackfield.address import AF_UNIX

UCRED: t.Final = struct.Struct("@iII")
"""Linux's struct ucred: process, user, group."""

XUCRED: t.Final = struct.Struct("@IIh2xI")
"""The beginning of BSD's struct xucred: version, user, how many groups, the first group."""

XUCRED_SIZE: t.Final = 128
"""Bytes to ask for: the whole struct, with its sixteen groups, has fewer."""

SO_PEERCRED: t.Final[int] = getattr(socket, "SO_PEERCRED", 17)
"""17 on Linux."""

SOL_LOCAL, LOCAL_PEERCRED, LOCAL_PEERPID = 0, 1, 2
"""sys/un.h; the last one is macOS's."""

NOBODY: t.Final = 2**32 - 1
"""The user of a socket that has no peer."""


class PeerCredentials(t.NamedTuple):
    """``pid``: process, 0 where the system does not tell. ``uid``, ``gid``: effective user and
    group."""

    pid: int
    uid: int
    gid: int


def peer_credentials(sock: socket.socket) -> PeerCredentials | None:
    """Who is at the other end; None for no Unix socket, no peer, or a system that cannot tell."""
    ask = ASKING.get(_system())
    if ask is None or sock.family != AF_UNIX:
        return None
    try:
        return ask(sock)
    except OSError:
        return None


def can_tell() -> bool:
    """Does this system tell who connects?"""
    return _system() in ASKING


def _system() -> str:
    return sys.platform.rstrip("0123456789")  # "freebsd14"


def _ask_linux(sock: socket.socket) -> PeerCredentials | None:
    pid, uid, gid = UCRED.unpack(sock.getsockopt(socket.SOL_SOCKET, SO_PEERCRED, UCRED.size))
    return None if uid == NOBODY else PeerCredentials(pid, uid, gid)


def _ask_freebsd(sock: socket.socket) -> PeerCredentials | None:
    data = sock.getsockopt(SOL_LOCAL, LOCAL_PEERCRED, XUCRED_SIZE)
    _, uid, groups, gid = XUCRED.unpack_from(data)
    return PeerCredentials(0, uid, gid) if groups > 0 else None


def _ask_darwin(sock: socket.socket) -> PeerCredentials | None:
    credentials = _ask_freebsd(sock)
    pid = sock.getsockopt(SOL_LOCAL, LOCAL_PEERPID)
    return credentials._replace(pid=pid) if credentials else None


ASKING: t.Final = {"linux": _ask_linux, "freebsd": _ask_freebsd, "darwin": _ask_darwin}
