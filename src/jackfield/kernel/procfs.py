"""Who holds a port: readers of Linux's /proc. Elsewhere every answer is None.

``holder_of`` finds the socket's inode in /proc/net/{tcp,tcp6,udp,udp6,unix} (proc_net(5)), then
the process whose /proc/PID/fd has a link to ``socket:[inode]``. Other users' links are
readable by root only, so "nobody found" is no proof. The answers go into error texts and
nothing else: paths and process names come from others, may lie, and are escaped.

This module must not open sockets.
"""

from __future__ import annotations

import os
import socket
import sys
import typing as t
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from jackfield.address import AF_UNIX, Address, printable

TCP_LISTEN: t.Final = 0x0A
"""The ``st`` column of a listening TCP socket (include/net/tcp_states.h)."""

NAME_SHOWN: t.Final = 32
"""Characters of a process name: the kernel keeps 15 bytes, escapes make them longer."""


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that holds a socket; ``name`` is its command name, safe to print."""

    pid: int
    name: str

    def __str__(self) -> str:
        return f"{self.name} (pid {self.pid})"


@dataclass(frozen=True, slots=True)
class InetEntry:
    """A line of /proc/net/tcp and its kin: packed local address, port, state, inode."""

    host: bytes
    port: int
    state: int
    inode: int


def parse_inet(text: str) -> Iterator[InetEntry]:
    """Entries of /proc/net/tcp, tcp6, udp or udp6; lines that are none (the header) are left out.

    An address is written as 32-bit words in the machine's own byte order, a port in hex.
    """
    for line in text.splitlines():
        try:
            columns = line.split()
            host, _, port = columns[1].partition(":")
            words = [int(host[i : i + 8], 16) for i in range(0, len(host), 8)]
            packed = b"".join(word.to_bytes(4, sys.byteorder) for word in words)
            yield InetEntry(packed, int(port, 16), int(columns[3], 16), int(columns[9]))
        except (ValueError, IndexError, OverflowError):
            continue


def parse_unix(text: str) -> Iterator[tuple[str, int]]:
    """(path, inode) of each named socket in /proc/net/unix; abstract names begin with "@"."""
    for line in text.splitlines():
        columns = line.split(maxsplit=7)
        if len(columns) == 8 and columns[6].isdigit():
            yield columns[7], int(columns[6])


def conflicts(entry: InetEntry, host: bytes) -> int:
    """How much ``entry`` stands in the way of binding ``host`` to its port, 0 for not at all.

    2: the same address. 1: one of the two is a wildcard, or an IPv6 socket that may take
    IPv4 too (/proc does not show IPV6_V6ONLY).
    """
    mapped = bytes(10) + b"\xff\xff"
    if entry.host in (host, mapped + host):
        return 2
    if not any(entry.host):
        return int(len(entry.host) >= len(host))
    return int(not any(host) and len(entry.host) == len(host))


def holder_of(address: Address) -> Holder | None:
    """The process that listens on ``address`` (tcp, unix) or is bound to it (udp).

    None when there is none, when it is another user's, and where there is no Linux /proc.
    It reads every process's descriptors (milliseconds): for the way to an error message.
    """
    for inode in _inodes(address):
        holder = _process_with(f"socket:[{inode}]")
        if holder:
            return holder
    return None


def _inodes(address: Address) -> Iterable[int]:
    """Inodes of the sockets that occupy ``address``, the likeliest first."""
    if address.family == AF_UNIX:
        assert not isinstance(address.sockaddr, tuple)
        path = os.fsdecode(address.sockaddr).replace("\0", "@")
        return [inode for name, inode in parse_unix(_read("/proc/net/unix")) if name == path]
    kind = "udp" if address.type == socket.SOCK_DGRAM else "tcp"
    host = socket.inet_pton(address.family, str(address.sockaddr[0]).partition("%")[0])
    entries = [*parse_inet(_read(f"/proc/net/{kind}")), *parse_inet(_read(f"/proc/net/{kind}6"))]
    ranked = [
        (conflicts(entry, host), entry.inode)
        for entry in entries
        if entry.port == address.port and (kind == "udp" or entry.state == TCP_LISTEN)
    ]
    return [inode for rank, inode in sorted(ranked, key=lambda pair: -pair[0]) if rank]


def _process_with(link: str) -> Holder | None:
    """The oldest-numbered process that has a descriptor which is ``link``."""
    try:
        pids = sorted(int(name) for name in os.listdir("/proc") if name.isdigit())
    except OSError:
        return None
    for pid in pids:
        if link in _links(f"/proc/{pid}/fd"):
            name = _read(f"/proc/{pid}/comm").rstrip("\n")
            return Holder(pid, printable(name, NAME_SHOWN) or "?")
    return None


def _links(directory: str) -> Iterator[str]:
    """What the descriptors in ``directory`` are; nothing where we may not look."""
    try:
        names = os.listdir(directory)
    except OSError:
        return
    for name in names:
        try:
            yield os.readlink(f"{directory}/{name}")
        except OSError:  # closed in the meantime
            continue


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read()
    except OSError:
        return ""
