"""select(2), everywhere, Windows too: three sets of bits, each FD_SETSIZE wide.

Must not know what the descriptors are for. On Unix a descriptor numbered FD_SETSIZE or more
has no bit in the set, and is refused clearly; on Windows only the count is bounded.
"""

from __future__ import annotations

import os
import select
import sys
import time

from jackfield.errors import DescriptorTooLarge
from jackfield.pollers.base import READ, WRITE, Ready

FD_SETSIZE = 1024
"""Bits in an fd_set on every Unix that Python runs on (<sys/select.h>)."""

WINDOWS = sys.platform == "win32"


class SelectPoller:
    """The two sets. See ``Poller`` for the contract."""

    __slots__ = ("_interests", "_readers", "_writers")

    def __init__(self) -> None:
        self._interests: dict[int, int] = {}
        self._readers: set[int] = set()
        self._writers: set[int] = set()

    def register(self, fd: int, interest: int) -> None:
        if fd in self._interests:
            raise ValueError(f"descriptor {fd} is registered already")
        if not WINDOWS:
            if fd >= FD_SETSIZE:
                raise DescriptorTooLarge(
                    f"descriptor {fd} is beyond FD_SETSIZE ({FD_SETSIZE}): select cannot watch "
                    "it; use --engine poll or epoll"
                )
            os.fstat(fd)  # select itself would fail for all descriptors at the next call
        self._interests[fd] = interest
        self._fill(fd, interest)

    def modify(self, fd: int, interest: int) -> None:
        if fd not in self._interests:
            raise KeyError(fd)
        self._interests[fd] = interest
        self._fill(fd, interest)

    def unregister(self, fd: int) -> None:
        del self._interests[fd]
        self._fill(fd, 0)

    def poll(self, timeout: float | None) -> Ready:
        if WINDOWS and not self._interests:  # Winsock refuses three empty sets
            time.sleep(timeout or 0)
            return ()
        # Windows reports a failed connect in the third set only.
        watched_for_errors = self._writers if WINDOWS else ()
        readable, writable, failed = select.select(
            self._readers, self._writers, watched_for_errors, timeout
        )
        if not writable and not failed:
            return [(fd, READ) for fd in readable]
        ready = dict.fromkeys(readable, READ)
        for fd in (*writable, *failed):
            ready[fd] = ready.get(fd, 0) | WRITE
        return ready.items()

    def close(self) -> None:
        self._interests.clear()
        self._readers.clear()
        self._writers.clear()

    def _fill(self, fd: int, interest: int) -> None:
        for flag, members in ((READ, self._readers), (WRITE, self._writers)):
            if interest & flag:
                members.add(fd)
            else:
                members.discard(fd)
