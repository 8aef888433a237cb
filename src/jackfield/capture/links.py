"""The link's header: where in a frame IP begins, if IP it is.

Ethernet with its VLAN tags (IEEE 802.1Q, 802.1ad), Linux's cooked headers, BSD's loopback and
frames that begin with IP itself. Must not know what follows.
"""

from __future__ import annotations

import struct
import typing as t
from collections.abc import Callable

from jackfield.capture import frames
from jackfield.errors import PacketError

ETHERTYPE_IPV4: t.Final = 0x0800
ETHERTYPE_IPV6: t.Final = 0x86DD
_VLAN_TAGS: t.Final = frozenset({0x8100, 0x88A8, 0x9100})
"""802.1Q, 802.1ad, and what switches used before 802.1ad."""

_TAGS: t.Final = 4
"""VLAN tags that are gone through: networks nest two."""

_LARGEST_LENGTH: t.Final = 0x05FF
"""Up to here the two bytes are the length of an IEEE 802.3 frame and no type."""

_NAMES: t.Final = {0x0806: "ARP", 0x88CC: "LLDP", 0x888E: "802.1X", 0x8847: "MPLS", 0x8864: "PPPoE"}

_AF_INET: t.Final = 2
_AF_INET6: t.Final = frozenset({10, 24, 28, 30})
"""Linux, NetBSD and OpenBSD, FreeBSD, macOS."""

_TWO: t.Final = struct.Struct("!H")


def network_layer(link: int, data: bytes) -> tuple[int, int]:
    """The EtherType of what ``data`` carries, and the offset at which that begins.

    Raises ``PacketError`` for a frame cut short, or of a link type that is not known here.
    """
    reader = _READERS.get(link)
    if reader is None:
        raise PacketError(f"link type {link} is not one of {' '.join(map(str, _READERS))}")
    return _behind_tags(data, *reader(data))


def ethertype_name(number: int) -> str:
    """What stands for an EtherType that is not IP, safe to print."""
    if number <= _LARGEST_LENGTH:
        return "802.3"
    return _NAMES.get(number, f"ethertype {number:#06x}")


def _behind_tags(data: bytes, kind: int, at: int) -> tuple[int, int]:
    for _ in range(_TAGS):
        if kind not in _VLAN_TAGS:
            break
        kind, at = _two(data, at + 2), at + 4  # two bytes of priority and number come first
    return kind, at


def _two(data: bytes, at: int) -> int:
    if at + 2 > len(data):
        raise PacketError(f"cut short within the link's header, after {len(data)} bytes")
    number: int = _TWO.unpack_from(data, at)[0]
    return number


def _ethernet(data: bytes) -> tuple[int, int]:
    return _two(data, 12), 14


def _sll(data: bytes) -> tuple[int, int]:
    return _two(data, 14), 16


def _sll2(data: bytes) -> tuple[int, int]:
    if len(data) < 20:
        raise PacketError(f"cut short within the link's header, after {len(data)} bytes")
    return _two(data, 0), 20


def _null(data: bytes) -> tuple[int, int]:
    _two(data, 2)
    # One of the two is 0: no system has more than 255 families.
    family = int.from_bytes(data[:2], "little") or int.from_bytes(data[2:4], "big")
    if family > 255:
        raise PacketError(f"the loopback header names the unknown address family {family}")
    if family == _AF_INET:
        return ETHERTYPE_IPV4, 4
    if family in _AF_INET6:
        return ETHERTYPE_IPV6, 4
    raise PacketError(f"the loopback header names the unknown address family {family}")


def _raw(data: bytes) -> tuple[int, int]:
    version = data[0] >> 4 if data else 0
    if version not in (4, 6):
        raise PacketError(f"begins with IP version {version}")
    return ETHERTYPE_IPV4 if version == 4 else ETHERTYPE_IPV6, 0


_READERS: t.Final[dict[int, Callable[[bytes], tuple[int, int]]]] = {
    frames.NULL: _null,
    frames.ETHERNET: _ethernet,
    frames.RAW_BSD: _raw,
    frames.RAW_OPENBSD: _raw,
    frames.RAW: _raw,
    frames.LOOP: _null,
    frames.SLL: _sll,
    frames.IPV4: _raw,
    frames.IPV6: _raw,
    frames.SLL2: _sll2,
}
