"""What the processes of one server count in memory that they share: Apache's scoreboard.

Anonymous shared memory (mmap(2), MAP_SHARED), made before the fork. Each process has a slot, where
it writes its counters as it goes, once for each connection and never for a message; the parent adds
them up. The counters of one that has ended are kept in the parent, so that no sum goes back.

Limits that hold for all together are exact: who admits holds a lock between the processes while it
looks at the sums and takes its place. The lock is taken only where a limit is set, for each
connection that comes, and with a limit per host for each that goes. Must not know workers or
sockets.
"""

from __future__ import annotations

import copy
import errno
import mmap
import time
import typing as t

from jackfield.engines.base import Options, Statistics
from jackfield.engines.host_table import HostTable, packed
from jackfield.kernel.options import descriptor_limit
from jackfield.kernel.process_lock import ProcessLock

COUNTERS: t.Final = ("accepted", "refused", "accept_failures", "lost", "connections")
"""A column of the board each."""

CONNECTIONS: t.Final = COUNTERS.index("connections")

ROUNDING: t.Final = 1e-6
"""Of a connection: the last one of a burst must not fail by a float's last digit."""


def _counter(column: int) -> t.Any:
    """A counter of ``SlotStatistics``: an attribute that lies on the board."""

    def read(self: SlotStatistics) -> int:
        return self.cells[column]

    def write(self: SlotStatistics, value: int) -> None:
        self.cells[column] = value

    return property(read, write)


class SlotStatistics(Statistics):
    """An engine's counters, which the parent reads. ``connections`` is not among them: who
    admits counts that one on the board."""

    __slots__ = ("cells",)

    def __init__(self, cells: memoryview) -> None:
        self.cells = cells
        super().__init__()

    accepted = _counter(0)
    refused = _counter(1)
    accept_failures = _counter(2)
    lost = _counter(3)


class Scoreboard:
    """``slots``: processes at a time. ``options``: the limits that are to hold for all together,
    where ``processes`` of them serve. The methods are the parent's."""

    def __init__(self, options: Options, slots: int, processes: int) -> None:
        self.options = options
        most = options.max_connections or descriptor_limit() * processes
        self.hosts = HostTable(most) if options.max_per_host else None
        self.lock = ProcessLock()
        self._cells = memoryview(mmap.mmap(-1, 8 * len(COUNTERS) * slots)).cast("q")
        # How many slots have been in use, and when the rate is regained (a time).
        self._used = memoryview(mmap.mmap(-1, 8)).cast("q")
        self.paid_until = memoryview(mmap.mmap(-1, 8)).cast("d")
        self._free = list(range(slots - 1, -1, -1))
        self._ended = Statistics()

    def close(self) -> None:
        """The parent is done. May be called twice."""
        self.lock.close()

    def take(self) -> int:
        """A slot for a process that is about to be forked. Raises ``OSError`` if none is left."""
        if not self._free:
            raise OSError(errno.EAGAIN, "too many processes that retire have clients left")
        slot = self._free.pop()
        self._used[0] = max(self._used[0], slot + 1)
        return slot

    def give_back(self, slot: int) -> None:
        """Its process has ended: what it counted is kept, but whom it served is gone."""
        with self.lock:
            counted = self.of(slot)
            self.cells(slot)[:] = memoryview(bytes(8 * len(COUNTERS))).cast("q")
            if self.hosts is not None:
                self.hosts.forget(slot)
        self._free.append(slot)
        for name in COUNTERS[:CONNECTIONS]:
            setattr(self._ended, name, getattr(self._ended, name) + getattr(counted, name))
        self._ended.lost += counted.connections

    def forget(self, owner: int) -> None:
        """``owner``, without a slot, has died: the hosts that it counted are not there."""
        if self.hosts is not None:
            with self.lock:
                self.hosts.forget(owner)

    def cells(self, slot: int) -> memoryview:
        """The counters of ``slot``."""
        width = len(COUNTERS)
        return self._cells[slot * width : (slot + 1) * width]

    def of(self, slot: int) -> Statistics:
        """What the process in ``slot`` has counted."""
        return Statistics(**dict(zip(COUNTERS, self.cells(slot), strict=True)))

    def totals(self) -> Statistics:
        """What all have counted, those included that have ended."""
        sums = copy.copy(self._ended)
        for slot in range(self._used[0]):
            for name, value in zip(COUNTERS, self.cells(slot), strict=True):
                setattr(sums, name, getattr(sums, name) + value)
        return sums

    def connections(self) -> int:
        """How many stand in all processes."""
        width = len(COUNTERS)
        return sum(self._cells[CONNECTIONS : self._used[0] * width : width])

    def options_for(self, slot: int) -> Options:
        """The options of the process in ``slot``."""
        cells = self.cells(slot)
        shared = BoardCounts(self, slot, cells)
        return self.options.sharing(shared, SlotStatistics(cells))


