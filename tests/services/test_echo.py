"""Echo over streams (RFC 862)."""

from __future__ import annotations

import socket
import typing as t

from jackfield.server import Server
from jackfield.services import ServiceOptions, make
from jackfield.services.echo import Echo


def test_what_comes_is_sent_back(connect: t.Any) -> None:
    echo = Echo()
    transport = connect(echo)
    assert transport.take() == b""
    for block in (b"hello", b"\0\xff\r\n", b"x" * 100_000):
        echo.data_received(block)
        assert transport.take() == block


def test_it_greets_and_then_echoes(connect: t.Any) -> None:
    echo = make("echo", ServiceOptions(greeting="Hello, Zoë")).stream()
    transport = connect(echo)
    assert transport.take() == "Hello, Zoë\r\n".encode()
    echo.data_received(b"hi")
    assert transport.take() == b"hi"


def test_what_came_before_the_half_close_is_sent_back_and_then_it_ends() -> None:
    factory = make("echo", ServiceOptions(greeting="Hello")).stream
    with (
        Server("tcp://127.0.0.1:0", factory) as server,
        socket.create_connection(t.cast(t.Any, server.addresses[0].sockaddr), timeout=10) as client,
    ):
        client.sendall(b"last words")
        client.shutdown(socket.SHUT_WR)
        with client.makefile("rb") as stream:
            assert stream.read() == b"Hello\r\nlast words"
