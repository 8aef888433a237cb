"""A socket that waits when it is read and never when it is written."""

from __future__ import annotations

import errno
import socket
import threading
from collections.abc import Iterator

import pytest
from tests.support import PATIENCE, fill, reset

from jackfield.kernel.blocking import BlockingSocket

Pair = tuple[BlockingSocket, socket.socket]


@pytest.fixture(params=["tcp", "unix"])
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    if request.param == "unix":
        accepted, peer = socket.socketpair()
    else:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            peer = socket.create_connection(listener.getsockname())
            accepted = listener.accept()[0]
    accepted.setblocking(False)
    fd = accepted.fileno()
    sock = BlockingSocket.take_over(accepted)
    assert (sock.fileno(), accepted.fileno()) == (fd, -1)
    peer.settimeout(PATIENCE)
    with sock, peer:
        yield sock, peer


def in_thread(what: object) -> tuple[threading.Thread, list[object]]:
    """Call ``what()`` in a thread; it, and what came of it."""
    results: list[object] = []

    def work() -> None:
        try:
            results.append(what())  # type: ignore[operator]
        except OSError as exc:
            results.append(exc.errno)

    thread = threading.Thread(target=work)
    thread.start()
    return thread, results


def test_waiting_takes_nothing(pair: Pair) -> None:
    sock, peer = pair
    assert not sock.has_input()
    thread, results = in_thread(sock.wait_for_input)
    peer.sendall(b"hello")
    thread.join(PATIENCE)
    assert results == [None]
    assert sock.has_input()
    assert sock.recv(10) == b"hello"
    assert not sock.has_input()


def test_the_end_of_the_stream_is_input(pair: Pair) -> None:
    sock, peer = pair
    peer.shutdown(socket.SHUT_WR)
    sock.wait_for_input()
    assert sock.has_input()
    assert sock.recv(10) == b""


def test_a_reset_is_raised_to_who_waits() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        peer = socket.create_connection(listener.getsockname())
        sock = BlockingSocket.take_over(listener.accept()[0])
    with sock:
        thread, results = in_thread(sock.wait_for_input)
        reset(peer)
        thread.join(PATIENCE)
        assert results == [errno.ECONNRESET]


def test_sending_does_not_wait(pair: Pair) -> None:
    sock, _ = pair
    assert fill(sock) > 0
    with pytest.raises(BlockingIOError):
        sock.send(b"x" * 65536)
    with pytest.raises(BlockingIOError):
        sock.sendmsg([b"x" * 65536])


def test_room_is_waited_for(pair: Pair) -> None:
    sock, peer = pair
    sent = fill(sock)
    thread, results = in_thread(sock.wait_for_room)
    received = 0
    while received < sent:
        received += len(peer.recv(1 << 16))
    thread.join(PATIENCE)
    assert results == [None]
    assert sock.send(b"more") == 4


def test_a_cut_ends_both_waits(pair: Pair) -> None:
    sock, _ = pair
    fill(sock)
    reader, read = in_thread(sock.wait_for_input)
    writer, written = in_thread(sock.wait_for_room)
    sock.cut()
    reader.join(PATIENCE)
    writer.join(PATIENCE)
    assert read == written == [None]
    assert sock.recv(10) == b""
    with pytest.raises(BrokenPipeError):
        sock.send(b"x")
    sock.cut()
