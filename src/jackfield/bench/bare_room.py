"""What fan-out costs jackfield without the chat service around it: a room of bytes.

Served as ``jackfield serve jackfield.bench.bare_room:Everyone``; it does what the limit in C does
(c/limit_room.c), and what examples/room.py shows.
"""

from __future__ import annotations

import typing as t

from jackfield.protocol import Protocol
from jackfield.rooms.room import Room

_room: t.Final = Room()


class Everyone(Protocol):
    """What one sends goes to all."""

    def connection_made(self, transport: t.Any) -> None:
        self._transport = transport
        _room.join(transport)

    def data_received(self, data: bytes) -> None:
        _room.publish(data)

    def connection_lost(self, exc: BaseException | None) -> None:
        _room.leave(self._transport)
