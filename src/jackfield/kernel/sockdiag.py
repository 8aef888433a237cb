"""Every TCP, UDP and Unix socket of this machine, from the kernel (sock_diag(7)).

Anybody may ask; root is needed for none of it. What is listed are the sockets of our own network
namespace; those of others are in ``proc_net``. Cheap enough to ask every second: some
milliseconds for thousands. Must not know processes or descriptors: ``fdinfo`` does.
"""

from __future__ import annotations

import typing as t

from jackfield.kernel import inet_diag, unix_diag
from jackfield.kernel.inet_diag import BOUND, InetSocket
from jackfield.kernel.unix_diag import UnixSocket

ESTABLISHED, TIME_WAIT, CLOSED, LISTEN = 1, 6, 7, 10
"""Of ``state``: include/net/tcp_states.h, which UDP and Unix sockets use as well."""

STATES: t.Final = {
    1: "ESTABLISHED",
    2: "SYN-SENT",
    3: "SYN-RECEIVED",
    4: "FIN-WAIT-1",
    5: "FIN-WAIT-2",
    6: "TIME-WAIT",
    7: "CLOSED",
    8: "CLOSE-WAIT",
    9: "LAST-ACK",
    10: "LISTEN",
    11: "CLOSING",
    12: "SYN-RECEIVED",
}
"""By number, named as RFC 9293 (3.3.2) names them. 12 is a handshake that has no socket yet."""

UNCONNECTED: t.Final = "UNCONNECTED"
"""What 7 is for a socket that has no connection to close: UDP, Unix."""

FAMILIES: t.Final = (inet_diag.AF_INET, inet_diag.AF_INET6)


def tcp() -> list[InetSocket]:
    """TCP over IPv4 and IPv6, in every state but bound only. Raises ``SystemRefused``: the kernel
    does not let us ask (EPERM), or has no module that answers (ENOENT, EOPNOTSUPP)."""
    return inet_diag.tcp()


def tcp_bound() -> list[InetSocket]:
    """TCP sockets with an address that neither listen nor are connected; none from a kernel
    before 6.8. Raises ``SystemRefused``."""
    return [one for family in FAMILIES for one in inet_diag.sockets("tcp", family, BOUND)]


def udp() -> list[InetSocket]:
    """UDP over IPv4 and IPv6. Raises ``SystemRefused``."""
    return [one for family in FAMILIES for one in inet_diag.sockets("udp", family)]


def unix() -> list[UnixSocket]:
    """Unix sockets, with and without a name. Raises ``SystemRefused``."""
    return unix_diag.sockets()


def state_name(sock: InetSocket | UnixSocket) -> str:
    """``ESTABLISHED``, ``LISTEN``, ``TIME-WAIT``; ``UNCONNECTED`` for UDP and Unix."""
    if sock.state == CLOSED and not (isinstance(sock, InetSocket) and sock.protocol == "tcp"):
        return UNCONNECTED
    return STATES.get(sock.state, f"STATE-{sock.state}")
