"""An engine whose tick is turned by hand, and a transport that keeps what was written to it."""

from __future__ import annotations

import typing as t
from collections import deque
from collections.abc import Callable, Iterable


class HandEngine:
    """What protocols and rooms ask of an engine. Nothing happens until ``tick``."""

    def __init__(self) -> None:
        self.soon: deque[Callable[[], object]] = deque()
        self.ends: list[Callable[[], object]] = []

    def call_soon(self, callback: Callable[..., object], *args: t.Any) -> None:
        self.soon.append(lambda: callback(*args))

    def at_tick_end(self, callback: Callable[[], object]) -> None:
        self.ends.append(callback)

    def fan_out(self, data: bytes, transports: Iterable[HandTransport]) -> list[HandTransport]:
        reached = [transport for transport in transports if not transport.closing]
        for transport in reached:
            transport.written += data
        return [transport for transport in reached if transport.waiting]

    def tick(self) -> None:
        """One turn of the loop."""
        for _ in range(len(self.soon)):
            self.soon.popleft()()
        ends, self.ends = self.ends, []
        for callback in ends:
            callback()

    def settle(self) -> None:
        """Turn until nobody has anything left to do."""
        while self.soon or self.ends:
            self.tick()


class HandTransport:
    """Keeps what was written. ``waiting``: bytes that the peer has not read, set by the test."""

    def __init__(self, engine: HandEngine) -> None:
        self.engine = engine
        self.protocol: t.Any = None
        self.written = b""
        self.waiting = 0
        self.closing = False
        self.evicted: Exception | None = None
        self._gatherers: list[t.Any] = []

    def write(self, data: bytes) -> None:
        self._catch_up()
        assert isinstance(data, bytes)
        if not self.closing:
            self.written += data

    def _catch_up(self) -> None:
        for gatherer in tuple(self._gatherers):
            gatherer.catch_up(self)

    def attach(self, gatherer: t.Any) -> None:
        self._gatherers.append(gatherer)

    def detach(self, gatherer: t.Any) -> None:
        self._gatherers.remove(gatherer)

    def close(self) -> None:
        self._catch_up()
        self.closing = True

    def evict(self, reason: t.Any) -> None:
        if not self.closing:
            self.protocol.closing(reason)
            self.close()
            self.evicted = reason

    def is_closing(self) -> bool:
        return self.closing

    def get_write_buffer_size(self) -> int:
        return self.waiting

    def made_progress(self) -> None:
        pass

    def take(self) -> bytes:
        """What was written since the last call."""
        taken, self.written = self.written, b""
        return taken
