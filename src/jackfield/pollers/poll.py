"""poll(2), every Unix: the whole list is handed over at each call, of any descriptor number.

Must not know what the descriptors are for.
"""

from __future__ import annotations

import math
import os
import select

from jackfield.pollers.base import ERROR, Ready


class PollPoller:
    """One poll list. See ``Poller`` for the contract."""

    __slots__ = ("_poll", "_registered")

    def __init__(self) -> None:
        self._poll = select.poll()
        self._registered: set[int] = set()

    def register(self, fd: int, interest: int) -> None:
        if fd in self._registered:
            raise ValueError(f"descriptor {fd} is registered already")
        os.fstat(fd)  # poll itself would tell only at the next call
        self._poll.register(fd, interest)
        self._registered.add(fd)

    def modify(self, fd: int, interest: int) -> None:
        if fd not in self._registered:
            raise KeyError(fd)
        self._poll.modify(fd, interest)

    def unregister(self, fd: int) -> None:
        self._registered.remove(fd)
        self._poll.unregister(fd)

    def poll(self, timeout: float | None) -> Ready:
        # Rounded up, as epoll does it: rounded down, the last millisecond would be a busy loop.
        ready = self._poll.poll(None if timeout is None else math.ceil(timeout * 1000))
        if any(flags & select.POLLNVAL for _, flags in ready):
            return [(fd, ERROR if flags & select.POLLNVAL else flags) for fd, flags in ready]
        return ready

    def close(self) -> None:
        self._registered.clear()
        self._poll = select.poll()
