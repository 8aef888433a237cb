"""Socket options: the only setsockopt of jackfield, and what the kernel limits us to.

Systems differ in which options they have. A constant that this system's socket module lacks
is left out where the option is a refinement (keepalive times), and refused where it was
asked for by name (SO_REUSEPORT). This module must not know addresses or listeners.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterable

from jackfield import lazy_typing as t
from jackfield import limits
from jackfield.errors import UsageError

INHERITS_OPTIONS: t.Final = sys.platform == "linux"
"""True where an accepted socket has its listener's TCP options, so that nothing is set on each
accept. Linux copies the whole socket; other systems differ by option and release."""

TRAFFIC_CLASS_SPACE: t.Final = socket.CMSG_SPACE(4) if hasattr(socket, "CMSG_SPACE") else 0
"""Bytes of ancillary data to offer recvmsg() so that ``received_traffic_class`` finds its int."""

UNLIMITED: t.Final = 1 << 30
"""Stands for "no limit": more descriptors than any kernel gives (Linux's nr_open is 2**20)."""


def _set(sock: socket.socket, level: int, name: str, value: int) -> bool:
    """Set the option called ``name``; False where this system does not know it."""
    option = getattr(socket, name, None)
    if option is None:
        return False
    sock.setsockopt(level, option, value)
    return True


def tune_stream(sock: socket.socket, *, nodelay: bool = True, keepalive: bool = True) -> None:
    """Set what every TCP connection should have; does nothing to other sockets.

    ``nodelay``: TCP_NODELAY, small writes leave at once. ``keepalive``: a peer that vanished
    is found in ``limits.KEEPALIVE_*`` seconds, or ``limits.USER_TIMEOUT`` while we write
    (tcp(7)). For dialled sockets, for listeners where ``INHERITS_OPTIONS``, else for accepted.
    """
    if sock.family not in (socket.AF_INET, socket.AF_INET6) or sock.type != socket.SOCK_STREAM:
        return
    _set(sock, socket.IPPROTO_TCP, "TCP_NODELAY", int(nodelay))
    # Telnet sends its DATA MARK as urgent data. Out of line the kernel would take that byte out
    # of the stream, and the IAC before it would swallow the next one (RFC 1123, 3.2.4).
    _set(sock, socket.SOL_SOCKET, "SO_OOBINLINE", 1)
    _set(sock, socket.SOL_SOCKET, "SO_KEEPALIVE", int(keepalive))
    if keepalive:
        idle = "TCP_KEEPALIVE" if sys.platform == "darwin" else "TCP_KEEPIDLE"
        _set(sock, socket.IPPROTO_TCP, idle, limits.KEEPALIVE_IDLE)
        _set(sock, socket.IPPROTO_TCP, "TCP_KEEPINTVL", limits.KEEPALIVE_INTERVAL)
        _set(sock, socket.IPPROTO_TCP, "TCP_KEEPCNT", limits.KEEPALIVE_COUNT)
        _set(sock, socket.IPPROTO_TCP, "TCP_USER_TIMEOUT", int(limits.USER_TIMEOUT * 1000))


def claim_port(sock: socket.socket, *, reuse_port: bool = False) -> None:
    """Before bind, for a TCP listener: may it take a port that old connections still use?

    SO_REUSEADDR lets a server restart while its last connections are in TIME_WAIT. On Windows
    that option means "steal the port", so there it is refused to everybody instead.
    ``reuse_port``: several listeners share the port (SO_REUSEPORT); ``UsageError`` without it.
    """
    if sys.platform == "win32":
        _set(sock, socket.SOL_SOCKET, "SO_EXCLUSIVEADDRUSE", 1)
    else:
        _set(sock, socket.SOL_SOCKET, "SO_REUSEADDR", 1)
    if reuse_port and not _set(sock, socket.SOL_SOCKET, "SO_REUSEPORT", 1):
        raise UsageError("reuse_port: this system cannot share a port (no SO_REUSEPORT)")


def shares_port(sock: socket.socket) -> bool:
    """Was ``sock`` opened to share its port with others (SO_REUSEPORT)?"""
    option = getattr(socket, "SO_REUSEPORT", None)
    return option is not None and bool(sock.getsockopt(socket.SOL_SOCKET, option))


def one_family(sock: socket.socket) -> None:
    """Before bind: an IPv6 socket takes IPv6 only, IPv4 has a socket of its own (IPV6_V6ONLY)."""
    if sock.family == socket.AF_INET6:
        _set(sock, socket.IPPROTO_IPV6, "IPV6_V6ONLY", 1)


def allow_broadcast(sock: socket.socket) -> None:
    """Sending to a broadcast address is no mistake but wanted (SO_BROADCAST, ip(7))."""
    _set(sock, socket.SOL_SOCKET, "SO_BROADCAST", 1)


def set_traffic_class(sock: socket.socket, tos: int) -> bool:
    """Mark every datagram ``sock`` sends with ``tos`` (0..255) and ask for the mark of received
    ones: the IPv4 TOS or IPv6 traffic class byte, DSCP in its upper six bits (RFC 2474).

    False where the system cannot report received marks, and for a socket that is not IP. A
    router may change the mark.
    """
    if sock.family not in (socket.AF_INET, socket.AF_INET6):
        return False
    if sock.family == socket.AF_INET6:
        _set(sock, socket.IPPROTO_IPV6, "IPV6_TCLASS", tos)
        return _set(sock, socket.IPPROTO_IPV6, "IPV6_RECVTCLASS", 1)
    _set(sock, socket.IPPROTO_IP, "IP_TOS", tos)
    return _set(sock, socket.IPPROTO_IP, "IP_RECVTOS", 1)


UDP_GRO: t.Final = 104
"""linux/udp.h; the module socket does not know it."""


def receive_coalesced(sock: socket.socket) -> bool:
    """Have the kernel hand over datagrams of one sender and size as one, where they came so, and
    say so in ancillary data (udp(7)). False where the system cannot: Linux can since 5.0."""
    if sys.platform != "linux" or sock.family not in (socket.AF_INET, socket.AF_INET6):
        return False
    try:
        sock.setsockopt(socket.IPPROTO_UDP, UDP_GRO, 1)
    except OSError:
        return False
    return True


def received_traffic_class(ancillary: Iterable[tuple[int, int, bytes]]) -> int:
    """The mark of a datagram, from recvmsg()'s ancillary data; 0, the usual one, if absent."""
    for level, kind, data in ancillary:
        if (level, kind) in _TRAFFIC_CLASS_MESSAGES:
            # IPv4: one byte, IPv6: an int in the machine's order (ip(7), RFC 3542, 6.5).
            return int.from_bytes(data[:4], sys.byteorder) & 0xFF
    return 0


_TRAFFIC_CLASS_MESSAGES: t.Final = {
    (level, getattr(socket, name))
    for level, name in (
        (socket.IPPROTO_IP, "IP_TOS"),  # Linux names the message after the option to send,
        (socket.IPPROTO_IP, "IP_RECVTOS"),  # BSD after the option to receive
        (getattr(socket, "IPPROTO_IPV6", -1), "IPV6_TCLASS"),
    )
    if hasattr(socket, name)
}


def accepts(sock: socket.socket) -> bool:
    """True for a listening socket (SO_ACCEPTCONN); also where the system cannot tell."""
    option = getattr(socket, "SO_ACCEPTCONN", None)
    if option is None:
        return True
    try:
        return bool(sock.getsockopt(socket.SOL_SOCKET, option))
    except OSError:  # macOS knows the name, not the question
        return True


def pending_error(sock: socket.socket) -> int:
    """The errno that waits on the socket, taken off it (SO_ERROR); 0 for none."""
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)


