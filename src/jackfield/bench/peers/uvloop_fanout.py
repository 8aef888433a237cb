"""The peer "uvloop" of fan-out: a chat room with one ``transport.write`` per member and message.

This is how such a room is usually written. It speaks the same line format as jackfield's chat
(``/nick NAME`` sets the name, other lines go to everybody as ``<NAME> text``), so that each
delivery is the same bytes.
"""

from __future__ import annotations

import asyncio
import typing as t

import uvloop

from jackfield.bench.peers.listening import serve

NICK = b"/nick "


class Member(asyncio.Protocol):
    """One connection in the only room there is."""

    __slots__ = ("_name", "_rest", "_transport")

    room: t.ClassVar[set[asyncio.Transport]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = t.cast(asyncio.Transport, transport)
        self._name = self._rest = b""
        self.room.add(self._transport)
        self._transport.write(b"-- welcome\r\n")

    def connection_lost(self, exc: Exception | None) -> None:
        self.room.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            if line.startswith(NICK):
                self._name = line.removeprefix(NICK)
            else:
                self._say(line)

    def _say(self, text: bytes) -> None:
        message = b"<%b> %b\r\n" % (self._name, text)
        for member in self.room:
            member.write(message)


if __name__ == "__main__":
    uvloop.run(serve(Member))
