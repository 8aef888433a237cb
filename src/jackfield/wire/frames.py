"""Frames: a length prefix in network byte order, then that many bytes of payload.

    | prefix: 1, 2, 4 or 8 bytes, most significant first (RFC 1700) | payload |

The length does not count the prefix. A prefix that announces more than the limit ends the
stream of frames: behind it nothing can be told apart, and nothing is allocated for it.
FrameSplitter holds at most one incomplete frame and joins it once, when its last byte comes,
so a stream costs the same per byte however it is cut.

This module must not know what is in a payload.
"""

from __future__ import annotations

import typing as t
from collections.abc import Sequence
from struct import Struct

from jackfield import limits
from jackfield.errors import TooLong, UsageError
from jackfield.wire.messages import Message, MessageProtocol

_PREFIXES: t.Final = {1: Struct("!B"), 2: Struct("!H"), 4: Struct("!I"), 8: Struct("!Q")}


def _prefix(size: int) -> Struct:
    try:
        return _PREFIXES[size]
    except KeyError:
        raise UsageError(f"length prefix of {size} bytes: it must be 1, 2, 4 or 8") from None


def encode_frame(payload: bytes, prefix: int = 4) -> bytes:
    """``payload`` with its length before it in ``prefix`` bytes (1, 2, 4 or 8).

    Raises ``TooLong`` if the length does not fit the prefix, ``UsageError`` for another prefix.
    """
    number = _prefix(prefix)
    if len(payload) >> (8 * prefix):
        raise TooLong(f"a frame of {len(payload)} bytes does not fit a {prefix}-byte length prefix")
    return number.pack(len(payload)) + payload


class FrameSplitter:
    """Cuts a stream into payloads of at most ``limit`` bytes after prefixes of ``prefix`` bytes.

    ``feed`` never raises, so that the frames before a bad one are not lost: ``error`` becomes a
    ``TooLong`` with the last good frame, and everything after it is discarded.
    Raises ``UsageError`` if ``prefix`` is not 1, 2, 4 or 8.
    """

    __slots__ = ("_held", "_needed", "_prefix", "error", "limit")

    def __init__(self, prefix: int = 4, limit: int = limits.FRAME_LIMIT) -> None:
        self._prefix = _prefix(prefix)
        self.limit = limit
        self.error: TooLong | None = None
        self._held: bytearray | None = None
        # How long what is held must get before it is worth another look.
        self._needed = prefix

    @property
    def pending(self) -> int:
        """Bytes held of an incomplete frame, its prefix counted."""
        return len(self._held) if self._held else 0

    def feed(self, data: bytes) -> list[bytes]:
        """The payloads that ``data`` completes. Look at ``error`` after them."""
        if self.error is not None:
            return []
        if self._held is not None:
            if len(self._held) + len(data) < self._needed:
                self._held += data
                return []
            data = b"".join((self._held, data))
            self._held = None
        return self._split(data)

    def _split(self, block: bytes) -> list[bytes]:
        """Split a block that starts with a prefix, with nothing held."""
        frames: list[bytes] = []
        size, length_at = self._prefix.size, self._prefix.unpack_from
        start, end = 0, len(block)
        self._needed = size
        while end - start >= size:
            (length,) = length_at(block, start)
            if length > self.limit:
                self.error = TooLong(
                    f"the peer announced a frame of {length} bytes; the limit is {self.limit}"
                )
                return frames
            stop = start + size + length
            if stop > end:
                self._needed = size + length
                break
            frames.append(block[start + size : stop])
            start = stop
        if start < end:
            self._held = bytearray(memoryview(block)[start:])
        return frames


class FrameProtocol(MessageProtocol):
    """Base of protocols made of frames: override ``frame_received``.

    A frame that the end of the stream cuts short is not delivered.
    """

    __slots__ = ("_splitter",)

    frame_limit: int = limits.FRAME_LIMIT
    """Bytes of the largest payload we accept."""

    prefix_size: int = 4
    """Bytes of the length before each payload: 1, 2, 4 or 8."""

    def connection_made(self, transport: t.Any) -> None:
        """Keep ``transport``; frames come from now on."""
        super().connection_made(transport)
        self._splitter = FrameSplitter(self.prefix_size, self.frame_limit)

    def frame_received(self, payload: bytes) -> None:
        """One whole payload, at most ``frame_limit`` bytes; it may be empty."""

    def frame_too_long(self, exc: TooLong) -> None:
        """The peer announced a frame over ``frame_limit``. No frame follows; by default the
        connection ends with ``exc`` as its reason. Called once."""
        if hasattr(self.transport, "evict"):
            self.transport.evict(exc)
        else:
            self.transport.abort()

    def send_frame(self, payload: bytes) -> None:
        """Write ``payload`` as one frame. Raises ``TooLong`` if its length does not fit."""
        self.transport.write(encode_frame(payload, self.prefix_size))

    def _split(self, data: bytes) -> Sequence[Message]:
        splitter = self._splitter
        if splitter.error is not None:
            return ()
        frames = splitter.feed(data)
        return frames if splitter.error is None else [*frames, splitter.error]

    def _handle(self, message: bytes | TooLong) -> None:
        if isinstance(message, TooLong):
            self.frame_too_long(message)
        else:
            self.frame_received(message)
