"""People at the line door, typing and reading by hand."""

from __future__ import annotations

import typing as t

from jackfield.services.chat import names
from jackfield.services.chat.line_door import LineDoor
from jackfield.services.chat.replica import ChatReplica


class Person:
    """One connection: ``type`` a line, ``read`` the lines that came since."""

    def __init__(self, door: LineDoor, transport: t.Any) -> None:
        self.door = door
        self.transport = transport

    @property
    def engine(self) -> t.Any:
        return self.transport.engine

    def send(self, data: bytes) -> None:
        """Bytes, as a transport delivers them: nothing any more once it is closing."""
        if not self.transport.closing:
            self.door.data_received(data)

    def type(self, *lines: str) -> None:
        for line in lines:
            self.send(line.encode() + b"\r\n")
            self.engine.settle()

    def read_bytes(self) -> bytes:
        self.engine.settle()
        return bytes(self.transport.take())

    def read(self) -> list[str]:
        data = self.read_bytes()
        assert not data or data.endswith(b"\r\n")
        return data.decode().split("\r\n")[:-1]

    def ask(self, *lines: str) -> list[str]:
        """Type, and read what came of it alone."""
        self.read()
        self.type(*lines)
        return self.read()

    def leave(self) -> None:
        """The connection breaks."""
        self.transport.closing = True
        self.door.connection_lost(None)
        self.engine.settle()


def check_tables(replica: ChatReplica) -> None:
    """Whatever happened: who is where, seen from users and from rooms, is the same."""
    chat = replica.chat
    users, by_id, rooms = chat._users, chat._by_id, chat._rooms
    assert {user.id: user for user in users.values()} == by_id
    assert len(users) == len(by_id)
    for key, room in rooms.items():
        assert key == names.fold(room.name)
        assert room.users or key == "lobby"
        assert all(room.users[names.fold(user.name)] is user for user in room.users.values())
        assert all(user.rooms.get(key) is room for user in room.users.values())
        assert set(room.room) == {user.transport for user in room.users.values()}
    for key, user in users.items():
        assert key == names.fold(user.name)
        assert all(rooms.get(k) is room for k, room in user.rooms.items())
        assert all(room.users.get(key) is user for room in user.rooms.values())
    assert "lobby" in rooms
