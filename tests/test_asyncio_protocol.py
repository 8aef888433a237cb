"""A protocol written for asyncio, unchanged: the same conversation gives the same bytes.

``KeyValue`` is what somebody had before: it imports asyncio, and knows only its transport.
"""

from __future__ import annotations

import asyncio
import socket
import threading
import typing as t

import pytest
from tests.support import IN_PROCESS, PATIENCE, receive_all, until

from jackfield import Server

LIMIT = 64


class KeyValue(asyncio.Protocol):
    """``set KEY VALUE``, ``get KEY``, ``keys``, ``big COUNT``, ``quit``: a line each."""

    store: t.ClassVar[dict[bytes, bytes]] = {}

    def __init__(self) -> None:
        self.buffer = b""
        self.half_closed = False
        self.events: list[str] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport) or hasattr(transport, "write")
        self.transport = t.cast(asyncio.Transport, transport)
        peer = self.transport.get_extra_info("peername")
        assert peer
        assert self.transport.get_extra_info("nonsense", 5) == 5
        self.transport.write(b"ready\n")

    def data_received(self, data: bytes) -> None:
        *lines, self.buffer = (self.buffer + data).split(b"\n")
        for line in lines:
            if self.transport.is_closing():
                return
            self.obey(line)
        if len(self.buffer) > LIMIT:
            self.transport.writelines([b"error: ", b"line too long\n"])
            self.transport.close()

    def obey(self, line: bytes) -> None:
        match line.split(b" "):
            case [b"set", key, value]:
                self.store[key] = value
                self.transport.write(b"ok\n")
            case [b"get", key]:
                self.transport.write(self.store.get(key, b"none") + b"\n")
            case [b"keys"]:
                self.transport.writelines(key + b"\n" for key in sorted(self.store))
            case [b"big", count]:
                self.transport.write(bytearray(b"." * int(count)))
                self.transport.write(b"\n")
            case [b"eof"]:
                self.transport.write(b"no more from me\n")
                assert self.transport.can_write_eof()
                self.transport.write_eof()
                self.half_closed = True
            case [b"quit"]:
                self.transport.write(b"bye\n")
                self.transport.close()
            case _:
                self.transport.write(b"error: unknown\n")

    def pause_writing(self) -> None:
        self.events.append("pause")
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        self.events.append("resume")
        self.transport.resume_reading()

    def eof_received(self) -> bool:
        self.events.append("eof")
        if not self.half_closed:
            self.transport.write(b"end of input\n")
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.events.append(f"lost {exc}")


CONVERSATIONS: dict[str, list[bytes]] = {
    "lines": [b"set a 1\nget a\nget b\nkeys\nnonsense\nquit\n"],
    "byte by byte": [bytes([byte]) for byte in b"set a 1\nget a\nquit\n"],
    "end of input": [b"set a 1\nge", b"t a\n", b"unfinished"],
    "too long": [b"x" * (LIMIT + 1)],
    "behind quit": [b"quit\nset a 1\nget a\n"],
    "large replies": [b"big 3000000\nget a\n", b"big 2000000\nquit\n"],
    "half-close first": [b"eof\n"],
}


def converse(port: int, parts: list[bytes]) -> bytes:
    """Say each part by itself, half-close, and read to the end."""
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for part in parts:
            client.sendall(part)
        client.shutdown(socket.SHUT_WR)
        return receive_all(client)


def under_asyncio(parts: list[bytes]) -> tuple[bytes, list[str]]:
    """The conversation under asyncio's own loop, in a thread."""
    made: list[KeyValue] = []
    ports: list[int] = []
    ready, done = threading.Event(), threading.Event()

    def factory() -> KeyValue:
        made.append(KeyValue())
        return made[-1]

    async def main() -> None:
        server = await asyncio.get_running_loop().create_server(factory, "127.0.0.1", 0)
        ports.append(server.sockets[0].getsockname()[1])
        ready.set()
        await asyncio.get_running_loop().run_in_executor(None, done.wait, PATIENCE)
        server.close()
        await server.wait_closed()

    thread = threading.Thread(target=asyncio.run, args=(main(),))
    thread.start()
    try:
        assert ready.wait(PATIENCE)
        answer = converse(ports[0], parts)
    finally:
        done.set()
        thread.join(PATIENCE)
    return answer, made[0].events


def under_jackfield(parts: list[bytes], engine: str) -> tuple[bytes, list[str]]:
    made: list[KeyValue] = []

    def factory() -> KeyValue:
        made.append(KeyValue())
        return made[-1]

    with Server("tcp://127.0.0.1:0", factory, engine=engine) as server:
        answer = converse(server.addresses[0].port, parts)
        # It ends by itself, since the client has half-closed: the stop must not be what ends it.
        until(lambda: made[0].events and made[0].events[-1].startswith("lost"))
    return answer, made[0].events


@pytest.mark.parametrize("engine", IN_PROCESS)
@pytest.mark.parametrize("name", CONVERSATIONS)
def test_the_same_bytes(name: str, engine: str) -> None:
    parts = CONVERSATIONS[name]
    KeyValue.store.clear()
    expected, theirs = under_asyncio(parts)
    KeyValue.store.clear()
    answer, ours = under_jackfield(parts, engine)
    assert answer == expected
    assert answer.startswith(b"ready\n")
    if name != "large replies":  # how often it has to pause is the kernel's affair
        assert ours == theirs
    assert ours[-1] == "lost None"
