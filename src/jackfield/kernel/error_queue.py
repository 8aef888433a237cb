"""What became of datagrams after they were sent: ICMP errors, with the peer they are about.

A UDP socket that is not connected hears nothing of "port unreachable", unless it asks: Linux
then keeps each error in a queue of the socket, with the address the datagram was sent to
(ip(7), IP_RECVERR). Until it is emptied, pollers report an error. The first of them also fails
the next call on the socket, whichever peer that is for. Other systems have no such queue.

This module must not know transports.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
import typing as t

from jackfield.address import format_sockaddr

# Linux's numbers (linux/in.h, linux/in6.h), which Python 3.11's socket module lacks.
IP_RECVERR, IPV6_RECVERR = 11, 25

EXTENDED_ERROR: t.Final = struct.Struct("@IBBBxII")
"""struct sock_extended_err: errno, origin, type, code, info, data."""

LOCAL: t.Final = 1
"""SO_EE_ORIGIN_LOCAL: an error of the send call itself, which has raised it already."""

SPACE: t.Final = 512
"""Bytes of ancillary data: the error and the address of who reported it take 64; the rest is
for what else the socket was told to receive."""


def enable(sock: socket.socket) -> bool:
    """Ask for the errors of a UDP socket; False where there is no queue for them."""
    if sys.platform != "linux" or sock.type != socket.SOCK_DGRAM:
        return False
    if sock.family == socket.AF_INET:
        sock.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
    elif sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVERR, 1)
    else:
        return False
    return True


def take(sock: socket.socket, most: int) -> list[tuple[OSError, t.Any]]:
    """Up to ``most`` errors off the queue: each with the address its datagram was sent to."""
    errors: list[tuple[OSError, t.Any]] = []
    for _ in range(most):
        try:
            _, ancillary, _, addr = sock.recvmsg(0, SPACE, socket.MSG_ERRQUEUE)
        except OSError:  # BlockingIOError: it is empty
            break
        number = _remote_errno(ancillary)
        if number:
            text = f"{os.strerror(number)}: {format_sockaddr(sock.family, addr)}"
            errors.append((OSError(number, text), addr))
    return errors


def _remote_errno(ancillary: list[tuple[int, int, bytes]]) -> int:
    """The errno that a host or router on the way reported; 0 for none."""
    for level, kind, data in ancillary:
        if (level, kind) in (
            (socket.IPPROTO_IP, IP_RECVERR),
            (socket.IPPROTO_IPV6, IPV6_RECVERR),
        ) and len(data) >= EXTENDED_ERROR.size:
            number, origin, *_ = EXTENDED_ERROR.unpack_from(data)
            return 0 if origin == LOCAL else int(number)
    return 0
