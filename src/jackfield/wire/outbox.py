"""The outbox: bytes in order which the kernel has not yet taken.

It keeps references, never copies: a thousand members that lag behind one room hold the same
``bytes`` objects. Only the head chunk can be partly sent, so that one number, ``_sent``, says
where the stream stands.

    append -> | head (first _sent bytes are gone) | chunk | chunk | -> buffers() -> sendmsg(2)
                                                                    -> advance(n taken)

This module must not know sockets, water marks or who fills it. An empty outbox owns a deque
(some 600 bytes): a transport with many idle connections makes one only when it needs it.
"""

from __future__ import annotations

from collections import deque
from itertools import islice

from jackfield import limits


class Outbox:
    """An ordered queue of ``bytes`` chunks. ``size`` is how many bytes are still to be sent."""

    __slots__ = ("_chunks", "_sent", "size")

    def __init__(self) -> None:
        self._chunks: deque[bytes] = deque()
        self._sent = 0
        self.size = 0

    def __bool__(self) -> bool:
        return self.size > 0

    def append(self, data: bytes) -> None:
        """Queue ``data`` by reference. Empty ``data`` is nothing to send and is not kept."""
        if data:
            self._chunks.append(data)
            self.size += len(data)

    def append_rest(self, data: bytes, sent: int) -> None:
        """Queue what is left of ``data`` after its first ``sent`` bytes went, without a copy.

        Raises ``ValueError`` if the outbox is not empty: what waits here had to go first.
        """
        if self.size:
            raise ValueError("part of a chunk was sent although older chunks wait in the outbox")
        if sent < len(data):
            self._chunks.append(data)
            self._sent = sent
            self.size = len(data) - sent

    def buffers(self, most: int = limits.GATHER_BUFFERS) -> list[bytes | memoryview]:
        """The first ``most`` buffers to send, for sendmsg(2). Only the first may be a view."""
        buffers: list[bytes | memoryview] = list(islice(self._chunks, most))
        if self._sent and buffers:
            buffers[0] = memoryview(buffers[0])[self._sent :]
        return buffers

    def head(self, most: int) -> bytes:
        """The first ``most`` bytes, joined: a copy, for who has to change them."""
        parts: list[bytes | memoryview] = []
        for buffer in self.buffers():
            parts.append(buffer if len(buffer) <= most else memoryview(buffer)[:most])
            most -= len(parts[-1])
            if not most:
                break
        return b"".join(parts)

    def advance(self, n: int) -> None:
        """Forget the first ``n`` bytes: they were sent.

        Raises ``ValueError`` if there are fewer.
        """
        if n > self.size:
            raise ValueError(f"{n} bytes were sent of an outbox that holds {self.size}")
        self.size -= n
        chunks = self._chunks
        sent = self._sent + n
        while chunks and sent >= len(chunks[0]):
            sent -= len(chunks.popleft())
        self._sent = sent

    def truncate(self) -> int:
        """Drop everything except a head chunk under way, which has to be finished so that no
        message is torn. Returns how many bytes were dropped."""
        head = self._chunks[0] if self._sent else None
        before = self.size
        self._chunks.clear()
        self.size = 0
        if head is not None:
            self._chunks.append(head)
            self.size = len(head) - self._sent
        return before - self.size

    def clear(self) -> None:
        """Drop everything, the chunk under way too: the connection is over."""
        self._chunks.clear()
        self._sent = 0
        self.size = 0
