"""A conversation over a stream, with a peer and a reader that are slow, gone or rude."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import struct
import sys
import tempfile
import threading
import typing as t
from collections.abc import Iterator

import pytest
from tests.tools.wires import PATIENCE, Wires, read_some, receive_all, tcp_pair, until

from jackfield import limits, pollers
from jackfield.errors import ConnectError
from jackfield.pollers import READ
from jackfield.tools.stream_session import StreamSession

MUCH = bytes(range(256)) * (4 * 1024 * 1024 // 256)
"""More than all buffers on the way together."""

BOUND = limits.HIGH_WATER + limits.RECEIVE_SIZE
"""What may wait on either side: the mark, and one read that passed it."""

AVAILABLE = [name for name in pollers.NAMES if pollers.missing(name) is None]


@pytest.fixture(params=AVAILABLE)
def wires(request: pytest.FixtureRequest) -> Iterator[Wires]:
    """Under every poller: with pipes and sockets even epoll will do."""
    wires = Wires(*socket.socketpair(), request.param)
    yield wires
    wires.close()


@pytest.fixture
def selecting() -> Iterator[Wires]:
    """Under the poller that takes files too."""
    wires = Wires(*socket.socketpair(), "select")
    yield wires
    wires.close()


@contextlib.contextmanager
def much_input(wires: Wires) -> Iterator[t.IO[bytes]]:
    """Input from a file, whose position tells how much of it was read."""
    with tempfile.TemporaryFile() as file:
        file.write(MUCH)
        file.flush()
        file.seek(0)
        wires.use_input(os.dup(file.fileno()))
        yield file


def test_input_reaches_the_peer_and_its_words_the_output(wires: Wires) -> None:
    wires.start(StreamSession)
    wires.type(b"ping\n")
    assert wires.peer.recv(100) == b"ping\n"
    wires.peer.sendall(b"po\x1bng\xff\n")
    wires.peer.close()
    assert wires.output() == b"po\x1bng\xff\n"
    wires.finish()


def test_the_end_of_input_half_closes_and_the_peer_has_the_last_word(wires: Wires) -> None:
    wires.start(StreamSession)
    wires.type(b"all of it")
    wires.end_input()
    assert receive_all(wires.peer) == b"all of it"
    wires.peer.sendall(b"now I answer")
    wires.peer.close()
    assert wires.output() == b"now I answer"
    wires.finish()


def test_the_peers_end_ends_it_although_input_is_open(wires: Wires) -> None:
    wires.start(StreamSession)
    wires.peer.sendall(b"bye")
    wires.peer.close()
    assert wires.output() == b"bye"
    wires.finish()


def test_the_poller_and_descriptors_are_given_back(wires: Wires) -> None:
    def flags() -> list[int]:
        return [fcntl.fcntl(fd, fcntl.F_GETFL) for fd in (wires.input_fd, wires.output_fd)]

    before = flags()
    wires.start(StreamSession)
    wires.peer.sendall(b"x")
    assert read_some(wires.shown) == b"x"
    assert flags() == before, "the descriptors are shared: O_NONBLOCK must not be set"
    wires.peer.close()
    wires.finish()
    assert wires.poller.interests == {}


def test_a_slow_peer_stops_the_input_and_loses_nothing(selecting: Wires) -> None:
    with much_input(selecting) as file:
        paused = threading.Event()
        waiting: list[int] = []
        session = selecting.make(StreamSession)

        def look(interests: dict[int, int]) -> None:
            waiting.append(session._outbox.size)
            if selecting.input_fd not in interests:
                paused.set()

        selecting.poller.look = look
        selecting.run(session)
        assert paused.wait(PATIENCE)
        assert file.tell() < len(MUCH) / 2
        assert receive_all(selecting.peer) == MUCH
        selecting.peer.close()
        selecting.finish()
        assert max(waiting) <= BOUND


def test_the_half_close_waits_for_what_was_not_sent_yet(wires: Wires) -> None:
    wires.near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    session = wires.make(StreamSession)
    wires.type(MUCH[:60_000])  # within a pipe's room
    wires.end_input()
    wires.run(session)
    until(lambda: not session._input_open)
    assert session._outbox.size > 0
    assert receive_all(wires.peer) == MUCH[:60_000]


def test_a_slow_reader_stops_the_peer_and_loses_nothing(wires: Wires) -> None:
    paused = threading.Event()
    waiting: list[int] = []
    session = wires.make(StreamSession)

    def look(interests: dict[int, int]) -> None:
        waiting.append(session._printing.size)
        if not interests.get(wires.near.fileno(), 0) & READ:
            paused.set()

    wires.poller.look = look
    wires.run(session)

    def say() -> None:
        wires.peer.sendall(MUCH)
        wires.peer.close()

    speaker = threading.Thread(target=say)
    speaker.start()
    assert paused.wait(PATIENCE)
    assert wires.output() == MUCH
    wires.finish()
    speaker.join()
    assert max(waiting) <= BOUND


def test_nobody_reads_the_output_any_more(wires: Wires) -> None:
    wires.start(StreamSession)
    wires.peer.sendall(b"first line\n")
    assert read_some(wires.shown) == b"first line\n"
    wires.stop_reading()
    if isinstance(wires.poller._poller, type(pollers.make("select"))):
        wires.peer.sendall(b"select learns it from a write\n")
    wires.finish()  # and the peer, which says no more, is still there


def test_what_was_said_before_a_reset_is_shown() -> None:
    with tcp_pair() as (near, peer):
        wires = Wires(near, peer)
        peer.sendall(b"last words")
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.close()
        wires.start(StreamSession)
        with pytest.raises(ConnectionResetError):
            wires.finish()
        assert wires.output() == b"last words"
        wires.close()


def test_sending_to_a_peer_that_is_gone_fails_after_its_words(wires: Wires) -> None:
    wires.peer.sendall(b"last words")
    wires.peer.close()
    wires.type(b"too late")
    wires.start(StreamSession)
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        wires.finish()  # no failure if the peer's end was seen before the input
    assert wires.output() == b"last words"


def test_input_that_the_peer_did_not_take_is_a_failure(selecting: Wires) -> None:
    with much_input(selecting):
        session = selecting.make(StreamSession)
        selecting.run(session)
        until(lambda: session._outbox.size > 0)
        selecting.peer.sendall(b"enough")
        selecting.peer.shutdown(socket.SHUT_WR)
        with pytest.raises(BrokenPipeError):
            selecting.finish()
        assert selecting.output() == b"enough"


def test_an_input_without_bytes_ends_at_once(selecting: Wires) -> None:
    selecting.use_input(os.open(os.devnull, os.O_RDONLY))
    selecting.start(StreamSession)
    assert receive_all(selecting.peer) == b""
    selecting.peer.close()
    assert selecting.output() == b""
    selecting.finish()


def test_a_terminal_that_hangs_up_ends_the_input(selecting: Wires) -> None:
    master, slave = os.openpty()
    selecting.use_input(slave)
    selecting.start(StreamSession)
    os.write(master, b"one line\n")
    assert selecting.peer.recv(100) == b"one line\n"
    os.close(master)
    assert receive_all(selecting.peer) == b""


def test_an_input_that_cannot_be_read_is_named_and_the_peer_heard_out(selecting: Wires) -> None:
    selecting.use_input(os.open("/", os.O_RDONLY))
    selecting.start(StreamSession)
    assert receive_all(selecting.peer) == b""
    selecting.peer.sendall(b"and?")
    selecting.peer.close()
    with pytest.raises(ConnectError, match=r"^standard input: .*directory"):
        selecting.finish()
    assert selecting.output() == b"and?"


@pytest.mark.skipif(sys.platform != "linux", reason="/dev/full is Linux's")
def test_an_output_that_is_full_is_named(selecting: Wires) -> None:
    selecting.use_output(os.open("/dev/full", os.O_WRONLY))
    selecting.start(StreamSession)
    selecting.peer.sendall(b"x")
    with pytest.raises(ConnectError, match=r"^standard output: No space left"):
        selecting.finish()
