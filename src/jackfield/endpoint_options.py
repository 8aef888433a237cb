"""The ``?key=value&key=value`` at the end of an endpoint's text: split, and each value checked.

    udp://239.1.2.3:5000?interface=lo&ttl=1      unix:/run/chat.sock?mode=0660&uid=0,1000

A check is given a value and returns what should be written instead, or None where it is right.
Values are kept as text: who uses one converts it. There is no escaping, so that a value holds
no "&". What an option does is told where it is used (``kernel``). This module imports nothing
of jackfield.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping

from jackfield import lazy_typing as t

Options: t.TypeAlias = tuple[tuple[str, str], ...]
"""Keys and values in the order they were written."""

Check: t.TypeAlias = Callable[[str], str | None]

INTERFACE_NAME: t.Final = 64
"""Characters of an interface: a name has at most 15 (IFNAMSIZ), an IPv6 address with its scope
some 55."""

LARGEST_ID: t.Final = 2**32 - 2
"""The last user id: 2**32 - 1 is the kernel's "no id" (chown(2))."""

IDS: t.Final = 64
"""User ids of one list: for more, a group and ``mode`` are right."""

SHOWN: t.Final = 40
"""Characters of a key or value that an error line shows."""


def split(query: str, known: Mapping[str, Check]) -> Options:
    """The options in ``query``, what follows the "?". Raises ``ValueError`` with one line."""
    options: dict[str, str] = {}
    for part in query.split("&"):
        key, _, value = part.partition("=")
        if not known:
            raise ValueError(f"no options are known, so not '?{_shown(query)}'")
        if key not in known:
            raise ValueError(f"unknown option '{_shown(key)}'; known: {' '.join(known)}")
        if key in options:
            raise ValueError(f"option '{key}' is given twice")
        wanted = known[key](value)
        if wanted:
            raise ValueError(f"option '{_shown(part)}': {key} wants {wanted}")
        options[key] = value
    return tuple(options.items())


def join(options: Options) -> str:
    """The text that ``split`` was given, its "?" included; "" for no options."""
    return "?" + "&".join(f"{key}={value}" for key, value in options) if options else ""


def _shown(text: str) -> str:
    return text if len(text) <= SHOWN else text[: SHOWN - 3] + "..."


# --- checks ----------------------------------------------------------------------------------


def flag(value: str) -> str | None:
    """0 or 1."""
    return None if value in ("0", "1") else "0 or 1"


def byte(value: str) -> str | None:
    """A number that fits a header field of eight bits (TTL, hop limit)."""
    return None if _is_number(value, 255) else "a number from 0 to 255"


def mode(value: str) -> str | None:
    """A file's access mode in octal."""
    octal = len(value) in (3, 4) and set(value) <= set("01234567")
    return None if octal and int(value, 8) <= 0o777 else "a mode in octal, such as 0660"


def ids(value: str) -> str | None:
    """User ids, separated by commas."""
    several = value.split(",")
    if len(several) <= IDS and all(_is_number(one, LARGEST_ID) for one in several):
        return None
    return f"at most {IDS} user ids, such as 0,1000"


def interface(value: str) -> str | None:
    """An interface's name, or an address it has."""
    fits = value and len(value) <= INTERFACE_NAME and not set(value) & set("/\\ ?")
    return None if fits else "an interface's name or address, such as lo or 127.0.0.1"


def ip(value: str) -> str | None:
    """An IPv4 or IPv6 address."""
    return None if _is_ip(value) else "an IP address, such as 192.0.2.7"


def _is_number(text: str, most: int) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 10 and int(text) <= most


def _is_ip(text: str) -> bool:
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, text)
        except (OSError, ValueError):
            continue
        return True
    return False
