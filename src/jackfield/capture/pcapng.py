"""The capture file of today (draft-ietf-opsawg-pcapng): blocks, in sections, from interfaces.

    type: 4 | total length: 4 | body, padded to 4 | total length: 4

A section begins with its header block, which tells the byte order of all in it. It names its
interfaces, each with a link type and a clock, and packets refer to them by number. What is of no
use here (names, statistics, secrets) is passed over unread, however long. Must not know where
bytes come from: see ``reader``.
"""

from __future__ import annotations

import struct
import typing as t
from collections.abc import Iterator

from jackfield.capture.frames import SNAPLEN, Frame
from jackfield.errors import CaptureError

SECTION: t.Final = 0x0A0D0D0A
"""The same in both byte orders."""
INTERFACE: t.Final = 1
OLD_PACKET: t.Final = 2
SIMPLE_PACKET: t.Final = 3
PACKET: t.Final = 6
ORDER_MAGIC: t.Final = 0x1A2B3C4D

MOST_BLOCK: t.Final = SNAPLEN + 65536
"""Bytes of a block that is read: the largest packet, and 64 KiB of options."""

MOST_INTERFACES: t.Final = 4096
"""Of one section: a packet's frame has some dozens, and each costs us memory."""

OPTION_END: t.Final = 0
OPTION_RESOLUTION: t.Final = 9
OPTION_OFFSET: t.Final = 14

_FRAME: t.Final = 12
"""Bytes of a block around its body."""


class Interface(t.NamedTuple):
    """``per_second``: ticks of its clock; ``offset``: seconds to add to its times."""

    link: int
    snaplen: int
    per_second: int
    offset: int

    def nanoseconds(self, ticks: int) -> int:
        return ticks * 10**9 // self.per_second + self.offset * 10**9


class Pcapng:
    """Reads one file: ``size`` of what comes next, whether one ``wants`` it, then ``take``."""

    __slots__ = ("_interfaces", "_order")

    HEAD: t.Final = 12
    """Bytes that ``size`` must be shown: a section's byte order comes after the two numbers."""

    def __init__(self) -> None:
        self._order = "<"
        self._interfaces: list[Interface] = []

    def size(self, head: bytes) -> int | None:
        """Bytes of the next block, all of it; None: show me more."""
        if len(head) < self.HEAD:
            return None
        if self._kind(head) == SECTION:
            self._begin_section(head)
        size: int = self._unpack("I", head, 4)
        least = 28 if self._kind(head) == SECTION else _FRAME
        if size % 4 or size < least:
            raise CaptureError(f"a block of {size} bytes; it cannot be so long")
        if self.wants(head) and size > MOST_BLOCK:
            raise CaptureError(f"a block of {size} bytes; the limit is {MOST_BLOCK}")
        return size

    def wants(self, head: bytes | bytearray) -> bool:
        """Must the block be held until it is whole, or may it be passed over unread?"""
        return self._kind(head) in _TAKERS

    def take(self, block: bytes) -> Frame | None:
        """The packet in ``block``, as long as ``size`` said; None for one that holds none."""
        if self._unpack("I", block, len(block) - 4) != len(block):
            raise CaptureError("a block whose two lengths differ")
        return _TAKERS[self._kind(block)](self, block[8:-4])

    def _kind(self, head: bytes | bytearray) -> int:
        kind: int = self._unpack("I", head, 0)
        return kind

    def _unpack(self, layout: str, block: bytes | bytearray, at: int) -> t.Any:
        """One number, or several as a tuple."""
        try:
            numbers = struct.unpack_from(self._order + layout, block, at)
        except struct.error as exc:
            raise CaptureError(f"a block of {len(block)} bytes; too short for its kind") from exc
        return numbers[0] if len(numbers) == 1 else numbers

    def _begin_section(self, head: bytes) -> None:
        for order in "<>":
            if struct.unpack_from(order + "I", head, 8)[0] == ORDER_MAGIC:
                self._order = order
                return
        raise CaptureError("a section that does not say its byte order")

    # --- blocks, without what is around them -------------------------------------------------

    def _section(self, body: bytes) -> None:
        major = self._unpack("H", body, 4)
        if major != 1:
            raise CaptureError(f"pcapng version {major} is not known; 1 is")
        self._interfaces.clear()

    def _interface(self, body: bytes) -> None:
        if len(self._interfaces) == MOST_INTERFACES:
            raise CaptureError(f"more than {MOST_INTERFACES} interfaces in a section")
        link, _, snaplen = self._unpack("HHI", body, 0)
        per_second, offset = 10**6, 0
        for kind, value in self._options(body[8:]):
            if kind == OPTION_RESOLUTION and len(value) == 1:
                exponent = value[0] & 0x7F
                per_second = (2 if value[0] & 0x80 else 10) ** exponent
            elif kind == OPTION_OFFSET and len(value) == 8:
                offset = self._unpack("q", value, 0)
        self._interfaces.append(Interface(link, snaplen, per_second, offset))

    def _options(self, block: bytes) -> Iterator[tuple[int, bytes]]:
        """(kind, value) of each. Their end may be left out; what is cut short is no option."""
        at = 0
        while at + 4 <= len(block):
            kind, length = self._unpack("HH", block, at)
            if kind == OPTION_END or at + 4 + length > len(block):
                return
            yield kind, block[at + 4 : at + 4 + length]
            at += 4 + length + -length % 4

    def _packet(self, body: bytes) -> Frame:
        number, high, low, captured, length = self._unpack("IIIII", body, 0)
        return self._frame(number, high << 32 | low, captured, length, body[20:])

    def _old_packet(self, body: bytes) -> Frame:
        number, _, high, low, captured, length = self._unpack("HHIIII", body, 0)
        return self._frame(number, high << 32 | low, captured, length, body[20:])

    def _simple_packet(self, body: bytes) -> Frame:
        """Has no time, and is of the first interface."""
        length = self._unpack("I", body, 0)
        snaplen = self._of(0).snaplen or length
        return self._frame(0, None, min(length, snaplen), length, body[4:])

    def _frame(
        self, number: int, ticks: int | None, captured: int, length: int, rest: bytes
    ) -> Frame:
        interface = self._of(number)
        if captured > len(rest):
            raise CaptureError(f"a packet of {captured} bytes in a block of {len(rest)}")
        time = 0 if ticks is None else interface.nanoseconds(ticks)
        return Frame(time, interface.link, rest[:captured], length)

    def _of(self, number: int) -> Interface:
        if number >= len(self._interfaces):
            raise CaptureError(f"a packet of interface {number}, which no block describes")
        return self._interfaces[number]


_TAKERS: t.Final[dict[int, t.Callable[[Pcapng, bytes], Frame | None]]] = {
    SECTION: Pcapng._section,
    INTERFACE: Pcapng._interface,
    OLD_PACKET: Pcapng._old_packet,
    SIMPLE_PACKET: Pcapng._simple_packet,
    PACKET: Pcapng._packet,
}
