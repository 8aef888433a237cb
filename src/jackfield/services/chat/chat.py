"""Who is there, in which rooms, and what they do to each other. Knows no door and no socket.

A user is heard through a transport that its door owns; one whose door is in another process has
none here, and is only remembered. Everything depends on what was done before and in which order,
on nothing else: see ``replica``. What is refused is told as ``Refused``, a line for the user.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

from jackfield import limits
from jackfield.protocol import Transport
from jackfield.rooms.room import Room
from jackfield.services.chat import format as looks
from jackfield.services.chat import names


class Refused(Exception):
    """What the user asked cannot be done; the text says why."""


class ChatRoom:
    """A named room and the users in it, by the key of their name."""

    __slots__ = ("name", "room", "users")

    def __init__(self, name: str) -> None:
        self.name = name
        # Not shared: the chat itself is.
        self.room = Room(history=limits.CHAT_HISTORY, shared=False, name=name)
        self.users: dict[str, User] = {}


class User:
    """One person at one door. ``rooms`` in the order of joining; the last is where words go."""

    __slots__ = ("current", "id", "ignoring", "name", "prefix", "rooms", "transport")

    def __init__(self, number: int, name: str, transport: Transport | None) -> None:
        self.id = number
        self.name = name
        self.transport = transport
        self.rooms: dict[str, ChatRoom] = {}
        self.ignoring: set[int] = set()
        self.settle()

    def settle(self) -> None:
        """Name or rooms changed: find anew where words go, and what stands before them."""
        self.current = next(reversed(self.rooms.values()), None)
        room = self.current
        self.prefix = b"" if room is None else looks.speech_prefix(self.name, room.name)

    def write(self, data: bytes) -> None:
        """Send to this user alone, if its door is in this process."""
        if self.transport is not None:
            self.transport.write(data)

    def wants(self, author: object) -> bool:
        """Does this user want to hear ``author`` (a user's id, or None for the server)?"""
        return author not in self.ignoring


class Chat:
    """All users and rooms of one chat service.

    ``answer(user, data)`` is called to send to a user who may be in another process.
    """

    def __init__(self, answer: Callable[[User, bytes], object] = User.write) -> None:
        self._answer = answer
        self._guests = itertools.count(1)
        self._users: dict[str, User] = {}  # by the key of their name
        self._by_id: dict[int, User] = {}
        self._rooms = {names.LOBBY: ChatRoom(names.LOBBY)}  # there before anybody comes

    # --- coming and going --------------------------------------------------------------

    def arrive(self, number: int, transport: Transport | None) -> User:
        """Somebody new, with an id that nobody else has, as a guest, in no room yet."""
        user = User(number, f"guest-{next(self._guests)}", transport)
        self._users[names.fold(user.name)] = user
        self._by_id[number] = user
        return user

    def by_id(self, number: int) -> User | None:
        """The user with this id; None when gone."""
        return self._by_id.get(number)

    @property
    def ids(self) -> list[int]:
        """The ids of all users, in the order of their coming."""
        return list(self._by_id)

    def depart(self, user: User, *, quietly: bool = False) -> None:
        """The user leaves every room, and is gone. ``quietly``: without a word to the rooms."""
        if self._by_id.pop(user.id, None) is None:
            return
        for room in list(user.rooms.values()):
            self._take_out(user, room, quietly=quietly)
        del self._users[names.fold(user.name)]

    def user(self, name: str) -> User:
        """Who is called ``name``. Raises ``Refused`` if nobody is."""
        user = self._users.get(names.fold(name))
        if user is None:
            raise Refused(f"nobody here is called {name}")
        return user

    def rename(self, user: User, name: str) -> None:
        """Give ``user`` a new nickname, and tell every room it is in."""
        why = names.nickname_refusal(name)
        if why is not None:
            raise Refused(why)
        key, old_key, old_name = names.fold(name), names.fold(user.name), user.name
        if self._users.get(key, user) is not user:
            raise Refused(f"{name} is taken")
        del self._users[old_key]
        self._users[key] = user
        user.name = name
        user.settle()
        news = looks.notice(f"{old_name} is now {name}")
        for room in user.rooms.values():
            del room.users[old_key]
            room.users[key] = user
            room.room.publish(news, noise=True)

    # --- rooms -------------------------------------------------------------------------

    @property
    def rooms(self) -> list[ChatRoom]:
        """The lobby, and every room that somebody is in, by name."""
        return [self._rooms[key] for key in sorted(self._rooms)]

    def room(self, name: str) -> ChatRoom:
        """The room called ``name``. Raises ``Refused`` if there is none."""
        room = self._rooms.get(names.fold(name))
        if room is None:
            raise Refused(f"there is no room {name}; /join {name} opens it")
        return room

    def join(self, user: User, name: str) -> ChatRoom:
        """Put ``user`` into the room, which is made if need be, and make it the current one."""
        key = names.fold(name)
        room = user.rooms.pop(key, None)
        if room is not None:  # was in it: now it is the current one
            user.rooms[key] = room
            user.settle()
            return room
        room = self._rooms.get(key) or self._new_room(name)
        if len(user.rooms) >= limits.ROOMS_PER_USER:
            raise Refused(f"you are in {limits.ROOMS_PER_USER} rooms already; /part one first")
        self._rooms[key] = room
        room.users[names.fold(user.name)] = user
        user.rooms[key] = room
        user.settle()
        if user.transport is not None:
            room.room.join(user.transport, wants=user.wants if user.ignoring else None)
        room.room.publish(looks.notice(f"{user.name} joined {room.name}"), noise=True)
        return room

    def _new_room(self, name: str) -> ChatRoom:
        why = names.refusal(name)
        if why is not None:
            raise Refused(why)
        if len(self._rooms) >= limits.ROOMS:
            raise Refused(f"there are {limits.ROOMS} rooms already; /rooms lists them")
        return ChatRoom(name)

    def part(self, user: User, name: str | None = None) -> ChatRoom:
        """Take ``user`` out of the room called ``name``, or of the current one."""
        room = user.current if name is None else user.rooms.get(names.fold(name))
        if room is None:
            raise Refused("you are in no room" if name is None else f"you are not in {name}")
        self._take_out(user, room)
        return room

    def _take_out(self, user: User, room: ChatRoom, *, quietly: bool = False) -> None:
        key = names.fold(room.name)
        del user.rooms[key]
        del room.users[names.fold(user.name)]
        user.settle()
        if user.transport is not None:
            room.room.leave(user.transport)
        if not room.users:
            if key != names.LOBBY:  # the lobby's history outlives its visitors
                del self._rooms[key]
        elif not quietly:
            room.room.publish(looks.notice(f"{user.name} left {room.name}"), noise=True)

    # --- saying ------------------------------------------------------------------------

    def say(self, user: User, words: bytes) -> None:
        """``words`` (UTF-8, checked by the door) to everybody in the current room."""
        room = user.current
        if room is None:
            raise Refused(f"you are in no room; /join {names.LOBBY}")
        room.room.publish(user.prefix + words + looks.END, author=user.id)

    def act(self, user: User, words: str) -> None:
        """``/me``: what the user does, to everybody in the current room."""
        room = user.current
        if room is None:
            raise Refused(f"you are in no room; /join {names.LOBBY}")
        room.room.publish(looks.action(user.name, room.name, words), author=user.id)

    def tell(self, user: User, name: str, words: str) -> None:
        """``/msg``: to one other user alone. The process that has the recipient answers."""
        recipient = self.user(name)
        if recipient.transport is None:
            return
        if recipient.transport.get_write_buffer_size() > limits.LAG_SOFT:
            sorry = f"{recipient.name} is not reading at the moment; nothing was sent"
            self._answer(user, looks.notice(sorry))
            return
        if recipient.wants(user.id):  # who is ignored is not told so
            recipient.write(looks.private(user.name, "you", words))
        self._answer(user, looks.private("you", recipient.name, words))

    def ignore(self, user: User, name: str) -> bool:
        """Stop, or begin again, to hear ``name``. True if it is ignored now."""
        other = self.user(name)
        if other is user:
            raise Refused("you cannot ignore yourself")
        if user.transport is not None:
            for room in user.rooms.values():  # what was said before is judged as before
                room.room.catch_up(user.transport)
        if other.id in user.ignoring:
            user.ignoring.discard(other.id)
        else:
            user.ignoring &= self._by_id.keys()  # those who left free their places
            if len(user.ignoring) >= limits.IGNORED_PER_USER:
                raise Refused(f"you ignore {limits.IGNORED_PER_USER} users already")
            user.ignoring.add(other.id)
        for room in user.rooms.values():
            if user.transport is not None:
                room.room.set_wants(user.transport, user.wants if user.ignoring else None)
        return other.id in user.ignoring
