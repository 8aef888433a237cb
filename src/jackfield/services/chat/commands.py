"""/nick, /join and the other commands: what each takes, does and answers.

A command is a function of the chat, the user who gives it and the words behind it; it returns
the notice to answer with, or None. Must not know transports or doors.
"""

from __future__ import annotations

import re
import textwrap
import typing as t
from collections.abc import Callable

from jackfield import limits
from jackfield.rooms.history import History
from jackfield.services.chat import names
from jackfield.services.chat.chat import Chat, ChatRoom, Refused, User

WIDTH: t.Final = 72
"""Columns of a list of names: fits an 80-column terminal behind the notice's mark."""

LISTED: t.Final = 200
"""Names or rooms that one command lists: ten terminal screens of a crowd help nobody."""


class Quit(Exception):
    """The user wants to leave."""


class Command(t.NamedTuple):
    """``usage`` is what /help shows. ``asks``: it changes nothing, so that a process which does
    not have the user need not run it."""

    usage: str
    help: str
    run: Callable[[Chat, User, str], str | None]
    asks: bool = False


def _nick(chat: Chat, user: User, words: str) -> str | None:
    if words in ("", user.name):
        return f"you are {user.name}"
    chat.rename(user, words)
    # Who is in a room hears it there, with everybody else.
    return None if user.rooms else f"you are now {user.name}"


def _join(chat: Chat, user: User, words: str) -> str:
    room = chat.join(user, words or names.LOBBY)
    return f"you are in {room.name} with {_others(room)}; what you type goes there"


def _others(room: ChatRoom) -> str:
    count = len(room.users) - 1
    return "nobody else" if not count else "1 other" if count == 1 else f"{count} others"


def _part(chat: Chat, user: User, words: str) -> str:
    left = chat.part(user, words or None)
    if user.current is None:
        return f"you left {left.name} and are in no room now; /join {names.LOBBY}"
    return f"you left {left.name}; what you type goes to {user.current.name}"


def _rooms(chat: Chat, _user: User, _words: str) -> str:
    rooms = chat.rooms
    lines = [f"{room.name}: {len(room.users)}" for room in rooms[:LISTED]]
    return "\n".join([_count(len(rooms), "room"), *lines, *_more(len(rooms))])


def _who(chat: Chat, user: User, words: str) -> str:
    room = chat.room(words) if words else user.current
    if room is None:
        raise Refused(f"you are in no room; /join {names.LOBBY}")
    everybody = sorted(member.name for member in room.users.values())
    listed = textwrap.wrap(" ".join(everybody[:LISTED]), WIDTH, break_on_hyphens=False)
    heading = f"{_count(len(everybody), 'user')} in {room.name}"
    return "\n".join([heading, *listed, *_more(len(everybody))])


def _count(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _more(count: int) -> list[str]:
    return [f"and {count - LISTED} more"] if count > LISTED else []


def _me(chat: Chat, user: User, words: str) -> None:
    if not words:
        raise Refused("say what you do: /me waves")
    chat.act(user, words)


def _msg(chat: Chat, user: User, words: str) -> None:
    name, _, message = words.partition(" ")
    if not message.strip():
        raise Refused("say to whom and what: /msg NAME TEXT")
    chat.tell(user, name, message.strip())


def _ignore(chat: Chat, user: User, words: str) -> str:
    if words:
        name = chat.user(words).name
        now = chat.ignore(user, words)
        return f"you ignore {name} from now on" if now else f"you hear {name} again"
    ignored = sorted(other.name for other in map(chat.by_id, user.ignoring) if other)
    return f"you ignore {' '.join(ignored)}" if ignored else "you ignore nobody"


def _history(_chat: Chat, user: User, words: str) -> str | None:
    room = user.current
    if room is None:
        raise Refused(f"you are in no room; /join {names.LOBBY}")
    if words and not re.fullmatch("[1-9][0-9]{0,8}", words):
        raise Refused("say how many: /history 10")
    history = t.cast(History, room.room.history)
    entries = [data for data, author in history.last() if user.wants(author)]
    if words:
        entries = entries[-int(words) :]
    if not entries:
        return f"nothing was said in {room.name} yet"
    user.write(b"".join(entries))
    return f"that was the last of {room.name}"


def _help(_chat: Chat, _user: User, _words: str) -> str:
    width = max(len(command.usage) for command in COMMANDS.values())
    lines = [f"{command.usage:<{width}}  {command.help}" for command in COMMANDS.values()]
    return "\n".join([*lines, f"{'//text':<{width}}  say /text"])


def _quit(_chat: Chat, _user: User, _words: str) -> None:
    raise Quit


COMMANDS: t.Final[dict[str, Command]] = {
    "nick": Command("/nick NAME", "choose the name that others see", _nick),
    "join": Command("/join ROOM", "enter a room, or go back to it", _join),
    "part": Command("/part [ROOM]", "leave the room", _part),
    "rooms": Command("/rooms", "list the rooms", _rooms, asks=True),
    "who": Command("/who [ROOM]", "list who is in the room", _who, asks=True),
    "me": Command("/me TEXT", "say what you do", _me),
    "msg": Command("/msg NAME TEXT", "tell one user alone", _msg),
    "ignore": Command("/ignore [NAME]", "stop, or begin again, to hear a user", _ignore),
    "history": Command("/history [N]", "show what was said last", _history, asks=True),
    "help": Command("/help", "show this", _help, asks=True),
    "quit": Command("/quit", "leave", _quit),
}


def run(chat: Chat, user: User, line: str) -> str | None:
    """Run ``line`` (with its leading slash); return what to answer, or None.

    Raises ``Refused`` with the reason where it cannot be done, and ``Quit``.
    """
    name, _, words = line[1:].partition(" ")
    command = COMMANDS.get(name.lower())
    if command is None:
        shown = name if len(name) <= limits.NAME_LENGTH else f"{name[: limits.NAME_LENGTH]}..."
        raise Refused(f"there is no command /{shown}; /help lists them")
    if command.asks and user.transport is None:
        return None
    return command.run(chat, user, words.strip())
