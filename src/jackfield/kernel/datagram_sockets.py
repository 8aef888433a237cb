"""Datagram sockets: bound ones that receive, and those a client sends from. UDP and Unix.

A bound one takes what its address says: a multicast group is joined (``multicast``), a Unix
socket gets a file that goes when the socket is closed, ``broadcast=1`` allows sending to
broadcast addresses. SO_REUSEADDR is set for groups only: for others it would let another
process take the datagrams.

This module must not know transports or engines, nor what the system's refusals mean.
"""

from __future__ import annotations

import socket
import sys

from jackfield.address import AF_UNIX, Address, SockAddr
from jackfield.errors import UsageError
from jackfield.kernel.multicast import (
    bind_group,
    is_group,
    require_group_for_options,
    scoped,
    set_sending,
)
from jackfield.kernel.options import allow_broadcast, one_family
from jackfield.kernel.unix_sockets import bind_unix_datagram, mode_of


def open_bound(address: Address) -> socket.socket:
    """A datagram socket bound to ``address``. Raises ``OSError`` or ``UsageError``."""
    require_group_for_options(address)
    if address.family == AF_UNIX:
        return bind_unix_datagram(address, mode_of(address))
    sock = socket.socket(address.family, address.type)
    try:
        one_family(sock)
        if address.option("broadcast") == "1":
            allow_broadcast(sock)
        if is_group(address):
            bind_group(sock, address)
        else:
            sock.bind(address.sockaddr)
    except BaseException:
        sock.close()
        raise
    return sock


def answers_from_elsewhere(address: Address) -> bool:
    """True for a group or broadcast address: each answer comes from its sender's own address,
    which a connected socket would not receive."""
    return is_group(address) or address.option("broadcast") == "1"


def prepare_dial(sock: socket.socket, address: Address) -> None:
    """Make a fresh socket ready to send datagrams to ``address`` and to be answered.

    Raises ``OSError``, or ``UsageError`` for what is only for servers or not for this system.
    """
    for key in ("mode", "uid", "source"):
        if address.option(key) is not None:
            raise UsageError(f"{address}: option {key} is for servers")
    require_group_for_options(address)
    if address.option("broadcast") == "1":
        allow_broadcast(sock)
    if is_group(address):
        set_sending(sock, address)
    if address.scheme == "unixgram":
        if sys.platform != "linux":
            raise UsageError(f"{address}: only Linux names a client's socket; use unix:")
        sock.bind("")  # the kernel chooses an abstract name: who has none is not answered


def target(address: Address) -> SockAddr:
    """Where to send to when the socket is not connected."""
    return scoped(address) if is_group(address) else address.sockaddr
