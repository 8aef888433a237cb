"""The last messages of a room, bounded in count and in bytes. Knows no room."""

from __future__ import annotations

import typing as t
from collections import deque

from jackfield import limits


class Entry(t.NamedTuple):
    """One message: its bytes and who said it (any object, or None)."""

    data: bytes
    author: object


class History:
    """Keeps the newest ``count`` messages, and never more than ``size`` bytes of them."""

    __slots__ = ("_bytes", "_count", "_entries", "_size")

    def __init__(self, count: int, size: int = limits.HISTORY_BYTES) -> None:
        self._entries: deque[Entry] = deque()
        self._count = count
        self._size = size
        self._bytes = 0

    def add(self, data: bytes, author: object = None) -> None:
        """Keep ``data``; the oldest make room."""
        entries = self._entries
        entries.append(Entry(data, author))
        self._bytes += len(data)
        while len(entries) > self._count or self._bytes > self._size:
            self._bytes -= len(entries.popleft().data)

    def last(self, count: int | None = None) -> list[Entry]:
        """The newest ``count`` (all by default), oldest first."""
        kept = len(self._entries)
        skip = 0 if count is None else max(0, kept - max(0, count))
        return [entry for i, entry in enumerate(self._entries) if i >= skip]

    def __len__(self) -> int:
        return len(self._entries)
