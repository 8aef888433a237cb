"""IPv4 (RFC 791) and IPv6 (RFC 8200) headers: between whom, what they carry and how much of it.

Lengths are IP's own word, not the frame's: Ethernet pads short frames, and a capture may have
cut long ones. Fragments are named, not put together. Checksums are not looked at: on the machine
that sends, the card fills them in after we have seen the packet.
"""

from __future__ import annotations

import struct
import typing as t

from jackfield.capture.links import ETHERTYPE_IPV6
from jackfield.errors import PacketError

TCP: t.Final = 6
UDP: t.Final = 17
_FRAGMENT: t.Final = 44
_AUTHENTICATION: t.Final = 51
_EXTENSIONS: t.Final = frozenset({0, 43, 60, 135, 139, 140})
"""Hop-by-hop, routing, destination options, mobility, HIP, shim6: all of them begin with what
comes next and their own length in eights (RFC 8200, 4; RFC 6564)."""

_HEADERS: t.Final = 16
"""IPv6 extension headers that are gone through: a packet has one of each kind at most."""

_NAMES: t.Final = {
    1: "ICMP",
    2: "IGMP",
    47: "GRE",
    50: "ESP",
    58: "ICMPv6",
    59: "nothing",
    132: "SCTP",
}

_IPV4: t.Final = struct.Struct("!BBHHHBBH4s4s")
_IPV6: t.Final = struct.Struct("!IHBB16s16s")


class Ip(t.NamedTuple):
    """``protocol`` is what begins at offset ``at`` of the frame and is ``length`` bytes long on
    the wire; ``fragment`` is True for a part of a datagram only."""

    source: bytes
    destination: bytes
    protocol: int
    at: int
    length: int
    fragment: bool = False


def parse(kind: int, data: bytes, at: int, on_wire: int) -> Ip:
    """The IP header at ``data[at:]``; ``kind`` is its EtherType and ``on_wire`` how long the
    frame was before a capture cut it. Raises ``PacketError``."""
    header = (_parse_ipv6 if kind == ETHERTYPE_IPV6 else _parse_ipv4)(data, at, on_wire)
    if header.at + header.length > on_wire:
        raise PacketError(f"IP claims {header.at + header.length - at} bytes; {on_wire - at} came")
    return header


def protocol_name(number: int) -> str:
    """What stands for a protocol number that is neither TCP nor UDP, safe to print."""
    return _NAMES.get(number, f"IP protocol {number}")


def _parse_ipv4(data: bytes, at: int, on_wire: int) -> Ip:
    if len(data) - at < _IPV4.size:
        raise PacketError(f"cut short within its IPv4 header, after {max(0, len(data) - at)} bytes")
    first, _, total, _, flags, _, protocol, _, source, target = _IPV4.unpack_from(data, at)
    size = (first & 15) * 4
    if first >> 4 != 4 or size < _IPV4.size:
        raise PacketError(f"begins with {first:#04x}, which begins no IPv4 header")
    # 0: longer than the field can say; the kernel hands a card what it has yet to cut (TSO).
    total = total or on_wire - at
    if total < size:
        raise PacketError(f"IPv4 claims {total} bytes, less than its header's {size}")
    fragment = bool(flags & 0x3FFF)  # more to come, or an offset
    return Ip(source, target, protocol, at + size, total - size, fragment)


def _parse_ipv6(data: bytes, at: int, on_wire: int) -> Ip:
    if len(data) - at < _IPV6.size:
        raise PacketError(f"cut short within its IPv6 header, after {max(0, len(data) - at)} bytes")
    first, length, protocol, _, source, target = _IPV6.unpack_from(data, at)
    if first >> 28 != 6:
        raise PacketError(f"begins with IP version {first >> 28}, not 6")
    at += _IPV6.size
    end = at + length if length else on_wire  # 0: a jumbogram (RFC 2675), or TSO as above
    fragment = False
    for _ in range(_HEADERS):
        if protocol == _FRAGMENT:
            fragment = fragment or bool(_extension(data, at, 2) & 0xFFF9)  # offset, or more to come
            if fragment:
                return Ip(source, target, data[at], at + 8, max(0, end - at - 8), True)
            size = 8
        elif protocol == _AUTHENTICATION:
            size = ((_extension(data, at, 0) & 0xFF) + 2) * 4
        elif protocol in _EXTENSIONS:
            size = ((_extension(data, at, 0) & 0xFF) + 1) * 8
        else:
            return Ip(source, target, protocol, at, end - at)
        protocol, at = data[at], at + size
        if at > end:
            raise PacketError("an IPv6 extension header that is longer than its packet")
    raise PacketError(f"more than {_HEADERS} IPv6 extension headers")


def _extension(data: bytes, at: int, offset: int) -> int:
    """Two bytes of the extension header at ``at``, of which eight must be there."""
    if len(data) - at < 8:
        raise PacketError("cut short within an IPv6 extension header")
    return data[at + offset] << 8 | data[at + offset + 1]
