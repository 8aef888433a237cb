"""Sockets as /proc/PID/net lists them: those of another network namespace, and the kinds that
sock_diag is seldom built for (raw, netlink, packet). proc_net(5).

Less than sock_diag tells: no peer of a Unix socket, nothing of struct tcp_info, no length of a
listener's backlog. The parsers are pure and skip lines that they cannot read: a Unix name may
contain line ends, and so may even imitate a line. Must not know processes beyond their number.
"""

from __future__ import annotations

import os
import sys
import typing as t
from collections.abc import Callable, Iterator

from jackfield.kernel.inet_diag import AF_INET, AF_INET6, InetSocket
from jackfield.kernel.unix_diag import UnixSocket

TICK_MS: t.Final = 10
"""A timer is given in clock ticks of USER_HZ, which is 100 a second on every Linux."""

ACCEPTS: t.Final = 0x10000
"""__SO_ACCEPTCON, in the flags of a Unix socket: it listens."""

NETLINK: t.Final = {
    0: "route",
    4: "sock_diag",
    6: "xfrm",
    7: "selinux",
    8: "iscsi",
    9: "audit",
    10: "fib_lookup",
    11: "connector",
    12: "netfilter",
    14: "dnrtmsg",
    15: "kobject_uevent",
    16: "generic",
    18: "scsitransport",
    19: "ecryptfs",
    20: "rdma",
    21: "crypto",
    22: "smc",
}
"""NETLINK_ROUTE and following (linux/netlink.h)."""

PACKET_TYPES: t.Final = {1: "stream", 2: "dgram", 3: "raw", 5: "seqpacket", 10: "packet"}


class NetlinkSocket(t.NamedTuple):
    """A process's line to the kernel; ``port`` is its address there, 0 the kernel's own."""

    protocol: str
    port: int
    groups: int
    rqueue: int
    wqueue: int
    inode: int


class PacketSocket(t.NamedTuple):
    """Sees packets themselves: ``ethertype`` (3 is every), ``interface`` by number, 0 all."""

    protocol: str
    ethertype: int
    interface: int
    rqueue: int
    uid: int
    inode: int


Socket: t.TypeAlias = InetSocket | UnixSocket | NetlinkSocket | PacketSocket


def _columns(data: bytes, least: int) -> Iterator[list[bytes]]:
    for line in data.splitlines()[1:]:
        columns = line.split()
        if len(columns) >= least:
            yield columns


def parse_inet(data: bytes, protocol: str) -> Iterator[InetSocket]:
    """Of tcp, udp, raw, icmp and their kin for IPv6."""
    for columns in _columns(data, 10):
        try:
            yield _inet(columns, protocol)
        except (ValueError, OverflowError):
            continue


def _inet(columns: list[bytes], protocol: str) -> InetSocket:
    src, sport = _address(columns[1])
    dst, dport = _address(columns[2])
    wqueue, _, rqueue = columns[4].partition(b":")
    timer, _, expires = columns[5].partition(b":")
    return InetSocket(
        protocol=protocol,
        family=AF_INET if len(src) == 4 else AF_INET6,
        state=int(columns[3], 16),
        timer=int(timer, 16),
        retransmits=int(columns[6], 16),
        sport=sport,
        dport=dport,
        src=src,
        dst=dst,
        interface=0,
        cookie=0,
        expires_ms=int(expires, 16) * TICK_MS,
        rqueue=int(rqueue, 16),
        wqueue=int(wqueue, 16),
        uid=int(columns[7]),
        inode=int(columns[9]),
        raw_shutdown=b"",
        raw_v6only=b"",
        raw_congestion=b"",
        raw_memory=b"",
        raw_tcp=b"",
    )


def _address(text: bytes) -> tuple[bytes, int]:
    """``0100007F:22B8``: 32-bit words in the machine's own byte order, and a port."""
    host, _, port = text.partition(b":")
    if len(host) not in (8, 32):
        raise ValueError(text)
    words = [int(host[i : i + 8], 16) for i in range(0, len(host), 8)]
    return b"".join(word.to_bytes(4, sys.byteorder) for word in words), int(port, 16)


