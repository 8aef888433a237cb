"""Multicast: datagram sockets that join a group, and how those who send to it are set up.

    udp://239.1.2.3:5000?interface=lo&ttl=1&loop=0     udp://[ff15::7]:5000?source=2001:db8::1

A member binds to the group's own address, so that nothing else to the same port reaches it, and
shares port and group with other members on this machine. ``interface`` (a name, or an address it
has) is where the group is joined and sent to; without it the kernel looks into its routes.
``ttl`` is how many networks multicast passes (the kernel's default is 1: this one), ``loop=0``
keeps what is sent from this machine's own members, ``source`` is the one sender to hear
(source-specific multicast, RFC 4607). See ip(7), ipv6(7), RFC 3493, RFC 3678.

This module must not know transports, engines or error texts beyond its own.
"""

from __future__ import annotations

import socket
import struct
import sys
import typing as t

from jackfield.address import Address
from jackfield.errors import UsageError

OPTIONS: t.Final = ("interface", "ttl", "loop", "source")
"""The endpoint's options that mean something for groups only."""

GROUPS: t.Final = "224.0.0.0 to 239.255.255.255, or ff00::/8"

SIOCGIFADDR: t.Final = 0x8915
"""Linux: an interface's first IPv4 address (netdevice(7))."""

# Linux's numbers (linux/in.h), which Python 3.11's socket module lacks.
IP_ADD_SOURCE_MEMBERSHIP, IP_DROP_SOURCE_MEMBERSHIP = 39, 40
MCAST_JOIN_SOURCE_GROUP, MCAST_LEAVE_SOURCE_GROUP = 46, 47


class Interface(t.NamedTuple):
    """An interface as the kernel takes it: ``ifindex`` (0: any), or for IPv4 an address of it."""

    ifindex: int = 0
    address: bytes = bytes(4)


def is_group(address: Address) -> bool:
    """True for a multicast address (RFC 5771, RFC 4291)."""
    if address.family == socket.AF_INET:
        return socket.inet_aton(str(address.sockaddr[0]))[0] >> 4 == 0xE
    return address.family == socket.AF_INET6 and _packed(address)[0] == 0xFF


def require_group_for_options(address: Address) -> None:
    """Raise ``UsageError`` for an option that only a group has, on an address that is none."""
    for key in OPTIONS:
        if address.option(key) is not None and not is_group(address):
            raise UsageError(f"{address}: option {key} is for multicast groups: {GROUPS}")


def bind_group(sock: socket.socket, address: Address) -> None:
    """Bind a fresh datagram socket to the group ``address``, join it and set its options.

    Raises ``OSError`` as bind(2) and setsockopt(2) do, ``UsageError`` for an option that cannot
    be met.
    """
    interface = _interface_of(address)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if sys.platform != "linux" and hasattr(socket, "SO_REUSEPORT"):  # what BSD calls the same
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sock.bind(scoped(address, interface))
    _change(sock, address, interface, joining=True)
    set_sending(sock, address)


def set_sending(sock: socket.socket, address: Address) -> None:
    """Set how ``sock`` sends to the group ``address``: interface, ttl and loop."""
    interface = _interface_of(address)
    if interface.ifindex or any(interface.address):
        _send_through(sock, interface)
    ttl, loop = address.option("ttl"), address.option("loop")
    if ttl is not None:
        set_ttl(sock, int(ttl))
    if loop is not None:
        set_loop(sock, loop == "1")


def scoped(address: Address, interface: Interface | None = None) -> tuple[t.Any, ...]:
    """The sockaddr to bind or send to: a link-local IPv6 group wants its interface's index."""
    assert isinstance(address.sockaddr, tuple)
    if address.family == socket.AF_INET:
        return address.sockaddr
    index = (interface or _interface_of(address)).ifindex
    return (*address.sockaddr[:3], index or address.sockaddr[3])


def join(sock: socket.socket, group: Address) -> None:
    """Be a member of one more group: ``group``'s host, with its interface and source options.

    What is sent to it arrives only on a socket bound to that group or to every address.
    """
    _change(sock, group, _interface_of(group), joining=True)


def leave(sock: socket.socket, group: Address) -> None:
    """Undo ``join`` with the same ``group``. A socket that closes leaves all its groups."""
    _change(sock, group, _interface_of(group), joining=False)


def set_ttl(sock: socket.socket, ttl: int) -> None:
    """How many networks multicast passes, 0..255: 0 stays on this machine, 1 on its networks."""
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, ttl)
    else:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, ttl)


def set_loop(sock: socket.socket, loop: bool) -> None:
    """Do members on this machine, this socket among them, receive what it sends?"""
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_LOOP, int(loop))
    else:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, int(loop))


