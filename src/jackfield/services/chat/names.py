"""What a nickname or a room name may be: short, visible, and not mistakable for another.

Must not know who bears a name. Sans-I/O.
"""

from __future__ import annotations

import re
import typing as t
import unicodedata

from jackfield import limits

GUEST: t.Final = re.compile(r"guest-\d+")
"""Given by the server to who has chosen nothing yet, and not to be chosen."""

RESERVED: t.Final = frozenset({"you"})
"""Private messages are marked ``[alice -> you]``."""

LOBBY: t.Final = "lobby"
"""Where everybody starts."""

PUNCTUATION: t.Final = frozenset("-_.")
"""Beside letters and digits. No space, bracket or angle: they frame names in messages."""


def fold(name: str) -> str:
    """The key under which a name is unique: case and width do not tell names apart (NFKC)."""
    return unicodedata.normalize("NFKC", name).casefold()


def refusal(name: str) -> str | None:
    """Why ``name`` may not be a nickname or room name, or None if it may."""
    if not name:
        return "a name is missing"
    if len(name) > limits.NAME_LENGTH:
        return f"a name has at most {limits.NAME_LENGTH} characters"
    if name != unicodedata.normalize("NFKC", name):
        return "a name is written in plain letters"
    if not all(c.isalnum() or c in PUNCTUATION for c in name) or not name[0].isalnum():
        return (
            "a name is made of letters, digits, '-', '_' and '.', and begins with a letter or digit"
        )
    return None


def nickname_refusal(name: str) -> str | None:
    """Why ``name`` may not be chosen as a nickname, or None if it may."""
    why = refusal(name)
    if why is None and (GUEST.fullmatch(fold(name)) or fold(name) in RESERVED):
        return f"{name} is reserved"
    return why
