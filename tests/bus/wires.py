"""A link without sockets: two transports, and bytes that travel when the test says so."""

from __future__ import annotations

import typing as t
from collections.abc import Callable

import pytest
from tests.services.by_hand import HandEngine, HandTransport

from jackfield.bus import hub as hub_module
from jackfield.bus import link as link_module
from jackfield.bus.hub import Hub
from jackfield.bus.link import HubLink, Link

Operation: t.TypeAlias = tuple[int, bytes]


class HandTimer:
    def __init__(self, callback: Callable[..., object], args: tuple[t.Any, ...]) -> None:
        self._callback = callback
        self._args = args
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True

    def fire(self) -> None:
        if not self.cancelled:
            self._callback(*self._args)


class LinkEngine(HandEngine):
    """With timers, which fire when the test fires them."""

    def __init__(self) -> None:
        super().__init__()
        self.timers: list[HandTimer] = []

    def call_later(self, _delay: float, callback: Callable[..., object], *args: t.Any) -> HandTimer:
        self.timers.append(HandTimer(callback, args))
        return self.timers[-1]


class LinkEnd(HandTransport):
    """A transport as links have it. ``reading`` is what ``pause_reading`` left."""

    def __init__(self, engine: HandEngine, protocol: t.Any) -> None:
        super().__init__(engine)
        self.protocol = protocol
        self.reading = True
        self.aborted = False
        self.limits: int | None = None
        protocol.connection_made(self)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self.limits = high

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def abort(self) -> None:
        self.closing = self.aborted = True


class Process:
    """A worker: its end of the link, the hub's, and what it was told, in order."""

    def __init__(self, house: House, number: int) -> None:
        self.house = house
        self.number = number
        self.told: list[Operation] = []
        self.began_at = len(house.told)
        self.hub_link: HubLink = house.hub.link(number)
        self.far = LinkEnd(house.engine, self.hub_link)
        house.hub.joined(self.hub_link)
        self.link = Link(lost=lambda: None)
        self.near = LinkEnd(LinkEngine(), self.link)

    def say(self, *operations: bytes) -> None:
        """Publish them, in one tick."""
        for operation in operations:
            self.link.publish(self.number, operation)
        self.near.engine.settle()

    def up(self, count: int | None = None) -> None:
        """The first ``count`` bytes of what it wrote reach the hub (None: all)."""
        data, self.near.written = (
            self.near.written[:count],
            self.near.written[len(self.near.written[:count]) :],
        )
        if data:
            self.hub_link.data_received(data)
            self.house.engine.settle()

    def down(self, count: int | None = None) -> None:
        """The first ``count`` bytes of what the hub wrote reach the worker."""
        taken = self.far.written[:count]
        self.far.written = self.far.written[len(taken) :]
        if taken:
            self.house.current = self.told
            self.link.data_received(taken)
            self.house.current = self.house.told

    def die(self) -> None:
        """What it wrote and did not arrive is lost."""
        self.far.closing = True
        self.hub_link.connection_lost(None)
        self.house.engine.settle()


class House:
    """A hub, its workers, and what the hub's own process was told: the order."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.told: list[Operation] = []
        self.current = self.told
        monkeypatch.setattr(hub_module, "deliver", self._deliver)
        monkeypatch.setattr(link_module, "deliver", self._deliver)
        self.engine = LinkEngine()
        self.lost: list[int] = []
        self.ready: list[int] = []
        self.hub = Hub(self.lost.append, self.ready.append)
        self.processes: list[Process] = []

    def _deliver(self, operations: list[Operation]) -> None:
        self.current.extend(operations)

    def bear(self) -> Process:
        self.processes.append(Process(self, len(self.processes) + 1))
        return self.processes[-1]

    def close(self) -> None:
        self.hub.close()
