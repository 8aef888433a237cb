"""The classic capture file (draft-ietf-opsawg-pcap): a header, then packets of one link type.

    magic: 4 | version: 2 + 2 | zone: 4 | accuracy: 4 | snaplen: 4 | link type: 4
    seconds: 4 | fraction: 4 | captured: 4 | on the wire: 4 | the packet         ... again

The magic tells the byte order, that of the machine which wrote, and whether fractions are micro-
or nanoseconds. Must not know where bytes come from: see ``reader``.
"""

from __future__ import annotations

import struct
import typing as t

from jackfield.capture.frames import SNAPLEN, Frame
from jackfield.errors import CaptureError

MICROSECONDS: t.Final = 0xA1B2C3D4
NANOSECONDS: t.Final = 0xA1B23C4D
_UNITS: t.Final = {MICROSECONDS: 1000, NANOSECONDS: 1}

_HEADER: t.Final = 24
_RECORD: t.Final = 16
_LINK_MASK: t.Final = 0x03FFFFFF
"""Above these bits stands how long a check sequence ends each frame; IP's length leaves it out."""


class Pcap:
    """Reads one file: ``size`` of what comes next, then ``take`` it."""

    __slots__ = ("_link", "_order", "_record", "_unit")

    HEAD: t.Final = _RECORD
    """Bytes that ``size`` must be shown."""

    def __init__(self, magic: bytes) -> None:
        order = order_of(magic)
        assert order is not None
        self._order = order
        self._unit = _UNITS[struct.unpack(order + "I", magic)[0]]
        self._link = -1
        self._record = struct.Struct(order + "IIII")

    def size(self, head: bytes) -> int | None:
        """Bytes of the file's header or of the next packet; None: show me more."""
        if self._link < 0:
            return _HEADER
        if len(head) < _RECORD:
            return None
        captured: int = self._record.unpack(head)[2]
        if captured > SNAPLEN:
            raise CaptureError(f"a packet of {captured} bytes; no capture has over {SNAPLEN}")
        return _RECORD + captured

    def wants(self, head: bytes | bytearray) -> bool:
        """There is nothing else in such a file."""
        return True

    def take(self, block: bytes) -> Frame | None:
        """The packet in ``block``, as long as ``size`` said; None for the file's header."""
        if self._link < 0:
            major, _, _, _, _, link = struct.unpack(self._order + "HHiIII", block[4:])
            if major != 2:
                raise CaptureError(f"pcap version {major} is not known; 2 is")
            self._link = link & _LINK_MASK
            return None
        seconds, fraction, _, length = self._record.unpack_from(block)
        time = seconds * 10**9 + fraction * self._unit
        return Frame(time, self._link, block[_RECORD:], length)


def order_of(magic: bytes) -> str | None:
    """``<`` or ``>``: the byte order of a file that begins with these four bytes; None for one
    that is no pcap."""
    for order in "<>":
        if struct.unpack(order + "I", magic)[0] in _UNITS:
            return order
    return None
