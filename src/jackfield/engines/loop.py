"""The loop: one thread, one poller, callbacks. One turn of it is a tick.

    poll -> what is ready -> timers due -> call_soon -> close what ended -> at_tick_end

A tick's end is when rooms fan out what was gathered. Descriptors that ended in a tick are closed
only after their ``connection_lost``, and never before the tick's events are done: a number that
an accept took anew could otherwise receive its predecessor's event, or be logged before the
predecessor's end. Must not know sockets' meaning, connections or protocols.
"""

from __future__ import annotations

import socket
import time
from _thread import get_ident  # all there is to need of threading, which takes longer to load
from collections import deque
from collections.abc import Callable

from jackfield import lazy_typing as t
from jackfield.engines.timers import Call, Timer, Timers
from jackfield.kernel.wakeup import Wakeup
from jackfield.log import log
from jackfield.pollers.base import READ, Poller

LONGEST_WAIT: t.Final = 86400.0
"""Seconds a poller may wait at a time: epoll and poll take 31 bits of milliseconds, which is 24
days, and a deadline may be any number."""


class Watcher(t.Protocol):
    """What the loop dispatches to: an acceptor, a connector, a transport, the wakeup."""

    def on_ready(self, flags: int) -> None: ...


class Loop:
    """Dispatches readiness, timers and calls. All but ``call_soon`` belongs to its thread."""

    def __init__(self, poller: Poller, clock: Callable[[], float] = time.monotonic) -> None:
        self.now = clock()
        self.ticks = 0
        self._clock = clock
        self._poller = poller
        self._timers = Timers()
        self._watchers: dict[int, Watcher] = {}
        self._soon: deque[Call] = deque()
        self._ends: list[Callable[[], object]] = []
        self._graves: list[socket.socket] = []
        self._stopped = False
        self._thread: int | None = None
        self._wakeup = Wakeup()
        self._watchers[self._wakeup.fd] = self
        try:
            poller.register(self._wakeup.fd, READ)
        except BaseException:
            self._wakeup.close()
            poller.close()
            raise

    def call_soon(self, callback: Callable[..., object], *args: t.Any) -> None:
        """Call in the engine's thread, in this or the next tick. Safe from any thread."""
        self._soon.append((callback, args))
        if self._thread != get_ident():
            self._wakeup.set()

    def call_later(self, delay: float, callback: Callable[..., object], *args: t.Any) -> Timer:
        """Call ``delay`` seconds after this tick began."""
        return self._timers.add(self.now + delay, callback, *args)

    def at_tick_end(self, callback: Callable[[], object]) -> None:
        """Call once, at the end of this tick."""
        self._ends.append(callback)

    @property
    def wakeup_fd(self) -> int:
        """The descriptor that ends the poller's wait when a byte is written to it; for
        ``signal.set_wakeup_fd``."""
        return self._wakeup.signal_fd

    def watch(self, fd: int, old: int, new: int) -> None:
        """The interest in ``fd`` changes; none means that the poller does not know it."""
        if not old:
            self._poller.register(fd, new)
        elif new:
            self._poller.modify(fd, new)
        else:
            self._poller.unregister(fd)

    def run(self) -> None:
        """Serve until ``stop``. Afterwards every descriptor is closed."""
        self._thread = get_ident()
        self.call_soon(log)
        try:
            self.now = self._clock()
            # Before the first wait, behind who says that it listens: those who are let in then may
            # take every descriptor, and what is loaded late, as the log, needs one for its file.
            self._run_soon()
            while not self._stopped:
                self._tick()
        finally:
            self.close()

    def _tick(self) -> None:
        ready = self._poller.poll(self._patience())
        self.now = self._clock()
        self.ticks += 1
        watcher_of = self._watchers.get
        for fd, flags in ready:
            watcher = watcher_of(fd)
            if watcher is not None:  # else it ended earlier in this tick
                watcher.on_ready(flags)
        self._call_timers()
        self._call_soon_and_bury()
        if self._ends:
            self._end_tick()

    def _call_timers(self) -> None:
        for callback, args in self._timers.due(self.now):
            self._guarded(callback, *args)

    def _call_soon_and_bury(self) -> None:
        """Whoever is told of its end only now keeps its descriptor until the next tick."""
        graves, self._graves = self._graves, []
        self._run_soon()
        for sock in graves:
            sock.close()

    def _patience(self) -> float | None:
        """How long the poller may wait, in seconds."""
        if self._soon or self._ends or self._graves:
            return 0
        when = self._timers.next_at()
        return None if when is None else min(max(0.0, when - self._clock()), LONGEST_WAIT)

    def _run_soon(self) -> None:
        for _ in range(len(self._soon)):  # what they add waits for the next tick
            callback, args = self._soon.popleft()
            self._guarded(callback, *args)

    def _end_tick(self) -> None:
        ends, self._ends = self._ends, []
        for callback in ends:
            self._guarded(callback)

    @staticmethod
    def _guarded(callback: Callable[..., object], *args: t.Any) -> None:
        """A callback that belongs to no connection must not end the others."""
        try:
            callback(*args)
        except Exception:
            log().exception("exception in %r", callback)

    def on_ready(self, _flags: int) -> None:
        """The wakeup descriptor: its only purpose was to end the wait."""
        self._wakeup.clear()

    def _bury(self) -> None:
        """Close the sockets of those who have been told that they ended."""
        graves, self._graves = self._graves, []
        for sock in graves:
            sock.close()

    def close(self) -> None:
        """Release the descriptors of the loop itself. May be called twice."""
        self._watchers.clear()
        self._poller.close()
        self._wakeup.close()
