"""What a connection took is given back, however it ended: references, descriptors,
memory. On every compiled engine, and on epoll, to which they are compared."""

from __future__ import annotations

import gc
import os
import socket
import sys
import typing as t
import weakref

import pytest
from tests._native.ticked import ENGINES, Ticked, a_class, leaves_nothing, quiet, ticked
from tests.support import reset

from jackfield.protocol import DatagramProtocol, Protocol

__all__ = ["quiet", "ticked"]

BIG = 200_000
"""Much more than the buffers of a listener of these tests (``ticked``)."""


class Served(Protocol):
    """Echoes. The class counts how many are alive: each has a reference to it."""

    lost = 0

    def connection_made(self, transport: t.Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)

    def connection_lost(self, exc: BaseException | None) -> None:
        type(self).lost += 1


def test_echo_and_close(ticked: Ticked) -> None:
    served = a_class(Served)
    ticked.listen(served)

    def cycle() -> None:
        client = ticked.dial()
        client.send(b"hello")
        assert ticked.receive(client, 5) == b"hello"
        client.close()

    leaves_nothing(ticked, cycle, served, b"hello")
    assert served.lost == 35


def test_a_reset(ticked: Ticked) -> None:
    served = a_class(Served)
    ticked.listen(served)

    def cycle() -> None:
        ended = served.lost
        client = ticked.dial()
        client.send(b"hello")
        ticked.receive(client, 5)
        client.send(b"unread")
        reset(client)
        ticked.until(lambda: served.lost > ended)

    leaves_nothing(ticked, cycle, served)


def test_gone_before_it_was_accepted(ticked: Ticked) -> None:
    served = a_class(Served)
    ticked.listen(served)

    def cycle() -> None:
        reset(ticked.dial())
        ticked.tick()

    leaves_nothing(ticked, cycle, served)


@pytest.mark.parametrize("how", ["close", "abort"])
@pytest.mark.parametrize("where", ["connection_made", "data_received", "eof_received"])
def test_ended_from_a_callback(ticked: Ticked, where: str, how: str) -> None:
    def end(self: t.Any, *_: t.Any) -> None:
        getattr(self.transport, how)()

    def made(self: t.Any, transport: t.Any) -> None:
        self.transport = transport
        if where == "connection_made":
            end(self)

    served = a_class(Served, {"connection_made": made, **({} if "made" in where else {where: end})})
    ticked.listen(served)

    def cycle() -> None:
        ended = served.lost
        client = ticked.dial()
        client.send(b"hello")
        client.shutdown(socket.SHUT_WR)
        ticked.until(lambda: served.lost > ended)

    leaves_nothing(ticked, cycle, served)


@pytest.mark.parametrize(
    "name",
    ["connection_made", "data_received", "eof_received", "connection_lost", "pause_writing"],
)
def test_a_callback_fails(ticked: Ticked, name: str) -> None:
    """The exception, its traceback and what that refers to go with the connection."""
    precious = object()
    ended = 0

    def fails(*_: t.Any) -> None:
        nonlocal ended
        kept = precious
        ended += kept is precious
        raise ZeroDivisionError

    def writes(self: t.Any, data: bytes) -> None:
        self.transport.write(bytes(BIG) if name == "pause_writing" else data)

    served = a_class(Served, {"data_received": writes, name: fails})
    ticked.listen(served)

    def cycle() -> None:
        before = ended
        client = ticked.dial()
        client.send(b"hello")
        if name in ("eof_received", "connection_lost"):
            client.shutdown(socket.SHUT_WR)
        ticked.until(lambda: ended > before)

    leaves_nothing(ticked, cycle, served, precious, times=15)


def test_the_factory_fails(ticked: Ticked) -> None:
    asked = 0

    def factory() -> t.Any:
        nonlocal asked
        asked += 1
        raise ZeroDivisionError

    ticked.listen(factory)

    def cycle() -> None:
        before = asked
        ticked.dial()
        ticked.until(lambda: asked > before)

    leaves_nothing(ticked, cycle, factory)


@pytest.mark.parametrize("end", ["read", "reset", "abort"])
@pytest.mark.parametrize("how", ["write", "fan_out"])
def test_what_waits_in_outboxes(ticked: Ticked, how: str, end: str) -> None:
    """It is kept by reference while it waits, and not a tick longer."""
    made: list[t.Any] = []

    def connection_made(self: t.Any, transport: t.Any) -> None:
        made.append(transport)

    served = a_class(Served, {"connection_made": connection_made})
    ticked.listen(served)
    data = bytes(BIG)

    def cycle() -> None:
        clients = [ticked.dial(4096) for _ in range(3)]
        ticked.until(lambda: len(made) == 3)
        for _ in range(2):
            if how == "fan_out":
                assert len(ticked.engine.fan_out(data, made)) in (0, 3)
            else:
                for transport in made:
                    transport.write(data)
        ticked.until(lambda: all(transport.get_write_buffer_size() for transport in made))
        for client, transport in zip(clients, made, strict=True):
            if end == "abort":
                transport.abort()
            elif end == "reset":
                reset(client)
            else:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BIG)
                assert len(ticked.receive(client, 2 * BIG)) == 2 * BIG
        made.clear()
        ticked.rest()

    leaves_nothing(ticked, cycle, served, data, times=5)


