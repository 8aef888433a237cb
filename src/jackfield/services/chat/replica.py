"""The chat as operations: somebody comes, a line is typed, somebody goes.

Doors submit, ``apply`` does. In a server of one process both are one call. With several, every
process applies the operations of all, in one order, and each answers the users whose doors it has
(``replicated``): so nicknames are unique, and everybody's transcript is the same, wherever a
connection happens to be served. Sans-I/O; must not know what carries the operations.
"""

from __future__ import annotations

import itertools
import struct
import typing as t

from jackfield import replicated
from jackfield.protocol import Transport
from jackfield.replicated import Replicated
from jackfield.services.chat import commands, names
from jackfield.services.chat.chat import Chat, Refused, User

HEADER: t.Final = struct.Struct("!BQ")
"""An operation: its kind and the user's id, then a line (UTF-8) or bytes for the user."""


ENTER, SAY, COMMAND, LEAVE, LEAVE_QUIETLY, ANSWER = range(6)
"""The kinds of operations. ANSWER is bytes from the process of one user to another's user."""

PROCESS_BITS: t.Final = 32
"""A user's id is its process's number and, in the lower bits, a count: unique without asking."""


class Door(t.Protocol):
    """What the chat asks of a door. Called for users of this process only."""

    transport: Transport

    def welcome(self, name: str) -> None:
        """The user has arrived, and is called ``name``."""

    def notify(self, words: str) -> None:
        """The server's words for this user alone."""

    def finished(self) -> None:
        """What the user said was done, and it says nothing more."""

    def dismiss(self) -> None:
        """The user wants to leave: say goodbye and close."""


class ChatReplica(Replicated):
    """One chat service, alike in every process."""

    def __init__(self) -> None:
        super().__init__()
        self.chat = Chat(self._answer)
        self._doors: dict[int, Door] = {}
        self._count = itertools.count(1)

    # --- what doors submit -------------------------------------------------------------

    def enter(self, door: Door) -> int:
        """Somebody comes through ``door``. Returns the id to speak with."""
        number = replicated.process_number() << PROCESS_BITS | next(self._count)
        self._doors[number] = door
        self._submit(ENTER, number)
        return number

    def say(self, number: int, words: bytes) -> None:
        """Words (checked UTF-8) for everybody in the user's room."""
        self._submit(SAY, number, words)

    def command(self, number: int, line: bytes) -> None:
        """A line (checked UTF-8) that begins with a slash."""
        self._submit(COMMAND, number, line)

    def leave(self, number: int, *, quietly: bool = False) -> None:
        """The user is gone. ``quietly``: without a word to its rooms. More than once is once."""
        if self._doors.pop(number, None) is not None:
            self._submit(LEAVE_QUIETLY if quietly else LEAVE, number)

    def finish(self, number: int) -> None:
        """The user will say nothing more: it is gone, and its door finished, when everything
        that it said was done."""
        self._submit(LEAVE, number)

    def name_of(self, number: int) -> str:
        """What the user is called; "" for who is not there. Safe from any thread."""
        user = self.chat.by_id(number)
        return "" if user is None else user.name

    def _answer(self, user: User, data: bytes) -> None:
        if user.transport is not None:
            user.write(data)
        elif self.bus is not None:
            self._submit(ANSWER, user.id, data)

    def _submit(self, kind: int, number: int, data: bytes = b"") -> None:
        if self.bus is not None:
            self.submit(HEADER.pack(kind, number) + data)
        else:  # nobody else is to read it: not packed
            with self._lock:
                self._do(kind, number, data)

    # --- what is done --------------------------------------------------------------------

    def apply(self, operation: bytes) -> None:
        """Do what was submitted, here or in another process."""
        kind, number = HEADER.unpack_from(operation)
        self._do(kind, number, operation[HEADER.size :])

    def _do(self, kind: int, number: int, data: bytes) -> None:
        user = self.chat.by_id(number)
        if user is None:
            if kind == ENTER:
                self._arrive(number)
            # Else it has gone, and this was under way.
        elif kind == SAY:
            self._try(self.chat.say, user, data)
        elif kind == COMMAND:
            self._try(self._command, user, data)
        elif kind == ANSWER:
            user.write(data)
        else:
            self.chat.depart(user, quietly=kind == LEAVE_QUIETLY)
            door = self._doors.pop(number, None)
            if door is not None:
                door.finished()

    def process_lost(self, process: int) -> None:
        """Everybody who was served by ``process`` is gone."""
        for number in self.chat.ids:
            user = self.chat.by_id(number)
            if user is not None and number >> PROCESS_BITS == process:
                self.chat.depart(user)

    def _arrive(self, number: int) -> None:
        door = self._doors.get(number)
        user = self.chat.arrive(number, None if door is None else door.transport)
        if door is not None:
            door.welcome(user.name)
        self.chat.join(user, names.LOBBY)

    def _try(self, what: t.Callable[[User, bytes], str | None], user: User, line: bytes) -> None:
        """Do it, and tell the user what came of it."""
        try:
            answer = what(user, line)
        except Refused as refused:
            answer = str(refused)
        except commands.Quit:
            self._quit(user)
            return
        if answer is not None and user.id in self._doors:
            self._doors[user.id].notify(answer)

    def _quit(self, user: User) -> None:
        self.chat.depart(user)
        door = self._doors.pop(user.id, None)
        if door is not None:
            door.dismiss()

    def _command(self, user: User, line: bytes) -> str | None:
        return commands.run(self.chat, user, line.decode())