def parse_unix(data: bytes) -> Iterator[UnixSocket]:
    """Of /proc/PID/net/unix. Its "@" for a NUL byte is translated back at the start only."""
    for line in data.split(b"\n")[1:]:
        columns = line.split(None, 7)
        try:
            flags, kind, state = (int(column, 16) for column in columns[3:6])
            inode = int(columns[6])
        except (ValueError, IndexError):
            continue
        name = columns[7] if len(columns) > 7 else b""
        if name.startswith(b"@"):
            name = b"\0" + name[1:]
        number = 10 if flags & ACCEPTS else 1 if state == 3 else 7
        yield UnixSocket(kind, number, inode, name, 0, 0, 0, 0, None, ())


def parse_netlink(data: bytes) -> Iterator[NetlinkSocket]:
    """Of /proc/PID/net/netlink."""
    for columns in _columns(data, 10):
        try:
            number = int(columns[1])
            port, rqueue, wqueue, inode = (int(columns[i]) for i in (2, 4, 5, 9))
            groups = int(columns[3], 16)
        except ValueError:
            continue
        name = NETLINK.get(number, f"netlink {number}")
        yield NetlinkSocket(name, port, groups, rqueue, wqueue, inode)


def parse_packet(data: bytes) -> Iterator[PacketSocket]:
    """Of /proc/PID/net/packet."""
    for columns in _columns(data, 9):
        try:
            kind, interface, rqueue, uid, inode = (int(columns[i]) for i in (2, 4, 6, 7, 8))
            ethertype = int(columns[3], 16)
        except ValueError:
            continue
        name = PACKET_TYPES.get(kind, f"type {kind}")
        yield PacketSocket(name, ethertype, interface, rqueue, uid, inode)


KINDS: t.Final[dict[str, tuple[str, str, str]]] = {
    "TCP": ("tcp", "IPv4", "tcp"),
    "TCPv6": ("tcp6", "IPv6", "tcp"),
    "UDP": ("udp", "IPv4", "udp"),
    "UDPv6": ("udp6", "IPv6", "udp"),
    "UDP-Lite": ("udplite", "IPv4", "udplite"),
    "UDPLITEv6": ("udplite6", "IPv6", "udplite"),
    "RAW": ("raw", "IPv4", "raw"),
    "RAWv6": ("raw6", "IPv6", "raw"),
    "PING": ("icmp", "IPv4", "icmp"),
    "PINGv6": ("icmp6", "IPv6", "icmp"),
    "UNIX": ("unix", "unix", ""),
    "UNIX-STREAM": ("unix", "unix", "stream"),
    "NETLINK": ("netlink", "netlink", ""),
    "PACKET": ("packet", "packet", ""),
    "AF_VSOCK": ("", "vsock", ""),
}
"""What ``protocol_of`` finds: the file that lists it, its type for people, its protocol."""


def load(pid: int, file: str) -> list[Socket]:
    """The sockets in /proc/PID/net/``file``; none where it cannot be read."""
    try:
        with open(f"/proc/{pid}/net/{file}", "rb") as source:
            data = source.read()
    except OSError:
        return []
    return list(_parser(file)(data))


def _parser(file: str) -> Callable[[bytes], Iterator[Socket]]:
    special: dict[str, Callable[[bytes], Iterator[Socket]]] = {
        "unix": parse_unix,
        "netlink": parse_netlink,
        "packet": parse_packet,
    }
    protocol = file.removesuffix("6")
    return special.get(file) or (lambda data: parse_inet(data, protocol))


def protocol_of(path: str) -> str:
    """The kernel's own word for what a socket speaks, a key of ``KINDS`` mostly; ``path`` is a
    descriptor's link in /proc. Empty where it does not tell."""
    try:
        name = os.getxattr(path, "system.sockprotoname")
    except (OSError, AttributeError):  # closed in the meantime; not Linux
        return ""
    return name.rstrip(b"\0").decode("ascii", "backslashreplace")
