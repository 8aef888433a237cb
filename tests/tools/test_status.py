"""The status line: when asked by a signal, and every so many seconds."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys

import pytest
from tests.cli.process import Serving
from tests.support import receive, until

from jackfield.address import Endpoint
from jackfield.engines import Statistics
from jackfield.kernel.options import backlog_length
from jackfield.kernel.sockets import listen_all
from jackfield.tools.status import Status

ANY = "tcp://127.0.0.1:0"
NAMED = f"unix:@jackfield-status-{os.getpid()}"


class Engine:
    """Counts, and remembers what it is to call."""

    def __init__(self) -> None:
        self.later: list[tuple[float, object, float]] = []

    def statistics(self) -> Statistics:
        return Statistics(accepted=12, refused=2, connections=3)

    def call_later(self, delay: float, callback: object, argument: float) -> None:
        self.later.append((delay, callback, argument))


def test_a_line_whatever_the_log_level(caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("jackfield").setLevel(logging.WARNING)
    try:
        Status("epoll", Engine(), []).say()
    finally:
        logging.getLogger("jackfield").setLevel(logging.NOTSET)
    assert caplog.messages == ["status engine=epoll accepted=12 waiting=- refused=2 connections=3"]


def test_again_and_again(caplog: pytest.LogCaptureFixture) -> None:
    engine = Engine()
    status = Status("epoll", engine, [])
    status.repeat(5)
    for number in range(3):
        delay, callback, argument = engine.later[-1]
        assert delay == argument == 5
        assert len(caplog.messages) == number
        callback(argument)  # type: ignore[operator]


@pytest.mark.skipif(sys.platform != "linux", reason="Linux tells how long the backlog is")
def test_who_waits_at_all_listeners_together() -> None:
    listeners = [listen_all(Endpoint.parse(where), 10)[0] for where in (ANY, NAMED)]
    clients = [socket.socket(listeners[number].sock.family) for number in (0, 0, 1)]
    try:
        for number, client in zip((0, 0, 1), clients, strict=True):
            client.connect(listeners[number].sock.getsockname())
        until(lambda: [backlog_length(one.sock) for one in listeners] == [2, 1])
        assert " waiting=3 " in Status("epoll", Engine(), listeners).line()
        listeners[0].close()
        assert " waiting=1 " in Status("epoll", Engine(), listeners).line()
    finally:
        for client in clients:
            client.close()
        for listener in listeners:
            listener.close()


@pytest.mark.skipif(sys.platform != "linux", reason="Linux tells how long the backlog is")
def test_a_signal_asks_for_it() -> None:
    with Serving("serve", "echo", "--engine", "iterative", "--log-level", "warning", ANY) as server:
        port = server.port()
        with server.connect(port) as first, server.connect(port):
            first.sendall(b"x")
            assert receive(first, 1) == b"x"
            server.process.send_signal(signal.SIGUSR1)
            server.expect("status engine=iterative accepted=1 waiting=1 refused=0 connections=1")
        assert server.terminate() == 0


def test_every_so_many_seconds() -> None:
    with Serving("serve", "echo", "--engine", "thread", "--status", "0.01", ANY) as server:
        port = server.port()
        with server.connect(port) as client:
            client.sendall(b"x")
            for _ in range(2):
                server.expect(
                    r"status engine=thread accepted=1 waiting=\S+ refused=0 connections=1"
                )
        assert server.terminate() == 0


def test_the_options_of_threads() -> None:
    options = ("--engine", "thread", "--threads-max", "1", "--thread-stack", str(1 << 20))
    with Serving("serve", "echo", *options, "--max-per-second", "100", ANY) as server:
        port = server.port()
        with server.connect(port) as first, server.connect(port) as second:
            first.sendall(b"x")
            assert receive(first, 1) == b"x"
            second.sendall(b"y")
            first.close()
            assert receive(second, 1) == b"y"
    with Serving("serve", "echo", "--engine", "thread", "--thread-stack", "5", ANY) as server:
        assert server.ended() == 2
        (line,) = server.said
        assert line.startswith("jackfield: thread_stack 5: ")
