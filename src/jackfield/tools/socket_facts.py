"""What is said of a socket: its type, addresses, state and queues, as words and as JSON.

One vocabulary for ``jackfield fds``, ``sockets`` and ``top``. The text here may contain a Unix
name as some process chose it: who shows it escapes it. Must not know processes or terminals.
"""

from __future__ import annotations

import functools
import os
import socket
import typing as t

from jackfield.kernel.inet_diag import AF_INET, InetSocket
from jackfield.kernel.proc_net import NetlinkSocket, PacketSocket, Socket
from jackfield.kernel.sockdiag import LISTEN, state_name
from jackfield.kernel.unix_diag import UnixSocket

SHUTDOWN: t.Final = ("", "receiving", "sending", "both")
"""What ``shutdown`` has ended, by its two bits."""


def type_of(sock: Socket) -> str:
    """``IPv4``, ``IPv6``, ``unix``, ``netlink`` or ``packet``."""
    if isinstance(sock, InetSocket):
        return "IPv4" if sock.family == AF_INET else "IPv6"
    if isinstance(sock, UnixSocket):
        return "unix"
    return "netlink" if isinstance(sock, NetlinkSocket) else "packet"


def state_of(sock: Socket) -> str:
    """``ESTABLISHED``, ``LISTEN``; "" for kinds that have none."""
    return state_name(sock) if isinstance(sock, InetSocket | UnixSocket) else ""


def listens(sock: Socket) -> bool:
    """A stream socket that accepts connections."""
    if isinstance(sock, InetSocket):
        return sock.state == LISTEN and sock.protocol == "tcp"
    return isinstance(sock, UnixSocket) and sock.state == LISTEN


def queues(sock: Socket) -> tuple[int, int]:
    """Receive and send queue, in bytes; of a listener: who waits, and how many may."""
    return sock.rqueue, 0 if isinstance(sock, PacketSocket) else sock.wqueue


def local(sock: Socket, names: bool = False) -> str:
    """Where it is bound; "" if it is not. ``names``: service names instead of port numbers."""
    if isinstance(sock, InetSocket):
        return address(sock, *sock.local, names=names)
    if isinstance(sock, UnixSocket):
        return unix_name(sock)
    if isinstance(sock, NetlinkSocket):
        return f"port {sock.port}" + (f" groups {sock.groups:#x}" if sock.groups else "")
    kind = "every type" if sock.ethertype == 3 else f"ethertype {sock.ethertype:#06x}"
    return f"{kind} on {_interface(sock.interface) or 'every interface'}"


def peer(sock: Socket, names: bool = False) -> str:
    """The other end of an IP socket; "" where there is none. Those of Unix sockets have a process
    and no address: ``fdtable`` knows them."""
    if isinstance(sock, InetSocket) and sock.dport:
        return address(sock, *sock.peer, names=names)
    return ""


def address(sock: InetSocket, host: str, port: int, *, names: bool = False) -> str:
    """``127.0.0.1:8888``, ``[::1]:8888``, ``[fe80::1%eth0]:8888``."""
    if sock.family != AF_INET:
        scope = _interface(sock.interface) if host.startswith("fe80:") else ""
        host = f"[{host}%{scope}]" if scope else f"[{host}]"
    return f"{host}:{(service(port, sock.protocol) if names else '') or port}"


@functools.lru_cache(maxsize=1024)  # getservbyport reads a file for each
def service(port: int, protocol: str) -> str:
    """The name that /etc/services gives a port, or ""."""
    try:
        return socket.getservbyport(port, protocol)
    except OSError:
        return ""


def _interface(index: int) -> str:
    try:
        return socket.if_indextoname(index) if index else ""
    except OSError:  # it is gone
        return str(index)


def unix_name(sock: UnixSocket) -> str:
    """``/path``, ``@abstract`` (further NUL bytes stay), or ""."""
    name = os.fsdecode(sock.name)
    return "@" + name[1:] if name.startswith("\0") else name


def timer(sock: Socket) -> str:
    """``on 0.2s``, ``keepalive 58s``, with how often it has run down: ``on 1.6s x3``."""
    if not isinstance(sock, InetSocket) or not sock.timer:
        return ""
    seconds = sock.expires_ms / 1000
    left = f"{seconds:.0f}s" if seconds >= 10 else f"{seconds:.1f}s"
    return f"{sock.timer_name} {left}" + (f" x{sock.retransmits}" if sock.retransmits else "")


def as_dict(sock: Socket) -> dict[str, t.Any]:
    """For JSON: only what this kind of socket has. Times are in ms or us, as the names say."""
    facts: dict[str, t.Any] = {
        "type": type_of(sock),
        "protocol": sock.protocol,
        "local": local(sock),
        "peer": peer(sock),
        "state": state_of(sock),
        "inode": sock.inode,
    }
    first, second = ("waiting", "backlog") if listens(sock) else ("receive_queue", "send_queue")
    facts[first], facts[second] = queues(sock)
    if isinstance(sock, InetSocket | UnixSocket | PacketSocket):
        facts["uid"] = sock.uid
    if isinstance(sock, InetSocket | UnixSocket):
        facts["shutdown"] = SHUTDOWN[sock.shutdown & 3]
    if isinstance(sock, InetSocket):
        facts |= _inet_facts(sock)
    return facts


def _inet_facts(sock: InetSocket) -> dict[str, t.Any]:
    facts: dict[str, t.Any] = {}
    if sock.timer:
        facts["timer"] = {
            "name": sock.timer_name,
            "expires_ms": sock.expires_ms,
            "retransmits": sock.retransmits,
        }
    if sock.memory:
        facts["memory"] = sock.memory._asdict()
    if sock.congestion:
        facts["congestion"] = sock.congestion
    if sock.tcp and not listens(sock):
        facts["tcp"] = sock.tcp._asdict()
    return facts
