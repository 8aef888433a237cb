"""Real TCP traffic on loopback for ``jackfield wire``: in order, lossy, stalled, refused, reset.

Loss is made where it needs no privilege: a filter on a TCP socket drops a part of what arrives
there, behind the place where captures look.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
import struct
import sys
import threading
import typing as t
from collections.abc import Callable, Iterator

import pytest
from tests.support import PATIENCE, fill, receive, receive_all, reset, until

from jackfield.capture import bpf, frames
from jackfield.capture.frames import Frame
from jackfield.errors import JackfieldError
from jackfield.kernel.packets import LOOPBACK, PacketSocket

HOST: t.Final = f"127.77.{os.getpid() >> 8 & 255}.{os.getpid() & 255 or 1}"
"""Nobody else's address on loopback: what is captured there is ours."""

SO_ATTACH_FILTER: t.Final = 26
SKF_AD_RANDOM: t.Final = 0xFFFFF000 + 56  # linux/filter.h


class Capture:
    """A packet socket on loopback, and what it has heard so far."""

    def __init__(self, sock: PacketSocket) -> None:
        self._socket = sock
        self.frames: list[Frame] = []

    def read(self) -> list[Frame]:
        while batch := list(self._socket.read()):
            self.frames += batch
        assert self._socket.count_drops() == 0
        return self.frames

    def until(self, condition: Callable[[list[Frame]], object]) -> None:
        """Go on reading until ``condition`` holds for all frames."""
        until(lambda: condition(self.read()))


@contextlib.contextmanager
def capturing(*places: bpf.Place) -> Iterator[Capture]:
    """Capture what goes from or to ``places`` on loopback. Skips where that is not permitted."""
    if sys.platform != "linux":
        pytest.skip("packet sockets are Linux's")
    try:
        sock = PacketSocket(LOOPBACK, places)
    except JackfieldError as exc:
        pytest.skip(f"cannot capture: {exc}")
    with sock:
        yield Capture(sock)


def listener(host: str = HOST) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.create_server((host, 0), family=family)
    sock.settimeout(PATIENCE)
    return sock


@contextlib.contextmanager
def pair(
    host: str = HOST, receive_buffer: int = 0
) -> Iterator[tuple[socket.socket, socket.socket]]:
    """A client and what was accepted of it; both are closed at the end."""
    with listener(host) as door:
        if receive_buffer:
            door.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        client = socket.create_connection(door.getsockname()[:2], timeout=PATIENCE)
        server, _ = door.accept()
    with client, server:
        client.settimeout(PATIENCE)
        server.settimeout(PATIENCE)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield client, server


def lose(sock: socket.socket, share: float) -> None:
    """Drop ``share`` of the segments that reach a TCP socket, as a bad line would."""
    program = [
        (0x20, 0, 0, SKF_AD_RANDOM),
        (0x25, 0, 1, int(share * 0xFFFFFFFF)),  # jump if greater
        (0x06, 0, 0, frames.SNAPLEN),
        (0x06, 0, 0, 0),
    ]
    code = ctypes.create_string_buffer(bpf.packed(program))
    where = struct.pack("@HP", len(program), ctypes.addressof(code))
    sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, where)


# --- what happens ------------------------------------------------------------------------------


def conversation(host: str = HOST) -> None:
    """A handshake, data in both directions, the client's end, the server's end."""
    with pair(host) as (client, server):
        client.sendall(b"hello\n")
        server.sendall(receive(server, 6).upper())
        assert receive(client, 6) == b"HELLO\n"
        client.shutdown(socket.SHUT_WR)
        assert server.recv(1) == b""
        server.sendall(b"bye\n")
        server.close()
        assert receive_all(client) == b"bye\n"


def refusal(host: str = HOST) -> None:
    with listener(host) as door:
        address = door.getsockname()[:2]
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address)


def hang_up() -> None:
    with pair() as (client, server):
        client.sendall(b"never mind")
        receive(server, 10)
        reset(client)


def bad_line(share: float = 0.15, writes: int = 150) -> None:
    """Many small writes, of which some are lost on the way there, and some answers, too."""
    with pair() as (client, server):
        lose(server, share)
        lose(client, share / 2)
        got: list[bytes] = []
        reader = threading.Thread(target=lambda: got.append(receive(server, 700 * writes)))
        reader.start()
        for number in range(writes):
            client.sendall(bytes([number & 255]) * 700)
        reader.join(PATIENCE)
        assert sum(map(len, got)) == 700 * writes


def stall(window_closed: Callable[[], None]) -> None:
    """The server does not read: its window closes, is probed, and opens again."""
    with pair(receive_buffer=4096) as (client, server):
        client.setblocking(False)
        sent = fill(client)
        window_closed()
        client.settimeout(PATIENCE)
        assert len(receive(server, sent)) == sent
        client.sendall(b"on we go")
        assert receive(server, 8) == b"on we go"
