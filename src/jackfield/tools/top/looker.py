"""A look at the sockets, every other second: cheap, because who holds them is remembered.

The sockets come from sock_diag, in milliseconds. Whose they are is in every process's /proc/PID/fd,
which is read again only when a socket appears that was not there before, and every RESCAN seconds,
because a descriptor can also be passed on or inherited. Must not know rates or terminals.
"""

from __future__ import annotations

import errno
import os
import time
import typing as t
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from jackfield.errors import SystemRefused
from jackfield.kernel import fdinfo
from jackfield.kernel.proc_net import Socket
from jackfield.tools.fdtable import Holder, Snapshot

RESCAN: t.Final = 10.0
"""Seconds for which a socket may be shown with a process that has passed it on, or that has ended
while others have the socket, too."""

Scan: t.TypeAlias = Callable[[], tuple[dict[int, list[tuple[int, int]]], int]]
"""Inode -> (pid, fd) of all who have it; and how many processes would not show their own."""


@dataclass(frozen=True, slots=True)
class Look:
    """The sockets of one moment. ``at`` is in seconds of a clock that only goes forward."""

    at: float
    sockets: list[Socket]
    holders: Mapping[int, tuple[Holder, ...]] = field(default_factory=dict)
    """By inode; a socket that nobody holds, or nobody whom we may see, is not in it."""
    hidden: int = 0
    """Processes whose descriptors we may not see."""
    notes: tuple[str, ...] = ()
    """Lines for a person: what else is missing, and why."""


class Holders:
    """Who holds which socket, kept from one look to the next."""

    def __init__(self, scan: Scan, name: Callable[[int], str] = fdinfo.process_name) -> None:
        self._scan = scan
        self._name = name
        self._known: set[int] = set()
        self._scanned: float | None = None
        self.hidden = 0
        self.of: dict[int, tuple[Holder, ...]] = {}

    def refresh(self, inodes: Iterable[int], now: float, *, search: bool = False) -> None:
        """Search the processes again if that may bring something new, or if ``search`` says so.
        Raises what ``scan`` does."""
        present = set(inodes)
        due = search or self._scanned is None or now - self._scanned >= RESCAN
        if due or not present <= self._known:
            self._search()
            self._known, self._scanned = present, now

    def _search(self) -> None:
        found, self.hidden = self._scan()
        names: dict[int, str] = {}
        for holding in found.values():
            for pid, _ in holding:
                if pid not in names:
                    names[pid] = self._name(pid)
        self.of = {
            inode: tuple(Holder(pid, fd, names[pid]) for pid, fd in holding)
            for inode, holding in found.items()
        }


class Looker:
    """Looks at the sockets of all processes, or of ``pid`` alone.

    ``kinds`` are some of ``fdtable.KINDS``.
    """

    def __init__(
        self,
        kinds: Iterable[str],
        pid: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._kinds = tuple(kinds)
        self._pid = pid
        self._clock = clock
        self._holders = Holders(fdinfo.all_sockets if pid is None else self._scan_one)
        self._looked = False

    def look(self) -> Look:
        """The sockets now. Raises ``SystemRefused`` in the first look if there is no process
        ``pid``, or we may not look at it; when it ends later that is a note."""
        snapshot = Snapshot(self._kinds)
        now = self._clock()
        notes = list(snapshot.notes)
        try:
            inodes = [one.inode for one in snapshot.sockets if one.inode]
            self._holders.refresh(inodes, now, search=self._has_ended())
        except SystemRefused as exc:
            if not self._looked:
                raise
            ended = exc.errno == errno.ESRCH
            notes.append(f"process {self._pid} has ended" if ended else str(exc))
            self._holders.of = {}
        self._looked = True
        notes += self._namespace_note()
        sockets = snapshot.sockets
        if self._pid is not None:
            sockets = [one for one in sockets if one.inode in self._holders.of]
        return Look(now, sockets, self._holders.of, self._holders.hidden, tuple(notes))

    def _has_ended(self) -> bool:
        return self._pid is not None and not fdinfo.runs(self._pid)

    def _scan_one(self) -> tuple[dict[int, list[tuple[int, int]]], int]:
        assert self._pid is not None
        found: dict[int, list[tuple[int, int]]] = {}
        for fd, inode in fdinfo.socket_inodes(self._pid):
            found.setdefault(inode, []).append((self._pid, fd))
        if not found and self._has_ended():
            why = "has ended, and its parent has not asked how"
            raise SystemRefused(f"process {self._pid} {why}", errno.ESRCH)
        return found, 0

    def _namespace_note(self) -> list[str]:
        """Sockets of a container's process are not among those we ask for."""
        if self._pid is None:
            return []
        theirs = fdinfo.network_namespace(self._pid)
        if theirs in ("", fdinfo.network_namespace(os.getpid())):
            return []
        how = f"sudo nsenter -t {self._pid} -n jackfield top"
        return [f"process {self._pid} is in another network namespace; there: {how}"]