def clamped_backlog(asked: int) -> int:
    """What listen(2) makes of ``asked``: Linux cuts it silently to net.core.somaxconn."""
    try:
        with open("/proc/sys/net/core/somaxconn", encoding="utf-8") as file:
            most = int(file.read())
    except (OSError, ValueError):
        most = socket.SOMAXCONN
    return max(0, min(asked, most))


def backlog_length(sock: socket.socket) -> int | None:
    """Connections that wait to be accepted from a listening socket; None where the system does
    not tell. Linux has it in a field of TCP_INFO that means something else once connected
    (tcp_get_info: tcpi_unacked is sk_ack_backlog)."""
    option = getattr(socket, "TCP_INFO", None)
    if sys.platform != "linux" or option is None:
        return None
    if sock.family == socket.AF_UNIX:
        from jackfield.kernel import unix_diag  # when somebody asks

        return unix_diag.backlog_length(sock)
    info = sock.getsockopt(socket.IPPROTO_TCP, option, _UNACKED.stop)
    return int.from_bytes(info[_UNACKED], sys.byteorder)


_UNACKED: t.Final = slice(24, 28)
"""In the head of struct tcp_info (linux/tcp.h): 8 bytes, then as 32 bits each rto, ato, snd_mss,
rcv_mss, unacked."""


def descriptor_limit() -> int:
    """How many descriptors this process may have open: the soft RLIMIT_NOFILE."""
    if not hasattr(os, "sysconf"):  # Windows: handles, not a table of descriptors
        return UNLIMITED
    soft = os.sysconf("SC_OPEN_MAX")  # getrlimit(2) without loading resource; -1: no limit
    return UNLIMITED if soft < 0 else min(soft, UNLIMITED)
