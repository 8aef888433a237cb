"""The poller's contract as a suite: a subclass for each poller says how one is made."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from tests.support import drain, fill, lowest_free, reset

from jackfield.pollers.base import ERROR, HANGUP, READ, WRITE, Poller

Pair = tuple[socket.socket, socket.socket]


class PollerContract:
    """Subclass it as ``Test...`` and override ``make``."""

    def make(self) -> Poller:
        raise NotImplementedError

    @pytest.fixture
    def poller(self) -> Iterator[Poller]:
        poller = self.make()
        yield poller
        poller.close()

    @pytest.fixture
    def pair(self) -> Iterator[Pair]:
        left, right = socket.socketpair()
        left.setblocking(False)
        right.setblocking(False)
        yield left, right
        left.close()
        right.close()

    # --- the list of descriptors -------------------------------------------------------

    def test_register_twice(self, poller: Poller, pair: Pair) -> None:
        poller.register(pair[0].fileno(), READ)
        with pytest.raises(ValueError, match="registered already"):
            poller.register(pair[0].fileno(), WRITE)
        assert list(poller.poll(0)) == []  # the first interest stands

    @pytest.mark.parametrize("interest", [READ, WRITE, READ | WRITE])
    def test_unregister_then_register_again(
        self, poller: Poller, pair: Pair, interest: int
    ) -> None:
        fd = pair[0].fileno()
        pair[1].send(b"x")
        for _ in range(3):
            poller.register(fd, interest)
            assert dict(poller.poll(0)) == {fd: interest}
            poller.unregister(fd)
            assert list(poller.poll(0)) == []

    def test_unknown_descriptors(self, poller: Poller, pair: Pair) -> None:
        fd = pair[0].fileno()
        for _ in range(2):  # never seen, then forgotten
            with pytest.raises(KeyError):
                poller.modify(fd, READ)
            with pytest.raises(KeyError):
                poller.unregister(fd)
            poller.register(fd, READ)
            poller.unregister(fd)

    def test_a_closed_descriptor_is_refused_at_once(self, poller: Poller, pair: Pair) -> None:
        fd = pair[0].fileno()
        pair[0].close()
        with pytest.raises(OSError, match="Bad file descriptor"):
            poller.register(fd, READ)
        poller.register(pair[1].fileno(), WRITE)  # and nobody else suffers
        assert dict(poller.poll(0))[pair[1].fileno()] & WRITE

    def test_a_number_taken_anew(self, poller: Poller) -> None:
        """Closed after unregister, its number given to another socket: a clean start."""
        first = socket.socketpair()
        fd = first[0].fileno()
        poller.register(fd, READ | WRITE)
        poller.unregister(fd)
        spare = os.dup(first[1].fileno())
        first[0].close()
        first[1].close()
        second = socket.socketpair()
        os.dup2(second[0].fileno(), fd)
        try:
            poller.register(fd, READ)
            assert list(poller.poll(0)) == []
            second[1].send(b"x")
            assert dict(poller.poll(1)) == {fd: READ}
            poller.unregister(fd)
        finally:
            if fd not in (second[0].fileno(), second[1].fileno()):
                os.close(fd)
            os.close(spare)
            second[0].close()
            second[1].close()

    # --- readiness -----------------------------------------------------------------------

    def test_read(self, poller: Poller, pair: Pair) -> None:
        poller.register(pair[0].fileno(), READ)
        assert list(poller.poll(0)) == []
        pair[1].send(b"x")
        assert dict(poller.poll(1)) == {pair[0].fileno(): READ}

    def test_level_triggered(self, poller: Poller, pair: Pair) -> None:
        poller.register(pair[0].fileno(), READ)
        pair[1].send(b"xy")
        for _ in range(3):
            assert dict(poller.poll(0)) == {pair[0].fileno(): READ}
        pair[0].recv(1)
        assert dict(poller.poll(0)) == {pair[0].fileno(): READ}
        pair[0].recv(1)
        assert list(poller.poll(0)) == []

    def test_write(self, poller: Poller, pair: Pair) -> None:
        fd = pair[0].fileno()
        poller.register(fd, WRITE)
        assert dict(poller.poll(0)) == {fd: WRITE}
        fill(pair[0])
        assert list(poller.poll(0)) == []
        drain(pair[1])
        assert dict(poller.poll(1)) == {fd: WRITE}

    def test_both_at_once_are_one_entry(self, poller: Poller, pair: Pair) -> None:
        poller.register(pair[0].fileno(), READ | WRITE)
        pair[1].send(b"x")
        ready = list(poller.poll(0))
        assert ready == [(pair[0].fileno(), READ | WRITE)]

    def test_modify_replaces(self, poller: Poller, pair: Pair) -> None:
        fd = pair[0].fileno()
        pair[1].send(b"x")
        poller.register(fd, READ)
        for interest in (WRITE, READ | WRITE, READ, READ, READ | WRITE, WRITE):
            poller.modify(fd, interest)
            assert dict(poller.poll(0)) == {fd: interest}

    def test_a_connection_to_accept(self, poller: Poller) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            poller.register(listener.fileno(), READ)
            assert list(poller.poll(0)) == []
            with socket.create_connection(listener.getsockname()):
                assert dict(poller.poll(5)) == {listener.fileno(): READ}
            poller.unregister(listener.fileno())

    def test_a_refused_connect_is_reported_to_who_waits_to_write(self, poller: Poller) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            nobody = listener.getsockname()
        with socket.socket() as sock:
            sock.setblocking(False)
            sock.connect_ex(nobody)
            poller.register(sock.fileno(), WRITE)
            flags = dict(poller.poll(5))[sock.fileno()]
            assert flags & (WRITE | ERROR | HANGUP)
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            poller.unregister(sock.fileno())

    def test_many_descriptors(self, poller: Poller) -> None:
        pairs = [socket.socketpair() for _ in range(200)]
        try:
            for left, _ in pairs:
                poller.register(left.fileno(), READ)
            assert list(poller.poll(0)) == []
            for _, right in pairs[::3]:
                right.send(b"x")
            assert dict(poller.poll(1)) == {left.fileno(): READ for left, _ in pairs[::3]}
            for left, _ in pairs[::2]:
                poller.unregister(left.fileno())
            expected = {left.fileno() for left, _ in pairs[::3]}
            expected -= {left.fileno() for left, _ in pairs[::2]}
            assert {fd for fd, _ in poller.poll(0)} == expected
        finally:
            for left, right in pairs:
                left.close()
                right.close()

    # --- a peer that goes ------------------------------------------------------------------

    def test_end_of_stream_is_readable(self, poller: Poller, pair: Pair) -> None:
        poller.register(pair[0].fileno(), READ)
        pair[1].shutdown(socket.SHUT_WR)
        assert dict(poller.poll(1)) == {pair[0].fileno(): READ}
        assert pair[0].recv(1) == b""

    @pytest.mark.parametrize("interest", [READ, READ | WRITE])
    def test_hangup_still_says_read(self, poller: Poller, pair: Pair, interest: int) -> None:
        """What was sent before the end can be had: READ must be among the flags."""
        poller.register(pair[0].fileno(), interest)
        pair[1].send(b"last words")
        pair[1].close()
        flags = dict(poller.poll(1))[pair[0].fileno()]
        assert flags & READ
        assert flags & ~(READ | WRITE | HANGUP) == 0
        assert pair[0].recv(100) == b"last words"

    def test_hangup_wakes_who_waits_to_write(self, poller: Poller, pair: Pair) -> None:
        fill(pair[0])
        poller.register(pair[0].fileno(), WRITE)
        assert list(poller.poll(0)) == []
        pair[1].close()
        assert dict(poller.poll(1))[pair[0].fileno()] & (WRITE | HANGUP | ERROR)

    def test_a_reset_wakes_who_waits_to_read(self, poller: Poller) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            client = socket.create_connection(listener.getsockname())
            server, _ = listener.accept()
        with server:
            poller.register(server.fileno(), READ)
            reset(client)
            assert dict(poller.poll(5))[server.fileno()] & (READ | ERROR | HANGUP)
            poller.unregister(server.fileno())

    # --- time ------------------------------------------------------------------------------

    def test_zero_does_not_wait(self, poller: Poller, pair: Pair) -> None:
        poller.register(pair[0].fileno(), READ)
        assert list(poller.poll(0)) == []

    def test_never_returns_before_the_timeout(self, poller: Poller, pair: Pair) -> None:
        """Rounded up: rounded down to whole milliseconds, the rest would be a busy loop."""
        poller.register(pair[0].fileno(), READ)
        for timeout in (0.0004, 0.0014, 0.0101):
            began = time.monotonic()
            assert list(poller.poll(timeout)) == []
            assert time.monotonic() - began >= timeout

    def test_none_waits_until_something_is_ready(self, poller: Poller, pair: Pair) -> None:
        poller.register(pair[0].fileno(), READ)
        timer = threading.Timer(0.02, pair[1].send, (b"x",))
        timer.start()
        assert dict(poller.poll(None)) == {pair[0].fileno(): READ}
        timer.join()

    def test_none_with_something_ready(self, poller: Poller, pair: Pair) -> None:
        poller.register(pair[0].fileno(), WRITE)
        assert dict(poller.poll(None)) == {pair[0].fileno(): WRITE}

    def test_a_signal_does_not_end_the_wait(self, poller: Poller, pair: Pair) -> None:
        heard: list[int] = []
        before = signal.signal(signal.SIGUSR1, lambda number, _: heard.append(number))
        main = threading.get_ident()
        poller.register(pair[0].fileno(), READ)
        timers = [
            threading.Timer(0.01, signal.pthread_kill, (main, signal.SIGUSR1)),
            threading.Timer(0.05, pair[1].send, (b"x",)),
        ]
        try:
            for timer in timers:
                timer.start()
            assert dict(poller.poll(None)) == {pair[0].fileno(): READ}
        finally:
            for timer in timers:
                timer.join()
            signal.signal(signal.SIGUSR1, before)
        assert heard

    # --- the end -----------------------------------------------------------------------------

    def test_close_twice(self, pair: Pair) -> None:
        poller = self.make()
        poller.register(pair[0].fileno(), READ)
        poller.close()
        poller.close()

    def test_close_returns_its_descriptor(self) -> None:
        before = lowest_free()
        poller = self.make()
        poller.close()
        assert lowest_free() == before

    def test_nothing_registered(self, poller: Poller) -> None:
        assert list(poller.poll(0)) == []
        assert list(poller.poll(0.001)) == []
