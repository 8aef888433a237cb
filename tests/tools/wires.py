"""A session between pipes, in a thread, with the other ends in the test's hands."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import threading
import time
import typing as t
from collections.abc import Callable, Iterator
from concurrent.futures import Future

from jackfield import pollers
from jackfield.tools.session import Session

Kind = t.TypeVar("Kind", bound=Session)

PATIENCE: t.Final = 10.0
"""Seconds until a test that waits has failed."""


def until(condition: Callable[[], bool]) -> None:
    """Wait until ``condition`` holds; fail if it never does."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.001)


def read_some(fd: int) -> bytes:
    """What a pipe or terminal has next; b"" at its end. Fails if nothing comes."""
    assert select.select([fd], [], [], PATIENCE)[0], "nothing came"
    return os.read(fd, 65536)


def read_all(fd: int) -> bytes:
    """Everything up to the end of a pipe."""
    return b"".join(iter(lambda: read_some(fd), b""))


def receive_all(sock: socket.socket) -> bytes:
    """Everything up to the end of a stream."""
    return b"".join(iter(lambda: sock.recv(65536), b""))


class Watching:
    """A poller that calls ``look(interests)`` before every wait."""

    def __init__(self, name: str) -> None:
        self._poller = pollers.make(name)
        self.interests: dict[int, int] = {}
        self.look: Callable[[dict[int, int]], object] = lambda interests: None

    def register(self, fd: int, interest: int) -> None:
        self._poller.register(fd, interest)
        self.interests[fd] = interest

    def modify(self, fd: int, interest: int) -> None:
        self._poller.modify(fd, interest)
        self.interests[fd] = interest

    def unregister(self, fd: int) -> None:
        self._poller.unregister(fd)
        del self.interests[fd]

    def poll(self, timeout: float | None) -> pollers.Ready:
        self.look(self.interests)
        return self._poller.poll(timeout)

    def close(self) -> None:
        self._poller.close()


class Wires:
    """Pipes for input and output, a pair of sockets, and the session's end in a thread.

    ``typing`` and ``shown`` are the far ends of the pipes, ``peer`` that of the socket.
    """

    def __init__(self, near: socket.socket, peer: socket.socket, poller: str = "select") -> None:
        near.setblocking(False)
        peer.settimeout(PATIENCE)
        self.near, self.peer = near, peer
        self.input_fd, self.typing = os.pipe()
        self.shown, self.output_fd = os.pipe()
        self.poller = Watching(poller)
        self._running: Future[None] | None = None

    def make(self, kind: Callable[..., Kind], **options: t.Any) -> Kind:
        """A session between these wires, to be run."""
        return kind(self.near, self.input_fd, self.output_fd, self.poller, **options)

    def start(self, kind: Callable[..., Session], **options: t.Any) -> None:
        """Make a session and run it in the thread."""
        self.run(self.make(kind, **options))

    def run(self, session: Session) -> None:
        """Run ``session`` in the thread; then close the output, as a program's exit does."""
        running: Future[None]
        running = self._running = Future()

        def run() -> None:
            failure: BaseException | None = None
            try:
                session.run()
            except BaseException as exc:
                failure = exc
            self._close("output_fd")
            running.set_exception(failure) if failure else running.set_result(None)

        threading.Thread(target=run, daemon=True).start()

    def finish(self) -> None:
        """Wait for its end; raises what it raised."""
        assert self._running is not None
        self._running.result(PATIENCE)

    def output(self) -> bytes:
        """All that is shown up to the session's end."""
        return read_all(self.shown)

    def type(self, data: bytes) -> None:
        os.write(self.typing, data)

    def end_input(self) -> None:
        self._close("typing")

    def stop_reading(self) -> None:
        self._close("shown")

    def use_input(self, fd: int) -> None:
        """Give the session another input than the pipe."""
        self._close("input_fd")
        self.input_fd = fd

    def use_output(self, fd: int) -> None:
        self._close("output_fd")
        self.output_fd = fd

    def _close(self, name: str) -> None:
        fd = getattr(self, name)
        if fd >= 0:
            os.close(fd)
            setattr(self, name, -1)

    def close(self) -> None:
        """End the session if it still runs, by ending its peer and its input."""
        self.end_input()
        self.stop_reading()
        self.peer.close()
        if self._running is not None:
            self._running.exception(PATIENCE)
        self.near.close()
        self.poller.close()
        self._close("input_fd")
        self._close("output_fd")


@contextlib.contextmanager
def tcp_pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two ends of one TCP connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        near = socket.create_connection(listener.getsockname())
        peer, _ = listener.accept()
    with near, peer:
        yield near, peer


@contextlib.contextmanager
def udp_pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two UDP sockets, each connected to the other."""
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as near,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer,
    ):
        near.bind(("127.0.0.1", 0))
        peer.bind(("127.0.0.1", 0))
        near.connect(peer.getsockname())
        peer.connect(near.getsockname())
        yield near, peer
