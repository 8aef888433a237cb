"""A pcapng file written: one section, an interface for each link type, nanoseconds.

Gives bytes and keeps none. What it writes, tshark and Wireshark read, and so does ``reader``.
"""

from __future__ import annotations

import struct
import typing as t

from jackfield.capture import pcapng
from jackfield.capture.frames import SNAPLEN, Frame

_SHB_USERAPPL: t.Final = 4  # section 4.1: the program that wrote
_IF_NAME: t.Final = 2  # section 4.2
_NANOSECONDS: t.Final = b"\x09"
"""if_tsresol: 10**-9."""
_UNKNOWN_LENGTH: t.Final = 0xFFFFFFFFFFFFFFFF
"""Of a section that is still being written."""
_LATEST: t.Final = (1 << 64) - 1


class PcapngWriter:
    """``head`` first, then ``packet`` for each frame. ``name``: the interface's, "" for none."""

    __slots__ = ("_links", "_name")

    def __init__(self, name: str = "") -> None:
        self._links: dict[int, int] = {}
        self._name = name

    def head(self) -> bytes:
        """The section's header."""
        body = struct.pack("<IHHQ", pcapng.ORDER_MAGIC, 1, 0, _UNKNOWN_LENGTH)
        return _block(pcapng.SECTION, body + _option(_SHB_USERAPPL, b"jackfield") + _end())

    def packet(self, frame: Frame) -> bytes:
        """``frame`` as a block, behind one for its interface where it is the first of its link
        type. A time that the format cannot hold (before 1970) is written as the nearest."""
        head = b""
        if frame.link not in self._links:
            self._links[frame.link] = len(self._links)
            head = self._interface(frame.link)
        time = max(0, min(frame.time, _LATEST))
        numbers = (self._links[frame.link], time >> 32, time & 0xFFFFFFFF, len(frame.data))
        body = struct.pack("<IIIII", *numbers, min(frame.length, 0xFFFFFFFF))
        return head + _block(pcapng.PACKET, body + _padded(frame.data))

    def _interface(self, link: int) -> bytes:
        body = struct.pack("<HHI", link & 0xFFFF, 0, SNAPLEN)
        if self._name:
            body += _option(_IF_NAME, self._name.encode())
        return _block(
            pcapng.INTERFACE, body + _option(pcapng.OPTION_RESOLUTION, _NANOSECONDS) + _end()
        )


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def _option(kind: int, value: bytes) -> bytes:
    return struct.pack("<HH", kind, len(value)) + _padded(value)


def _end() -> bytes:
    return _option(pcapng.OPTION_END, b"")


def _block(kind: int, body: bytes) -> bytes:
    size = struct.pack("<I", len(body) + 12)
    return struct.pack("<I", kind) + size + body + size
