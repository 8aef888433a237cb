"""Where a server listens, in lines for people. Must not know engines or protocols."""

from __future__ import annotations

import socket
from collections.abc import Iterable

from jackfield.address import Address
from jackfield.kernel.sockets import Listener


def shown(address: Address) -> str:
    """An address that is listened on, with what its scheme does not say."""
    return f"{address}?tls=1" if address.tls and address.scheme != "tls" else str(address)


def describe(
    listeners: Iterable[Listener], sockets: Iterable[socket.socket], engine: str
) -> list[str]:
    """A line for each listener and each datagram socket: where, which descriptor, which engine;
    and the backlog, where there is one."""
    lines = [
        f"listening {shown(listener.address)} fd={listener.sock.fileno()} "
        f"engine={engine} backlog={listener.backlog}"
        for listener in listeners
    ]
    lines += [f"listening {Address.of(one)} fd={one.fileno()} engine={engine}" for one in sockets]
    return lines


def clamped(listeners: Iterable[Listener]) -> list[str]:
    """A line for each listener whose backlog the kernel made shorter than asked."""
    return [
        f"{listener.address}: backlog {listener.backlog_asked} was asked for, the kernel "
        f"allows {listener.backlog}; raise it with: "
        f"sysctl net.core.somaxconn={listener.backlog_asked}"
        for listener in listeners
        if listener.backlog < listener.backlog_asked
    ]
