"""How many connections each host has, counted by several processes in memory that they share.

Open addressing with linear probing. A cell is a host, an owner (which process counts), and a
count; the cells of one host with several owners lie in one run, so that a look at the run sums them
up. A cell that becomes empty is filled from behind (Knuth, volume 3, 6.4, algorithm R), so that
there are no tombstones; the table is made anew only when an owner has died, without its cells.

Who changes or reads it holds the lock. If one is killed in the midst of a change a cell may be
there twice, or be cut off from its run: so a mark says that a change is under way, and who finds it
makes the table anew first. Must not know locks, limits or who is admitted.
"""

from __future__ import annotations

import mmap
import socket
import struct
import typing as t

from jackfield import limits

CELL: t.Final = struct.Struct("=16sII")
"""Host, owner, count. No count: nobody is in it; written last, so a cut write is an empty cell."""

EMPTY: t.Final = CELL.pack(b"", 0, 0)

LEAST: t.Final = 64
"""Cells of the smallest table: less than a page of memory, which is what one takes anyway."""

USED, CHANGING = 0, 1
"""Before the cells: how many are in use, and the mark."""

NOBODY: t.Final = 2**32 - 1
"""No owner."""

MAPPED: t.Final = bytes(10) + b"\xff\xff"
"""Before an IPv4 address in the space of IPv6 (RFC 4291, 2.5.5.2)."""


def packed(host: str) -> bytes:
    """An address as 16 bytes. The scope of a link-local one is left out."""
    if ":" in host:
        return socket.inet_pton(socket.AF_INET6, host.partition("%")[0])
    return MAPPED + socket.inet_pton(socket.AF_INET, host)


class HostTable:
    """``connections``: how many are counted at a time, each perhaps of another host. Where that
    is beyond SHARED_HOSTS the table may fill up, and then counts no further hosts."""

    __slots__ = ("_head", "_mask", "_memory", "_most")

    def __init__(self, connections: int) -> None:
        wanted = min(max(LEAST, 2 * connections), limits.SHARED_HOSTS)
        cells = 1 << (wanted - 1).bit_length()
        self._mask = cells - 1
        self._most = cells - cells // 8  # so that each run has an end, and most are short
        self._head = memoryview(mmap.mmap(-1, 16)).cast("q")
        self._memory = mmap.mmap(-1, cells * CELL.size)

    def of(self, host: bytes) -> int:
        """The connections of ``host``, whoever counts them."""
        self._mend()
        total, at = 0, self._home(host)
        while True:
            found, _, count = self._cell(at)
            if not count:
                return total
            if found == host:
                total += count
            at = (at + 1) & self._mask

    def add(self, host: bytes, owner: int, change: int) -> None:
        """One more (1) or less (-1) of ``host``, for ``owner``. What a full table did not take is
        not taken out either."""
        self._mend()
        self._head[CHANGING] = 1
        self._add(host, owner, change)
        self._head[CHANGING] = 0

    def _add(self, host: bytes, owner: int, change: int) -> None:
        at = self._home(host)
        while True:
            found, who, count = self._cell(at)
            if not count:
                if change > 0 and self._head[USED] < self._most:
                    self._head[USED] += 1
                    self._put(at, host, owner, change)
                return
            if found == host and who == owner:
                if count + change > 0:
                    self._put(at, host, owner, count + change)
                else:
                    self._remove(at)
                return
            at = (at + 1) & self._mask

    def forget(self, owner: int) -> None:
        """``owner`` has ended, and what it counted with it."""
        self._head[CHANGING] = 1
        cells = CELL.iter_unpack(self._memory[:])
        kept = {(host, who): count for host, who, count in cells if count and who != owner}
        self._memory[:] = EMPTY * (self._mask + 1)
        self._head[USED] = 0
        for (host, who), count in kept.items():
            self._add(host, who, count)
        self._head[CHANGING] = 0

    def _mend(self) -> None:
        if self._head[CHANGING]:
            self.forget(NOBODY)

    def _remove(self, hole: int) -> None:
        """Empty a cell, and move up what is found by way of it."""
        self._head[USED] -= 1
        self._put(hole, b"", 0, 0)
        at = hole
        while True:
            at = (at + 1) & self._mask
            host, who, count = self._cell(at)
            if not count:
                return
            if (at - self._home(host)) & self._mask >= (at - hole) & self._mask:
                self._put(hole, host, who, count)
                self._put(at, b"", 0, 0)
                hole = at

    def _home(self, host: bytes) -> int:
        # Python's hash of bytes is keyed by a secret that forked processes share (PEP 456), so
        # that nobody can choose addresses which make long runs.
        return hash(host) & self._mask

    def _cell(self, at: int) -> tuple[bytes, int, int]:
        return t.cast(tuple[bytes, int, int], CELL.unpack_from(self._memory, at * CELL.size))

    def _put(self, at: int, host: bytes, owner: int, count: int) -> None:
        CELL.pack_into(self._memory, at * CELL.size, host, owner, count)
