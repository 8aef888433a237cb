"""An engine that a test turns itself, tick by tick in its own thread, and what that leaves alive.

Nothing happens behind the test's back, so that what is counted before and after can be equal to
the last reference.
"""

from __future__ import annotations

import gc
import logging
import os
import socket
import sys
import time
import typing as t
from collections.abc import Callable, Iterator

import pytest
from tests.support import PATIENCE

from jackfield import engines
from jackfield.address import Endpoint
from jackfield.engines import timers
from jackfield.engines.base import Options
from jackfield.kernel.sockets import bind_datagram_all, listen_all

ENGINES: t.Final = [name for name in (*engines.COMPILED, "epoll") if engines.missing(name) is None]


SEND_BUFFER: t.Final = 16_384
"""Bytes, which those who are accepted inherit: little has to be sent to make more wait."""

TRIES: t.Final = 3
"""Times that memory may grow by an object a cycle or more. What leaks does so each time."""


class Ticked:
    """``engine`` with one listener, and the clients that a test dials."""

    def __init__(self, name: str) -> None:
        options = Options(
            max_connections=0, max_per_host=0, max_per_second=0, idle_timeout=0, login_timeout=0
        )
        self.engine: t.Any = engines.make(name, options)
        self.address: t.Any = None
        self.sender = ("127.0.0.1", 0)
        """Where datagrams come from: any port, then that one."""
        self.clients: list[socket.socket] = []

    def listen(self, factory: Callable[[], t.Any]) -> None:
        (listener,) = listen_all(Endpoint.parse("tcp://127.0.0.1:0"), 16)
        listener.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        self.address = listener.address.sockaddr
        self.engine.listen(listener, factory)

    def serve_datagrams(self, factory: Callable[[], t.Any]) -> None:
        (sock,) = bind_datagram_all(Endpoint.parse("udp://127.0.0.1:0"))
        self.address = sock.getsockname()
        self.engine.serve_datagrams(sock, factory)

    def dial(self, receive_buffer: int = 0) -> socket.socket:
        """Connected: the kernel does that without us."""
        sock = socket.socket()
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.settimeout(PATIENCE)
        sock.connect(self.address)
        sock.setblocking(False)
        self.clients.append(sock)
        return sock

    def tick(self) -> None:
        """One turn that does not wait."""
        self.engine.call_soon(int)
        self.engine._tick()

    def until(self, condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, "not within the time"
            self.tick()

    def receive(self, sock: socket.socket, count: int) -> bytes:
        """Exactly ``count`` bytes, or fewer where the stream ends."""
        parts: list[bytes] = []

        def enough() -> bool:
            missing = count - sum(map(len, parts))
            if missing:
                try:
                    parts.append(sock.recv(missing))
                except BlockingIOError:
                    return False
            return len(parts[-1]) in (0, missing)

        self.until(enough)
        return b"".join(parts)

    def leave(self) -> None:
        """Every client does."""
        for client in self.clients:
            client.close()
        self.clients.clear()

    def rest(self) -> None:
        """Everybody has left, and the engine has seen it."""
        self.leave()
        self.until(lambda: not self.engine.statistics().connections)
        for _ in range(3):
            self.tick()

    def close(self) -> None:
        self.leave()
        self.engine.close()


class Census(t.NamedTuple):
    """What is alive in this process."""

    descriptors: tuple[str, ...]
    blocks: int
    references: tuple[int, ...]


def census(*watched: object) -> Census:
    """Now, after a collection that has nothing to complain of."""
    while gc.collect():
        pass
    assert not gc.garbage
    references = tuple(map(sys.getrefcount, watched))
    return Census(tuple(sorted(os.listdir("/proc/self/fd"))), sys.getallocatedblocks(), references)


def leaves_nothing(
    ticked: Ticked, cycle: Callable[[], object], *watched: object, times: int = 30
) -> None:
    """``cycle`` may be repeated as often as one likes: descriptors and references to ``watched``
    are what they were, and memory grew by less than an object a cycle."""
    grown: list[int] = []
    _repeat(ticked, cycle, 5)  # caches are filled, tables have their size
    before = census(*watched)
    while not grown or grown[-1] >= times:  # once more: free lists of the interpreter grow, too
        assert len(grown) < TRIES, f"objects that {times} cycles left, {TRIES} times: {grown}"
        _repeat(ticked, cycle, times)
        after = census(*watched)
        assert after.references == before.references
        assert len(after.descriptors) == len(before.descriptors)
        grown.append(after.blocks - before.blocks)
        before = after


def _repeat(ticked: Ticked, cycle: Callable[[], object], times: int) -> None:
    for _ in range(times):
        cycle()
    ticked.rest()


@pytest.fixture(params=ENGINES)
def ticked(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ticked]:
    monkeypatch.setattr(timers, "SWEEP_AT", 0)  # a cancelled timer is no leak, but looks like one
    one = Ticked(request.param)
    try:
        yield one
    finally:
        one.close()


def a_class(base: type, body: dict[str, t.Any] | None = None) -> t.Any:
    """One of the test's own, so that nobody else refers to it."""
    return type("Watched", (base,), {"lost": 0, "failed": 0, **(body or {})})


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Callbacks fail here on purpose. (A captured record would keep the exception alive.)"""
    logger = logging.getLogger("jackfield")
    before, logger.disabled = logger.disabled, True
    yield
    logger.disabled = before