class BoardCounts:
    """What one process counts on the board, and may not do because of what others count there.

    A connection is first given a place (``reserve``), and takes it (``enter``) when it stands, or
    it comes to nothing (``withdraw``). ``owner``: the process, in the table of hosts. ``cells``:
    its slot, or None for one that has none; then only hosts are counted.
    """

    __slots__ = ("_board", "_cells", "_limited", "_owner", "_reserved")

    def __init__(self, board: Scoreboard, owner: int, cells: memoryview | None) -> None:
        self._board = board
        self._owner = owner
        self._cells = cells
        options = board.options
        limits_set = (options.max_connections, options.max_per_host, options.max_per_second)
        self._limited = any(limits_set)
        self._reserved = False

    def reserve(self, host: str | None) -> str | None:
        """A place for a connection from ``host`` (None: that is not counted); or why there is
        none."""
        if self._limited:
            with self._board.lock:
                refusal = self._refusal(host)
                if refusal is None:
                    self._count(host, 1)
        else:
            refusal = None
            self._count(host, 1)
        self._reserved = refusal is None
        return refusal

    def _refusal(self, host: str | None) -> str | None:
        options = self._board.options
        if self._cells is not None and 0 < options.max_connections <= self._board.connections():
            return "max-connections"
        if self._crowded(host):
            return "max-per-host"
        if self._cells is not None and options.max_per_second and not self._take():
            return "max-per-second"
        return None

    def _crowded(self, host: str | None) -> bool:
        hosts = self._board.hosts
        if host is None or hosts is None:
            return False
        return hosts.of(packed(host)) >= self._board.options.max_per_host

    def _take(self) -> bool:
        """``rooms.flood.TokenBucket`` in one number: the time at which what was taken is
        regained. (All processes have one monotonic clock.)"""
        rate = self._board.options.max_per_second
        now = time.monotonic()
        until = max(now, self._board.paid_until[0]) + 1 / rate
        if (until - now) * rate > max(1.0, rate) + ROUNDING:
            return False
        self._board.paid_until[0] = until
        return True

    def enter(self, host: str | None) -> None:
        """The connection stands: the one that has a place, or one that needed none."""
        if self._reserved:
            self._reserved = False
        else:
            self._change(host, 1)

    def withdraw(self, host: str | None) -> None:
        """What was reserved is not needed, if something was."""
        if self._reserved:
            self._reserved = False
            self._change(host, -1)

    def leave(self, host: str | None) -> None:
        """A connection is gone."""
        self._change(host, -1)

    def rename(self, before: str | None, after: str | None) -> str | None:
        """A connection from ``before`` is one from ``after``. Why it may not stay, or None."""
        with self._board.lock:
            self._count_host(before, -1)
            refusal = "max-per-host" if self._crowded(after) else None
            self._count_host(after, 1)
        return refusal

    def _change(self, host: str | None, change: int) -> None:
        if host is None:  # only we write to our slot
            self._count(None, change)
        else:
            with self._board.lock:
                self._count(host, change)

    def _count(self, host: str | None, change: int) -> None:
        if self._cells is not None:
            self._cells[CONNECTIONS] += change
        self._count_host(host, change)

    def _count_host(self, host: str | None, change: int) -> None:
        if host is not None and self._board.hosts is not None:
            self._board.hosts.add(packed(host), self._owner, change)
