"""Timers: what to call when, in a heap. Knows no clock, no engine; time is handed in, in seconds.

A cancelled timer lets go of what it would have called at once; its place in the heap is
reclaimed when it comes to the top, or when half of a large heap is cancelled.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator

from jackfield import lazy_typing as t

Call: t.TypeAlias = tuple[Callable[..., object], tuple[t.Any, ...]]

SWEEP_AT = 256
"""Cancelled entries below which sweeping the heap is not worth its cost."""


class Timer:
    """A call to come. ``cancel()`` may be called at any time, also afterwards."""

    __slots__ = ("_args", "_callback", "_timers")

    def __init__(
        self, timers: Timers, callback: Callable[..., object], args: tuple[t.Any, ...]
    ) -> None:
        self._timers = timers
        self._callback: Callable[..., object] | None = callback
        self._args = args

    def cancel(self) -> None:
        """Do not call after all."""
        if self._callback is not None:
            self._forget()
            self._timers.cancelled()

    @property
    def pending(self) -> bool:
        """True until it has been called or cancelled."""
        return self._callback is not None

    def take(self) -> Call | None:
        """The callback and its arguments, once; None if cancelled."""
        callback, args = self._callback, self._args
        self._forget()
        return None if callback is None else (callback, args)

    def _forget(self) -> None:
        self._callback = None
        self._args = ()


class Timers:
    """The heap. Equal times fire in the order they were added."""

    __slots__ = ("_cancelled", "_heap", "_sequence")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Timer]] = []
        self._sequence = 0
        self._cancelled = 0

    def __len__(self) -> int:
        return len(self._heap) - self._cancelled

    def add(self, when: float, callback: Callable[..., object], *args: t.Any) -> Timer:
        """Call ``callback(*args)`` once time ``when`` is reached."""
        timer = Timer(self, callback, args)
        self._sequence += 1
        heapq.heappush(self._heap, (when, self._sequence, timer))
        return timer

    def next_at(self) -> float | None:
        """The time of the earliest timer, or None."""
        heap = self._heap
        while heap and not heap[0][2].pending:
            heapq.heappop(heap)
            self._cancelled -= 1
        return heap[0][0] if heap else None

    def due(self, now: float) -> Iterator[Call]:
        """Take out, one by one and in order, every call whose time has come.

        A timer added meanwhile waits for the next turn, even with no delay.
        """
        last = self._sequence
        while (when := self.next_at()) is not None and when <= now:
            if self._heap[0][1] > last:
                return
            call = heapq.heappop(self._heap)[2].take()
            if call is not None:
                yield call

    def cancelled(self) -> None:
        """A timer of the heap was cancelled: sweep when most of the heap is dead."""
        self._cancelled += 1
        if self._cancelled > SWEEP_AT and self._cancelled * 2 > len(self._heap):
            self._heap = [entry for entry in self._heap if entry[2].pending]
            heapq.heapify(self._heap)
            self._cancelled = 0
