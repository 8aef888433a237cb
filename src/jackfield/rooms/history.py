"""The last messages of a room, bounded in count and in bytes. Knows no room."""

from __future__ import annotations

import itertools
import typing as t
from collections import deque

from jackfield import limits

Entry: t.TypeAlias = tuple[bytes, object]
"""One message: its bytes and who said it (any object, or None). A plain tuple: one is made per
message."""


class History:
    """Keeps the newest ``count`` messages, and never more than ``size`` bytes of them."""

    __slots__ = ("_bytes", "_count", "_entries", "_most")

    def __init__(self, count: int, size: int = limits.HISTORY_BYTES) -> None:
        self._entries: deque[Entry] = deque(maxlen=count)
        self._count = count
        self._most = size
        self._bytes = 0

    def add(self, data: bytes, author: object = None) -> None:
        """Keep ``data``; the oldest make room."""
        entries = self._entries
        if len(entries) == self._count:
            self._bytes -= len(entries[0][0])  # append() pushes it out
        entries.append((data, author))
        self._bytes += len(data)
        while self._bytes > self._most:
            self._bytes -= len(entries.popleft()[0])

    def last(self, count: int | None = None) -> list[Entry]:
        """The newest ``count`` (all by default), oldest first."""
        kept = len(self._entries)
        skip = 0 if count is None else max(0, kept - max(0, count))
        return list(itertools.islice(self._entries, skip, None))

    @property
    def size(self) -> int:
        """Bytes that are kept."""
        return self._bytes

    def __len__(self) -> int:
        return len(self._entries)
