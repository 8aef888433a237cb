"""A chat, and how to enter it."""

from __future__ import annotations

import typing as t
from collections.abc import Callable

import pytest
from tests.services.chat.people import Person, check_tables

from jackfield.services.chat.line_door import LineDoor
from jackfield.services.chat.replica import ChatReplica


@pytest.fixture
def chat() -> t.Iterator[ChatReplica]:
    """A chat; after the test its tables must still agree."""
    chat = ChatReplica()
    yield chat
    check_tables(chat)


@pytest.fixture
def enter(chat: ChatReplica, connect: t.Any) -> Callable[..., Person]:
    """Somebody comes, takes the given name, and has read everything so far."""

    def enter(name: str | None = None, **options: t.Any) -> Person:
        door = LineDoor(chat, **{"flood": 0, **options})
        person = Person(door, connect(door))
        if name is not None:
            person.type(f"/nick {name}")
        person.read()
        return person

    return enter
