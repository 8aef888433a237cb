"""Links under a reactor: both ends write as much as they read, and neither waits for the other."""

from __future__ import annotations

import socket
import typing as t

from tests.support import PATIENCE

from jackfield import pollers
from jackfield.engines.reactor import Reactor
from jackfield.protocol import Protocol


class Copies(Protocol):
    """Sends back what it gets, as a hub does."""

    def connection_made(self, transport: t.Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


class Floods(Protocol):
    """Writes all it has at once, and counts what comes back."""

    def __init__(self, size: int, done: t.Callable[[], object]) -> None:
        self.pauses: list[str] = []
        self._left = self._size = size
        self._done = done

    def connection_made(self, transport: t.Any) -> None:
        for _ in range(16):
            transport.write(bytes(self._size // 16))

    def data_received(self, data: bytes) -> None:
        self._left -= len(data)
        if not self._left:
            self._done()

    def pause_writing(self) -> None:
        self.pauses.append("pause")

    def resume_writing(self) -> None:
        self.pauses.append("resume")


def test_both_outboxes_are_full_and_everything_arrives() -> None:
    engine = Reactor(pollers.make(pollers.best()))
    ours, theirs = socket.socketpair()
    finished: list[bool] = []

    def end(done: bool) -> None:
        finished.append(done)
        engine.stop(0)

    flood = Floods(16 << 20, lambda: end(True))
    engine.add_link(ours, Copies())
    engine.add_link(theirs, flood)
    engine.call_later(PATIENCE, end, False)
    engine.run()
    assert finished[0], "the ends wait for each other"
    assert flood.pauses[:2] == ["pause", "resume"]


def test_links_are_not_counted_and_close_with_the_engine() -> None:
    engine = Reactor(pollers.make(pollers.best()))
    ours, theirs = socket.socketpair()
    with theirs:
        engine.add_link(ours, Copies())
        assert engine.statistics().connections == 0
        theirs.settimeout(PATIENCE)
        theirs.send(b"hello")
        engine.call_later(0.05, engine.stop, 0)
        engine.run()
        assert theirs.recv(10) == b"hello"
        assert theirs.recv(10) == b""
    assert engine.statistics().lost == 0
