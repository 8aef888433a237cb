"""kqueue(2), macOS and the BSDs: the kernel keeps one filter per descriptor and direction.

Must not know what the descriptors are for. Imported only where ``select.kqueue`` exists.
"""

# mypy reads this file with the types of the platform it runs on; elsewhere kqueue is unknown.
# mypy: disable-error-code="attr-defined,unused-ignore,no-any-return"

from __future__ import annotations

import errno
import select

from jackfield import lazy_typing as t
from jackfield.pollers.base import ERROR, HANGUP, READ, WRITE, Ready

EVENTS_PER_POLL = 4096
"""Most events one poll returns, as for epoll."""


class KqueuePoller:
    """One kernel queue. See ``Poller`` for the contract."""

    __slots__ = ("_filters", "_interests", "_kqueue")

    def __init__(self) -> None:
        self._kqueue: t.Any = select.kqueue()
        self._interests: dict[int, int] = {}
        self._filters: tuple[tuple[int, int], ...] = (
            (READ, select.KQ_FILTER_READ),
            (WRITE, select.KQ_FILTER_WRITE),
        )

    def register(self, fd: int, interest: int) -> None:
        if fd in self._interests:
            raise ValueError(f"descriptor {fd} is registered already")
        self._change(fd, 0, interest)
        self._interests[fd] = interest

    def modify(self, fd: int, interest: int) -> None:
        self._change(fd, self._interests[fd], interest)
        self._interests[fd] = interest

    def unregister(self, fd: int) -> None:
        interest = self._interests.pop(fd)
        try:
            self._change(fd, interest, 0)
        except OSError as exc:
            # A descriptor closed too early took its filters with it.
            if exc.errno not in (errno.EBADF, errno.ENOENT):
                raise

    def poll(self, timeout: float | None) -> Ready:
        ready: dict[int, int] = {}
        for event in self._kqueue.control(None, EVENTS_PER_POLL, timeout):
            ready[event.ident] = ready.get(event.ident, 0) | self._flags(event)
        return ready.items()

    def fileno(self) -> int:
        return self._kqueue.fileno()

    def close(self) -> None:
        self._interests.clear()
        self._kqueue.close()

    def _change(self, fd: int, old: int, new: int) -> None:
        changes = []
        for flag, kind in self._filters:
            if (old ^ new) & flag:
                action = select.KQ_EV_ADD if new & flag else select.KQ_EV_DELETE
                changes.append(select.kevent(fd, kind, action))
        if changes:
            self._kqueue.control(changes, 0, 0)

    @staticmethod
    def _flags(event: t.Any) -> int:
        if event.flags & select.KQ_EV_ERROR:
            return ERROR
        if event.filter == select.KQ_FILTER_READ:
            return READ  # EV_EOF too: the bytes before the end are read first
        # The reader of a pipe or socket is gone: writing would meet EPIPE.
        return WRITE | HANGUP if event.flags & select.KQ_EV_EOF else WRITE
