"""epoll(7), Linux: the kernel keeps the list, so that waiting costs what is ready.

Must not know what the descriptors are for.
"""

from __future__ import annotations

import errno
import select

from jackfield.pollers.base import Ready

EVENTS_PER_POLL = 4096
"""Most events one poll returns: enough that a busy tick serves thousands of connections per
system call; the array is 48 KiB and is touched only as far as events fill it."""


class EpollPoller:
    """One epoll instance. See ``Poller`` for the contract."""

    __slots__ = ("_epoll",)

    def __init__(self) -> None:
        self._epoll = select.epoll()

    def register(self, fd: int, interest: int) -> None:
        try:
            self._epoll.register(fd, interest)
        except FileExistsError:
            raise ValueError(f"descriptor {fd} is registered already") from None

    def modify(self, fd: int, interest: int) -> None:
        try:
            self._epoll.modify(fd, interest)
        except FileNotFoundError:
            raise KeyError(fd) from None

    def unregister(self, fd: int) -> None:
        try:
            self._epoll.unregister(fd)
        except OSError as exc:
            if exc.errno in (errno.ENOENT, errno.EBADF):
                raise KeyError(fd) from None
            raise

    def poll(self, timeout: float | None) -> Ready:
        return self._epoll.poll(timeout, EVENTS_PER_POLL)

    def fileno(self) -> int:
        return self._epoll.fileno()

    def close(self) -> None:
        self._epoll.close()
