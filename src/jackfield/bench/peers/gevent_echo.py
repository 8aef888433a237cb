"""The peer "gevent": an echo with StreamServer, one greenlet per connection."""

from __future__ import annotations

import contextlib
import socket

import gevent
import gevent.socket
from gevent.server import StreamServer

from jackfield.bench.peers.listening import BACKLOG, announce, port

BLOCK = 65536
"""Bytes of one receive, as on asyncio's transports within a factor of four."""


def echo(connection: gevent.socket.socket, address: tuple[str, int]) -> None:
    """Send back what arrives, until the client ends or is gone."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # as asyncio does
    with contextlib.suppress(ConnectionError):
        while data := connection.recv(BLOCK):
            connection.sendall(data)


if __name__ == "__main__":
    # A raw greenlet is the lighter one: nothing waits for a connection's end.
    server = StreamServer(("127.0.0.1", port()), echo, backlog=BACKLOG, spawn=gevent.spawn_raw)
    server.start()
    announce("tcp", server.address)
    server.serve_forever()