def test_another_protocol(ticked: Ticked) -> None:
    class Second(Served):
        pass

    def hands_over(self: t.Any, data: bytes) -> None:
        second = Second()
        second.connection_made(self.transport)
        self.transport.set_protocol(second)
        second.data_received(data)

    served = a_class(Served, {"data_received": hands_over})
    ticked.listen(served)

    def cycle() -> None:
        client = ticked.dial()
        for _ in range(2):
            client.send(b"hello")
            assert ticked.receive(client, 5) == b"hello"
        client.close()

    leaves_nothing(ticked, cycle, served, Second)


def test_a_buffer_is_let_go(ticked: Ticked) -> None:
    """``bytearray.append`` raises ``BufferError`` while anybody has a view of it."""
    buffer = bytearray(100)

    class Filled:
        def connection_made(self, transport: t.Any) -> None:
            self.transport = transport

        def get_buffer(self, _size: int) -> bytearray:
            return buffer

        def buffer_updated(self, count: int) -> None:
            self.transport.write(buffer[:count])
            buffer.append(0)
            buffer.pop()

        def eof_received(self) -> None:
            buffer.append(0)
            buffer.pop()

        def connection_lost(self, exc: BaseException | None) -> None:
            pass

    ticked.listen(Filled)

    def cycle() -> None:
        client = ticked.dial()
        client.send(b"hello" * 50)
        assert ticked.receive(client, 250) == b"hello" * 50
        client.close()

    leaves_nothing(ticked, cycle, Filled, buffer)


def test_the_real_socket(ticked: Ticked) -> None:
    """Who asks for it gets one of its own kind; it is closed once, with the connection."""
    sockets: list[socket.socket] = []

    def asks(self: t.Any, data: bytes) -> None:
        sock = self.transport.get_extra_info("socket")
        assert sock.gettimeout() == 0
        assert sock.getpeername() == self.transport.get_extra_info("peername")
        sockets.append(sock)
        self.transport.write(data)

    served = a_class(Served, {"data_received": asks})
    ticked.listen(served)

    def cycle() -> None:
        client = ticked.dial()
        client.send(b"hello")
        ticked.receive(client, 5)
        ticked.rest()
        assert sockets.pop().fileno() == -1

    leaves_nothing(ticked, cycle, served)


def test_protocols_and_transports_die(ticked: Ticked) -> None:
    """And do so without a collection if the protocol lets go of its transport."""
    alive: list[weakref.ref[t.Any]] = []

    def made(self: t.Any, transport: t.Any) -> None:
        alive.append(weakref.ref(self))
        self.transport = transport

    def lost(self: t.Any, exc: BaseException | None) -> None:
        del self.transport

    ticked.listen(a_class(Served, {"connection_made": made, "connection_lost": lost}))
    gc.disable()
    try:
        for _ in range(10):
            client = ticked.dial()
            client.send(b"hello")
            ticked.receive(client, 5)
            client.close()
        ticked.rest()
        assert len(alive) == 10
        assert not any(one() for one in alive)
    finally:
        gc.enable()


def test_nobody_else_keeps_the_transport(ticked: Ticked) -> None:
    """Its last reference may go while it is served: it lingers, forgotten by its protocol."""

    class Forgetful(Served):
        def connection_made(self, transport: t.Any) -> None:
            transport.write(bytes(BIG))
            transport.close()

    ticked.listen(Forgetful)

    def cycle() -> None:
        client = ticked.dial()
        assert len(ticked.receive(client, BIG)) == BIG
        assert ticked.receive(client, 1) == b""
        client.send(b"too late")
        client.close()
        ticked.rest()

    leaves_nothing(ticked, cycle, Forgetful, times=10)


@pytest.mark.parametrize("name", ENGINES)
def test_an_engine_that_ends(name: str) -> None:
    """With clients connected, output waiting and datagrams served."""

    def writes(self: t.Any, data: bytes) -> None:
        self.transport.write(bytes(BIG))

    descriptors: list[int] = []
    for turn in range(6):
        one = Ticked(name)
        one.serve_datagrams(DatagramProtocol)
        one.listen(a_class(Served, {"data_received": writes}))
        clients = [one.dial() for _ in range(5)]
        for client in clients:
            client.send(b"hello")
        one.receive(clients[0], 1)
        dies = weakref.ref(one.engine)
        one.close()
        del one, client, clients
        gc.collect()
        assert dies() is None
        descriptors.append(open_descriptors())
        if turn:
            assert descriptors[-1] == descriptors[0]


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_the_references_are_counted_right() -> None:
    """The tool itself: it sees a reference that is kept."""
    thing, kept = object(), []
    before = sys.getrefcount(thing)
    kept.append(thing)
    assert sys.getrefcount(thing) == before + 1
