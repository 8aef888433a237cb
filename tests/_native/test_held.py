"""What is written is held back for a while on a compiled engine, and nobody can tell: nothing
overtakes it, nothing loses it. On epoll, too, which sends at once."""

from __future__ import annotations

import socket
import typing as t
from collections.abc import Callable

import pytest
from tests._native.ticked import Ticked, quiet, ticked
from tests.support import reset

from jackfield.errors import LagError
from jackfield.protocol import Buffer, Protocol

__all__ = ["quiet", "ticked"]

MANY = 40
"""Connections: more than twice as many as are held back together (_native/stream.pxd)."""


class Plays(Protocol):
    """Does in ``data_received`` what the test says; ``all`` are those who came, in order."""

    def __init__(self, play: Callable[[Plays, bytes], object], everyone: list[Plays]) -> None:
        self.play = play
        self.all = everyone
        self.lost: list[BaseException | None] = []

    def connection_made(self, transport: t.Any) -> None:
        self.transport = transport
        self.all.append(self)

    def data_received(self, data: bytes) -> None:
        self.play(self, data)

    def connection_lost(self, exc: BaseException | None) -> None:
        self.lost.append(exc)


def joined(
    ticked: Ticked, count: int, play: Callable[[Plays, bytes], object]
) -> tuple[list[socket.socket], list[Plays]]:
    """``count`` clients and their protocols, each at the same place in its list."""
    everyone: list[Plays] = []
    ticked.listen(lambda: Plays(play, everyone))
    clients = []
    for i in range(count):
        clients.append(ticked.dial())
        ticked.until(lambda wanted=i + 1: len(everyone) == wanted)  # type: ignore[misc]
    return clients, everyone


def test_order(ticked: Ticked) -> None:
    pieces: list[Buffer] = [
        b"a",
        b"",
        bytearray(b"b"),
        b"c" * 5000,
        memoryview(b"d"),
        b"e" * 4096,
        b"f",
    ]

    def play(self: Plays, data: bytes) -> None:
        for piece in pieces:
            self.transport.write(piece)

    (client,), _ = joined(ticked, 1, play)
    client.send(b"go")
    expected = b"".join(map(bytes, pieces))
    assert ticked.receive(client, len(expected)) == expected


def write_to_the_socket(transport: t.Any) -> None:
    transport.get_extra_info("socket").send(b"?")
    transport.close()


def raise_something(_transport: t.Any) -> None:
    raise ZeroDivisionError


@pytest.mark.parametrize(
    ("end", "last"),
    [
        (lambda transport: transport.close(), b"words"),
        (lambda transport: transport.write_eof(), b"words"),
        (lambda transport: transport.abort(), b"words"),
        (lambda transport: transport.evict(LagError("it reads nothing")), b"words"),
        (write_to_the_socket, b"words?"),
        (raise_something, b"words"),
    ],
    ids=["close", "write_eof", "abort", "evict", "socket", "raise"],
)
def test_last_words(ticked: Ticked, end: Callable[[t.Any], object], last: bytes) -> None:
    """They were written before, so they arrive before."""

    def play(self: Plays, data: bytes) -> None:
        self.transport.write(b"words")
        end(self.transport)

    (client,), _ = joined(ticked, 1, play)
    client.send(b"go")
    assert ticked.receive(client, len(last) + 1) == last


def gathers(ticked: Ticked) -> bool:
    """On a ring, what is written in a tick is handed over together at its end."""
    return type(ticked.engine).__name__ == "UringReactor"


def test_what_waits(ticked: Ticked) -> None:
    """What the kernel takes at once does not wait."""
    sizes: list[int] = []

    def play(self: Plays, data: bytes) -> None:
        self.transport.write(b"words")
        sizes.append(self.transport.get_write_buffer_size())

    (client,), (served,) = joined(ticked, 1, play)
    client.send(b"go")
    assert ticked.receive(client, 5) == b"words"
    assert sizes == [5 if gathers(ticked) else 0]
    ticked.until(lambda: served.transport.get_write_buffer_size() == 0)


def test_not_for_long(ticked: Ticked) -> None:
    """With many arrivals in one tick, the first is answered before the last is served."""
    answered: list[int] = []

    def play(self: Plays, data: bytes) -> None:
        self.transport.write(data)
        answered.append(sum(has_something(client) for client in clients))

    clients, _ = joined(ticked, MANY, play)
    for client in clients:
        client.send(b"x")
    ticked.tick()
    assert len(answered) == MANY, "they came in several ticks"
    assert answered[-1] >= (0 if gathers(ticked) else MANY // 2)
    ticked.tick()
    assert all(map(has_something, clients))


def has_something(client: socket.socket) -> bool:
    try:
        return bool(client.recv(1, socket.MSG_PEEK))
    except BlockingIOError:
        return False


def test_to_all_others(ticked: Ticked) -> None:
    """One who tells everybody by hand, each twice, and is told himself."""

    def play(self: Plays, data: bytes) -> None:
        for word in (data, b"!"):
            for one in self.all:
                one.transport.write(word)

    clients, _ = joined(ticked, MANY, play)
    clients[0].send(b"hello")
    for client in clients:
        assert ticked.receive(client, 6) == b"hello!"


def test_one_is_gone(ticked: Ticked) -> None:
    """Whose peer has reset the connection loses what is held; nobody else does."""

    def play(self: Plays, data: bytes) -> None:
        for one in self.all:
            one.transport.write(data)

    clients, everyone = joined(ticked, 3, play)
    clients[0].send(b"hello")
    reset(clients[1])
    ticked.until(lambda: everyone[1].lost)
    assert len(everyone[1].lost) == 1
    for client in (clients[0], clients[2]):
        assert ticked.receive(client, 5) == b"hello"


def test_one_ends_another(ticked: Ticked) -> None:
    """Who is closed by another in the tick in which it was answered has its answer."""

    answered: list[Plays] = []

    def play(self: Plays, data: bytes) -> None:
        self.transport.write(data)
        answered.append(self)
        if len(answered) == MANY:
            for one in self.all:
                one.transport.close()

    clients, _ = joined(ticked, MANY, play)
    for client in clients:
        client.send(b"bye")
    for client in clients:
        assert ticked.receive(client, 4)[:3] == b"bye"


def test_none_reads(ticked: Ticked) -> None:
    """What the kernel does not take stays, in order, and the protocol is told to pause."""
    told: list[str] = []

    def play(self: Plays, data: bytes) -> None:
        for _ in range(200):
            self.transport.write(data * 40)

    (client,), (served,) = joined(ticked, 1, play)
    served.pause_writing = lambda: told.append("pause")  # type: ignore[method-assign]
    served.resume_writing = lambda: told.append("resume")  # type: ignore[method-assign]
    line = bytes(range(100))
    client.send(line)
    ticked.until(lambda: told)
    assert ticked.receive(client, 200 * 40 * 100) == line * 40 * 200
    ticked.until(lambda: len(told) == 2)
    assert told == ["pause", "resume"]


def test_all_who_are_ready_are_served_in_one_tick(ticked: Ticked) -> None:
    """However few of them one system call reports: what they say goes out together."""
    served: list[Plays] = []
    clients, _ = joined(ticked, 200, lambda self, data: served.append(self))
    for client in clients:
        client.send(b"x")
    ticked.tick()
    assert len(served) == len(clients)
