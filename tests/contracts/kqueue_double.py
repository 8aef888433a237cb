"""A double of ``select.kqueue``, with kqueue(2)'s own rules, over poll(2).

One filter per descriptor and direction, EV_ADD of a closed descriptor is EBADF, EV_DELETE of an
absent filter is ENOENT, readiness comes one event per filter with EV_EOF when the other side is
gone, and a closed queue is refused. So what the poller makes of them is tested on every system.
"""

from __future__ import annotations

import errno
import os
import select
import typing as t
from collections.abc import Iterator, Sequence

import pytest

FILTER_READ, FILTER_WRITE = -1, -2
EV_ADD, EV_DELETE, EV_EOF, EV_ERROR = 0x1, 0x2, 0x8000, 0x4000  # <sys/event.h>


class Kevent(t.NamedTuple):
    ident: int
    filter: int = FILTER_READ
    flags: int = EV_ADD


class FakeKqueue:
    """kqueue(2) over poll(2)."""

    def __init__(self) -> None:
        self.filters: dict[tuple[int, int], None] = {}
        self.closed = False
        self.errors: list[Kevent] = []

    def control(
        self, changes: Sequence[Kevent] | None, most: int, timeout: float | None = None
    ) -> list[Kevent]:
        if self.closed:
            raise ValueError("I/O operation on closed kqueue object")
        for change in changes or ():
            self._apply(change)
        return self._wait(timeout)[:most] if most else []

    def _apply(self, change: Kevent) -> None:
        key = (change.ident, change.filter)
        os.fstat(change.ident)  # EBADF
        if change.flags == EV_ADD:
            self.filters[key] = None
        elif self.filters.pop(key, 0) is not None:
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))

    def _wait(self, timeout: float | None) -> list[Kevent]:
        if self.errors:
            return self.errors
        poll = select.poll()
        masks: dict[int, int] = {}
        for fd, kind in self.filters:
            wanted = select.POLLIN | getattr(select, "POLLRDHUP", 0)
            mask = wanted if kind == FILTER_READ else select.POLLOUT
            masks[fd] = masks.get(fd, 0) | mask
        for fd, mask in masks.items():
            poll.register(fd, mask)
        return [
            event
            for fd, flags in poll.poll(None if timeout is None else timeout * 1000 + 1)
            for event in self._events(fd, flags)
        ]

    def _events(self, fd: int, flags: int) -> Iterator[Kevent]:
        dead = flags & (select.POLLHUP | select.POLLERR)
        ended = dead or flags & getattr(select, "POLLRDHUP", 0)
        if (fd, FILTER_READ) in self.filters and (flags & select.POLLIN or ended):
            yield Kevent(fd, FILTER_READ, EV_EOF if ended else 0)
        if (fd, FILTER_WRITE) in self.filters and (flags & select.POLLOUT or dead):
            yield Kevent(fd, FILTER_WRITE, EV_EOF if dead else 0)

    def close(self) -> None:
        self.closed = True


DOUBLE = {
    "kqueue": FakeKqueue,
    "kevent": Kevent,
    "KQ_FILTER_READ": FILTER_READ,
    "KQ_FILTER_WRITE": FILTER_WRITE,
    "KQ_EV_ADD": EV_ADD,
    "KQ_EV_DELETE": EV_DELETE,
    "KQ_EV_EOF": EV_EOF,
    "KQ_EV_ERROR": EV_ERROR,
}


def install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the double in the place of the kernel's kqueue."""
    for name, value in DOUBLE.items():
        monkeypatch.setattr(select, name, value, raising=False)
