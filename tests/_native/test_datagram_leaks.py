"""What a datagram took is given back, whatever became of it: references, descriptors, memory. And
what a burst must not change: who is told of which error, and what is sent before the end."""

from __future__ import annotations

import errno
import socket
import typing as t

import pytest
from tests._native.ticked import Ticked, a_class, leaves_nothing, quiet, ticked

from jackfield.protocol import DatagramProtocol

__all__ = ["quiet", "ticked"]


class Answers(DatagramProtocol):
    """Sends each datagram back, and what the test says to whom it says."""

    failed = 0

    def connection_made(self, transport: t.Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: t.Any) -> None:
        self.transport.sendto(data, addr)

    def error_received(self, exc: OSError) -> None:
        type(self).failed += 1


def speak(ticked: Ticked, count: int, data: bytes = b"hello") -> socket.socket:
    """A burst of datagrams from a client of its own; from one port always, since an engine may
    remember so many senders."""
    ticked.leave()
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    ticked.clients.append(sock)
    sock.bind(ticked.sender)
    ticked.sender = sock.getsockname()
    sock.setblocking(False)
    for _ in range(count):
        sock.sendto(data, ticked.address)
    return sock


def test_datagrams_there_and_back(ticked: Ticked) -> None:
    answers = a_class(Answers)
    ticked.serve_datagrams(answers)

    def cycle() -> None:
        client = speak(ticked, 100)  # more than a burst
        for _ in range(100):
            assert ticked.receive(client, 5) == b"hello"

    leaves_nothing(ticked, cycle, answers, b"hello")


def test_datagrams_to_a_closed_port(ticked: Ticked) -> None:
    answers = a_class(Answers)
    ticked.serve_datagrams(answers)

    def cycle() -> None:
        failed = answers.failed
        speak(ticked, 10).close()
        ticked.until(lambda: answers.failed > failed)

    leaves_nothing(ticked, cycle, answers)


@pytest.mark.parametrize("name", ["datagram_received", "error_received"])
def test_a_datagram_callback_fails(ticked: Ticked, name: str) -> None:
    precious = object()
    calls = 0

    def fails(*_: t.Any) -> None:
        nonlocal calls
        kept = precious
        calls += kept is precious
        raise ZeroDivisionError

    answers = a_class(Answers, {name: fails})
    ticked.serve_datagrams(answers)

    def cycle() -> None:
        before = calls
        speak(ticked, 10).close()
        ticked.until(lambda: calls > before)

    leaves_nothing(ticked, cycle, answers, precious)


WRONG = [
    ("127.0.0.1",),
    ("127.0.0.1", -1),
    ("127.0.0.1", 65_536),
    ("127.0.0.1", "9"),
    ("127.0.0.1\0.example", 9),
    ("127.0.0.1", 9, 0),
    (b"127.0.0.1", 9, 0, 0),
    (None, 9),
    (9, "127.0.0.1"),
    "127.0.0.1",
    17,
]


def test_addresses_that_are_none(ticked: Ticked) -> None:
    """They are refused as the module ``socket`` refuses them; what is sent besides arrives."""
    refused: list[str] = []

    def tries(self: t.Any, data: bytes, addr: t.Any) -> None:
        for wrong in WRONG:
            try:
                self.transport.sendto(data, wrong)
            except Exception as exc:
                refused.append(type(exc).__name__)
        self.transport.sendto(data, addr)
        self.transport.sendto(data, ())  # an address that is empty is no address: an error later

    answers = a_class(Answers, {"datagram_received": tries})
    ticked.serve_datagrams(answers)
    expected = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for wrong in WRONG:
            with pytest.raises((TypeError, ValueError, OverflowError)) as raised:
                sock.sendto(b"", t.cast(t.Any, wrong))
            expected.append(raised.type.__name__)

    def cycle() -> None:
        refused.clear()
        client = speak(ticked, 2)
        for _ in range(2):
            assert ticked.receive(client, 5) == b"hello"
        assert refused == expected * 2

    leaves_nothing(ticked, cycle, answers, times=10)


@pytest.mark.parametrize("how", ["close", "abort"])
def test_what_was_said_before_the_end_is_sent(ticked: Ticked, how: str) -> None:
    """A send that was made before ``close`` or ``abort`` has been made."""

    def ends(self: t.Any, data: bytes, addr: t.Any) -> None:
        self.transport.sendto(data, addr)
        getattr(self.transport, how)()
        self.transport.sendto(b"no more", addr)

    ticked.serve_datagrams(a_class(Answers, {"datagram_received": ends}))
    client = speak(ticked, 3)
    assert ticked.receive(client, 5) == b"hello"
    for _ in range(5):
        ticked.tick()
    with pytest.raises(BlockingIOError):
        client.recv(100)


def test_what_the_kernel_refuses_of_a_burst(ticked: Ticked) -> None:
    """A datagram that is too large is told of, with whom it was for; the others leave, in order."""
    errors: list[tuple[int | None, t.Any]] = []

    def answers_thrice(self: t.Any, data: bytes, addr: t.Any) -> None:
        for answer in (b"first", bytes(65_520), b"third"):
            self.transport.sendto(answer, addr)

    def error_received(self: t.Any, exc: t.Any) -> None:
        errors.append((exc.errno, exc.peername))

    body = {"datagram_received": answers_thrice, "error_received": error_received}
    answers = a_class(Answers, body)
    ticked.serve_datagrams(answers)

    def cycle() -> None:
        errors.clear()
        client = speak(ticked, 2)
        for _ in range(2):
            assert ticked.receive(client, 5) == b"first"
            assert ticked.receive(client, 5) == b"third"
        assert errors == [(errno.EMSGSIZE, client.getsockname())] * 2

    leaves_nothing(ticked, cycle, answers, times=10)
