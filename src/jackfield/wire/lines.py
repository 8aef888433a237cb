"""Lines: LineSplitter cuts a byte stream into them, LineProtocol hands them to its subclass.

``LineSplitter`` is compiled (``_native.lines``) where that could be, else ``PureLineSplitter``.

A line ends with LF, CRLF or CR NUL (a bare return as telnet sends it, RFC 854). Any
other CR or NUL belongs to the line. The work is done by ``bytes.replace`` and ``bytes.split``,
a block at a time; only what follows the last end is held, so each byte is looked at and
copied a fixed number of times however the stream is cut.

A line over the limit is reported once, as ``TOO_LONG`` and as soon as the limit is passed; its
rest is discarded as it comes. So at most limit + 1 bytes are held: the one is a CR that may
be the first half of an end.

This module must not know characters or encodings: lines are bytes.
"""

from __future__ import annotations

import typing as t
from collections.abc import Sequence

from jackfield import limits
from jackfield.errors import UsageError
from jackfield.wire.messages import MessageProtocol

__all__ = ["TOO_LONG", "LineProtocol", "LineSplitter", "PureLineSplitter"]

TOO_LONG: t.Final = None
"""Stands in a splitter's result for a line over its limit."""

_CR: t.Final = 13


class PureLineSplitter:
    """Cuts a stream into lines of at most ``limit`` bytes, their ends not counted.

    Raises ``UsageError`` if ``limit`` is less than one byte.
    """

    __slots__ = ("_held", "_skipping", "limit")

    def __init__(self, limit: int = limits.LINE_LIMIT) -> None:
        if limit < 1:
            raise UsageError(f"line limit {limit}: it must be 1 byte or more")
        self.limit = limit
        # None: between two lines. Never None while skipping, so that feed() asks one question.
        self._held: bytearray | None = None
        self._skipping = False

    @property
    def pending(self) -> int:
        """Bytes held of a line whose end has not come: at most ``limit`` + 1."""
        return len(self._held) if self._held else 0

    def feed(self, data: bytes) -> list[bytes | None]:
        """The lines that ``data`` completes, without their ends, and ``TOO_LONG`` in the place
        of each that passed the limit."""
        held = self._held
        if held is None:
            return self._split(data)
        if self._skipping:
            return self._skip(held, data)
        return self._go_on(held, data)

    def finish(self) -> list[bytes | None]:
        """At the end of the stream: the last line if it has no end, else nothing. A CR that
        closes it is taken for half a CRLF."""
        held, skipping = self._held, self._skipping
        self._held, self._skipping = None, False
        if not held or skipping:
            return []
        return [bytes(held).removesuffix(b"\r")]

    def _split(self, block: bytes) -> list[bytes | None]:
        """Split a block that starts at the start of a line, with nothing held."""
        size = len(block)
        if b"\r" in block:
            # In this order: a CR that stays (as in CR CR LF) must not meet a new LF.
            block = block.replace(b"\r\n", b"\n")
            if b"\0" in block:
                block = block.replace(b"\r\0", b"\n")
        lines = block.split(b"\n")
        if size > self.limit and max(map(len, lines)) > self.limit:
            return self._bound(lines)
        rest = lines.pop()
        if rest:
            self._held = bytearray(rest)
        return lines  # type: ignore[return-value]  # a cast() would cost a call per block

    def _bound(self, lines: list[bytes]) -> list[bytes | None]:
        """The same, where a line or the rest behind the last one may be too long."""
        rest = lines.pop()
        bounded = [line if len(line) <= self.limit else TOO_LONG for line in lines]
        if len(rest) - rest.endswith(b"\r") > self.limit:
            bounded.append(TOO_LONG)
            self._start_skipping(rest)
        elif rest:
            self._held = bytearray(rest)
        return bounded

    def _go_on(self, held: bytearray, data: bytes) -> list[bytes | None]:
        """Continue a line whose beginning is held."""
        if self._has_end(held, data):
            self._held = None
            return self._split(b"".join((held, data)))
        if data and len(held) + len(data) - data.endswith(b"\r") > self.limit:
            self._start_skipping(data)
            return [TOO_LONG]
        held += data
        return []

    @staticmethod
    def _has_end(held: bytearray, data: bytes) -> bool:
        if b"\n" in data:
            return True
        return b"\0" in data and (b"\r\0" in data or (data[0] == 0 and held[-1] == _CR))

    def _start_skipping(self, rest: bytes) -> None:
        """Discard a line up to its end, of which a CR at the end of ``rest`` may be half."""
        self._skipping = True
        self._held = bytearray(b"\r" if rest.endswith(b"\r") else b"")

    def _skip(self, held: bytearray, data: bytes) -> list[bytes | None]:
        """Discard the rest of a line that was too long; go on behind its end. ``held`` is a CR
        that may be the first half of that end, or empty."""
        block = b"".join((held, data)) if held else data
        newline = block.find(b"\n")
        bare_return = block.find(b"\r\0", 0, newline if newline >= 0 else len(block))
        if bare_return >= 0:
            end = bare_return + 2
        elif newline >= 0:
            end = newline + 1
        else:
            self._start_skipping(block)
            return []
        self._skipping, self._held = False, None
        return self._split(block[end:])


try:
    from jackfield._native.lines import LineSplitter
except ImportError:  # it was not compiled
    LineSplitter = PureLineSplitter  # type: ignore[assignment, misc]


class LineProtocol(MessageProtocol):
    """Base of protocols made of lines: override ``line_received``.

    A last line without an end, as ``printf hello | nc`` sends it, is delivered at the end of
    the stream like any other; then the connection closes.
    """

    __slots__ = ("_splitter",)

    line_limit: int = limits.LINE_LIMIT
    """Bytes of the longest line, its end not counted."""

    def connection_made(self, transport: t.Any) -> None:
        """Keep ``transport``; lines come from now on."""
        super().connection_made(transport)
        self._splitter = LineSplitter(self.line_limit)

    def line_received(self, line: bytes) -> None:
        """One line without its end, at most ``line_limit`` bytes."""

    def line_too_long(self) -> None:
        """A line passed ``line_limit``; its rest will be discarded. Called once for it."""

    def send_line(self, data: bytes) -> None:
        """Write ``data`` and CRLF, the end every line-based Internet protocol accepts."""
        self.transport.write(data + b"\r\n")

    def _split(self, data: bytes) -> Sequence[bytes | None]:
        return self._splitter.feed(data)

    def _finish(self) -> Sequence[bytes | None]:
        return self._splitter.finish()

    def _handle(self, message: bytes | None) -> None:
        if message is TOO_LONG:
            self.line_too_long()
        else:
            self.line_received(message)
