"""Protocols that bring their own buffer, under a running engine: asyncio's contract for them."""

from __future__ import annotations

import asyncio
import random
import socket
import threading
import typing as t

import pytest
from tests.contracts.running import Echo, Serve
from tests.support import receive, receive_all

from jackfield import limits

LARGE = 2 * 1024 * 1024


class Filled(asyncio.BufferedProtocol):
    """Echoes by way of a buffer of ``size`` bytes; asyncio's own kind, so that both are served."""

    def __init__(self, size: int = 100) -> None:
        self.buffer = bytearray(size)
        self.hints: list[int] = []
        self.calls: list[str] = []
        self.lost: list[BaseException | None] = []
        self.over = threading.Event()
        self.transport: t.Any = None

    def connection_made(self, transport: t.Any) -> None:
        self.transport = transport

    def get_buffer(self, sizehint: int) -> bytearray:
        self.hints.append(sizehint)
        self.calls.append("get")
        return self.buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.calls.append("updated")
        self.transport.write(bytes(self.buffer[:nbytes]))

    def connection_lost(self, exc: BaseException | None) -> None:
        self.lost.append(exc)
        self.over.set()

    def await_lost(self) -> BaseException | None:
        assert self.over.wait(20)
        (exc,) = self.lost
        return exc


class BufferedContract:
    """Mixed into a suite with ``serve``."""

    @pytest.mark.parametrize("size", [1, 100, limits.RECEIVE_SIZE, 1_000_000])
    def test_every_byte_by_way_of_a_buffer(self, serve: Serve, size: int) -> None:
        server = Filled(size)
        client = serve(lambda: server).dial()
        data = random.Random(size).randbytes(min(LARGE, 2000 * size))
        sender = threading.Thread(target=client.sendall, args=(data,))
        sender.start()
        assert receive(client, len(data)) == data
        sender.join()
        client.shutdown(socket.SHUT_WR)
        assert receive_all(client) == b""
        assert server.await_lost() is None
        updates = server.calls.count("updated")
        assert "updated,updated" not in ",".join(server.calls)
        assert updates >= len(data) / max(size, 1)
        assert all(hint > 0 for hint in server.hints)

    def test_a_buffer_may_be_another_each_time_and_be_resized(self, serve: Serve) -> None:
        class Growing(Filled):
            def buffer_updated(self, nbytes: int) -> None:
                super().buffer_updated(nbytes)
                self.buffer.append(0)  # BufferError while somebody still holds a view

        server = Growing(1)
        client = serve(lambda: server).dial()
        client.sendall(b"one and two and three")
        assert receive(client, 21) == b"one and two and three"
        assert len(server.buffer) > 3

    @pytest.mark.parametrize("buffer", [b"", "text", b"read only", None])
    def test_what_is_no_buffer_ends_the_connection(self, serve: Serve, buffer: t.Any) -> None:
        server = Filled()
        server.buffer = buffer
        running = serve(lambda: server)
        client = running.dial()
        client.sendall(b"x")
        assert isinstance(server.await_lost(), (RuntimeError, TypeError, BufferError))
        after = running.dial()
        assert after.fileno() >= 0

    def test_a_failing_callback_ends_the_connection(self, serve: Serve) -> None:
        class Fails(Filled):
            def buffer_updated(self, nbytes: int) -> None:
                raise ZeroDivisionError

        server = Fails()
        client = serve(lambda: server).dial()
        client.sendall(b"x")
        assert isinstance(server.await_lost(), ZeroDivisionError)

    def test_nothing_is_filled_in_after_close(self, serve: Serve) -> None:
        class Closes(Filled):
            def buffer_updated(self, nbytes: int) -> None:
                super().buffer_updated(nbytes)
                self.transport.close()

        server = Closes(4)
        client = serve(lambda: server).dial()
        client.sendall(b"fourfive")
        assert receive_all(client) == b"four"
        assert server.await_lost() is None
        assert server.calls.count("updated") == 1

    def test_one_kind_after_the_other(self, serve: Serve) -> None:
        """``set_protocol`` changes what the bytes are handed to."""
        running = serve(Echo)
        client, first = running.meet()
        client.sendall(b"bytes")
        assert receive(client, 5) == b"bytes"
        filled = Filled(3)
        filled.transport = first.transport
        running.call(first.transport.set_protocol, filled)
        client.sendall(b"buffer")
        assert receive(client, 6) == b"buffer"
        assert filled.calls.count("updated") >= 2
        running.call(first.transport.set_protocol, first)
        client.sendall(b"bytes")
        assert receive(client, 5) == b"bytes"
        assert filled.calls.count("updated") == 2
