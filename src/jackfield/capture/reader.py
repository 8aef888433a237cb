"""A capture file of either kind, read as it comes: ``feed`` it bytes, it gives packets.

The first four bytes say which kind. Held is less than one block or packet, whose size is bounded;
what is of no use is passed over as it comes. Must not know files: ``tools.wire_source`` reads them.
"""

from __future__ import annotations

import struct
import typing as t
from collections.abc import Iterator

from jackfield.capture import pcap, pcapng
from jackfield.capture.frames import Frame
from jackfield.errors import CaptureError

Format: t.TypeAlias = pcap.Pcap | pcapng.Pcapng

_MAGIC: t.Final = 4
_GZIP: t.Final = b"\x1f\x8b"


class CaptureReader:
    """Reads one file, of which nobody knows whether it is one."""

    __slots__ = ("_format", "_held", "_skip")

    def __init__(self) -> None:
        self._format: Format | None = None
        self._held = bytearray()
        self._skip = 0  # bytes still to come of a block that is passed over

    @property
    def pending(self) -> int:
        """Bytes held of what is not yet whole."""
        return len(self._held)

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The packets that ``data`` completes, each when it is asked for: those before a fault
        come before the ``CaptureError``. After that, feed no more."""
        self._held += data
        if self._format is None and len(self._held) >= _MAGIC:
            self._format = format_of(bytes(self._held[:_MAGIC]))
        if self._format is not None:
            yield from self._packets(self._format)

    def finish(self) -> None:
        """The file has ended. Raises ``CaptureError`` if that was in the midst of something."""
        if self._format is None:
            raise CaptureError("no capture: it is empty" if not self._held else "no capture")
        if self._held or self._skip:
            raise CaptureError(
                f"ends within a packet or block, of which {len(self._held)} bytes came"
            )

    def _packets(self, form: Format) -> Iterator[Frame]:
        at = 0
        try:
            while True:
                at += self._pass_over(at)
                size = form.size(bytes(self._held[at : at + form.HEAD]))
                if size is None:
                    return
                if not form.wants(self._held[at : at + form.HEAD]):
                    self._skip = size
                    continue
                if len(self._held) - at < size:
                    return
                block = bytes(self._held[at : at + size])
                at += size
                frame = form.take(block)
                if frame is not None:
                    yield frame
        finally:
            del self._held[:at]

    def _pass_over(self, at: int) -> int:
        """How much of what is held from ``at`` on belongs to a block that nobody wants."""
        passed = min(self._skip, len(self._held) - at)
        self._skip -= passed
        return passed


def format_of(magic: bytes) -> Format:
    """The reader for a file that begins with these four bytes. Raises ``CaptureError``."""
    if struct.unpack("<I", magic)[0] == pcapng.SECTION:
        return pcapng.Pcapng()
    if pcap.order_of(magic):
        return pcap.Pcap(magic)
    why = "; unpack it first: gunzip" if magic.startswith(_GZIP) else ""
    raise CaptureError(f"no capture: begins with {magic.hex()}, pcap and pcapng do not{why}")
