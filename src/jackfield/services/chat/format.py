"""How chat looks to who reads lines. Every line ends with CRLF, as telnet wants it (RFC 854).

<alice> hello            said in the lobby
[tea] <alice> hello      said in the room tea
* alice waves            /me
[alice -> you] hello     /msg
-- alice joined tea      the server; nobody else's line can begin like this
"""

from __future__ import annotations

from jackfield.services.chat.names import LOBBY

END = b"\r\n"


def label(room: str) -> str:
    """What stands before a message from ``room``."""
    return "" if room == LOBBY else f"[{room}] "


def speech_prefix(name: str, room: str) -> bytes:
    """What stands before the words that ``name`` says in ``room``."""
    return f"{label(room)}<{name}> ".encode()


def action(name: str, room: str, words: str) -> bytes:
    """``name`` does something."""
    return f"{label(room)}* {name} {words}\r\n".encode()


def private(sender: str, recipient: str, words: str) -> bytes:
    """A message between two."""
    return f"[{sender} -> {recipient}] {words}\r\n".encode()


def notice(text: str) -> bytes:
    """The server's own words; several lines become several notices."""
    return b"".join(f"-- {line}\r\n".encode() for line in text.split("\n"))