def _send_through(sock: socket.socket, interface: Interface) -> None:
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, interface.ifindex)
        return
    # struct ip_mreqn. With its address given, that is also what datagrams come from; else Linux
    # would send through lo with the address of another interface.
    request = struct.pack("@4s4si", bytes(4), interface.address, interface.ifindex)
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, request)


def _change(sock: socket.socket, group: Address, interface: Interface, *, joining: bool) -> None:
    source = group.option("source")
    if source is not None:
        _change_source(sock, group, interface, source, joining=joining)
    elif sock.family == socket.AF_INET6:
        option = socket.IPV6_JOIN_GROUP if joining else socket.IPV6_LEAVE_GROUP
        request = struct.pack("@16sI", _packed(group), interface.ifindex)  # struct ipv6_mreq
        sock.setsockopt(socket.IPPROTO_IPV6, option, request)
    else:
        option = socket.IP_ADD_MEMBERSHIP if joining else socket.IP_DROP_MEMBERSHIP
        request = struct.pack("@4s4si", _packed(group), interface.address, interface.ifindex)
        sock.setsockopt(socket.IPPROTO_IP, option, request)


def _change_source(
    sock: socket.socket, group: Address, interface: Interface, source: str, *, joining: bool
) -> None:
    if sys.platform != "linux":  # the numbers and layouts differ from system to system
        raise UsageError(f"{group}: option source is for Linux only")
    try:
        sender = socket.inet_pton(group.family, source)
    except OSError as exc:
        raise UsageError(f"{group}: source {source} is of the other IP version") from exc
    if group.family == socket.AF_INET and not interface.ifindex and any(interface.address):
        option = IP_ADD_SOURCE_MEMBERSHIP if joining else IP_DROP_SOURCE_MEMBERSHIP
        request = _packed(group) + interface.address + sender  # struct ip_mreq_source
        sock.setsockopt(socket.IPPROTO_IP, option, request)
        return
    level = socket.IPPROTO_IPV6 if group.family == socket.AF_INET6 else socket.IPPROTO_IP
    option = MCAST_JOIN_SOURCE_GROUP if joining else MCAST_LEAVE_SOURCE_GROUP
    # struct group_source_req: the index, then two sockaddr_storage, aligned as pointers are.
    request = struct.pack("@I0P", interface.ifindex) + _storage(_packed(group)) + _storage(sender)
    sock.setsockopt(level, option, request)


def _storage(packed: bytes) -> bytes:
    """A sockaddr_storage with an IP address and no port."""
    if len(packed) == 4:
        return struct.pack("@HH4s120x", socket.AF_INET, 0, packed)
    return struct.pack("@HHI16sI100x", socket.AF_INET6, 0, 0, packed, 0)


def _packed(address: Address) -> bytes:
    host = str(address.sockaddr[0]).partition("%")[0]
    return socket.inet_pton(address.family, host)


# --- interfaces ------------------------------------------------------------------------------


def _interface_of(group: Address) -> Interface:
    """The interface that the group's option, or its IPv6 scope (``ff02::7%eth0``), names."""
    text = group.option("interface")
    if text is None:
        scope = group.sockaddr[3] if group.family == socket.AF_INET6 else 0
        return Interface(int(scope))
    try:
        packed = socket.inet_pton(group.family, text.partition("%")[0])
    except OSError:
        return _interface_by_name(group, text)
    if group.family == socket.AF_INET:
        return Interface(address=packed)
    if "%" in text:
        return _interface_by_name(group, text.partition("%")[2])
    index = _index_with(packed)
    if index is None:
        raise UsageError(f"{group}: no interface has the address {text}; write interface=NAME")
    return Interface(index)


def _interface_by_name(group: Address, name: str) -> Interface:
    try:
        index = socket.if_nametoindex(name)
    except OSError as exc:
        known = " ".join(known for _, known in socket.if_nameindex())
        raise UsageError(f"{group}: there is no interface '{name}'; there are: {known}") from exc
    if group.family == socket.AF_INET:
        return Interface(index, _first_address(name))
    return Interface(index)


def _first_address(name: str) -> bytes:
    """The interface's first IPv4 address; zeros where it has none or cannot be asked."""
    if sys.platform != "linux":
        return bytes(4)
    import fcntl

    request = struct.pack("16s16x", name.encode()) + bytes(8)  # struct ifreq
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            return fcntl.ioctl(sock, SIOCGIFADDR, request)[20:24]  # behind sin_family, sin_port
        except OSError:
            return bytes(4)


def _index_with(packed: bytes) -> int | None:
    """The index of the interface with this IPv6 address (Linux: /proc/net/if_inet6)."""
    try:
        with open("/proc/net/if_inet6", encoding="ascii") as file:
            lines = [line.split() for line in file]
    except OSError:
        return None
    found = [int(columns[1], 16) for columns in lines if columns[0] == packed.hex()]
    return found[0] if found else None
