"""Echo: greet, then send back whatever comes (RFC 862). The smallest whole program.

Sans-I/O: knows no socket, engine or clock. Its datagram twin is in ``small_datagrams``.
"""

from __future__ import annotations

import typing as t

from jackfield.protocol import Protocol


class Echo(Protocol):
    """Sends ``greeting`` (bytes, may be empty) on connect, and every received byte back.

    On the peer's half-close, what is left to send is flushed before the connection closes.
    """

    __slots__ = ("_greeting", "_transport")

    def __init__(self, greeting: bytes = b"") -> None:
        self._greeting = greeting

    def connection_made(self, transport: t.Any) -> None:
        self._transport = transport
        if self._greeting:
            transport.write(self._greeting)

    def data_received(self, data: bytes) -> None:
        self._transport.write(data)
