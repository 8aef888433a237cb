"""The line door: chat for telnet, nc, ncat and socat. One line is one message.

From a received block to the room::

    telnet bytes out -> lines -> flood control -> what may be said -> a command, or words

Sans-I/O. Must not know engines; rooms deliver on their own.
"""

from __future__ import annotations

import time
import typing as t
from collections.abc import Callable

from jackfield import limits
from jackfield.errors import FloodError, JackfieldError, ProtocolViolation, ServerStopping
from jackfield.rooms.flood import FloodControl, Verdict
from jackfield.services.chat import commands, names, text
from jackfield.services.chat import format as looks
from jackfield.services.chat.chat import Chat, Refused, User
from jackfield.wire.lines import LineProtocol
from jackfield.wire.telnet import TelnetFilter

SLASH: t.Final = ord("/")


class LineDoor(LineProtocol):
    """One connection. ``flood``: lines a second this user may send (0: any number).
    ``greeting``: a line before the welcome."""

    __slots__ = ("_chat", "_clock", "_flood", "_greeting", "_telnet", "_user")

    line_limit = limits.CHAT_LINE

    def __init__(
        self,
        chat: Chat,
        *,
        flood: float = limits.FLOOD_RATE,
        greeting: str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._chat = chat
        self._clock = clock
        self._flood = FloodControl(flood) if flood else None
        self._greeting = greeting
        self._telnet = TelnetFilter()

    # --- coming and going --------------------------------------------------------------

    def connection_made(self, transport: t.Any) -> None:
        super().connection_made(transport)
        self._user: User = self._chat.arrive(transport)
        if self._greeting is not None:
            self._notify(self._greeting)
        self._notify(
            f"welcome, you are {self._user.name}; what you type goes to everybody in "
            f"{names.LOBBY}\n/nick NAME chooses a name, /help shows the other commands"
        )
        self._chat.join(self._user, names.LOBBY)

    def closing(self, reason: JackfieldError) -> None:
        self._chat.depart(self._user, quietly=isinstance(reason, ServerStopping))
        self._notify(f"disconnected: {reason}")

    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        self._chat.depart(self._user)

    # --- what is typed -----------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        typed, answer = self._telnet.feed(data)
        if answer:
            self.transport.write(answer)
        if typed:
            super().data_received(typed)

    def line_received(self, line: bytes) -> None:
        if self._flood is not None and not self._admitted(len(line)):
            return
        why = text.refusal(line)
        if why is not None:
            self._notify(f"{why}; it was not sent")
        elif text.is_http_request(line):
            # A browser was sent here by somebody else's page: it must not speak in its user's name.
            self.transport.evict(ProtocolViolation("this is a chat server, not a web server"))
        elif line.strip():
            self._obey(line)

    def line_too_long(self) -> None:
        if self._flood is None or self._admitted(self.line_limit):
            self._notify(f"a line has at most {self.line_limit} bytes; it was not sent")

    def _obey(self, line: bytes) -> None:
        try:
            if line[0] != SLASH:
                self._chat.say(self._user, line)
            elif line.startswith(b"//"):
                self._chat.say(self._user, line[1:])
            else:
                self._command(line.decode())
        except Refused as refused:
            self._notify(str(refused))
        except commands.Quit:
            self._chat.depart(self._user)
            self._notify("goodbye")
            self.transport.close()

    def _command(self, line: str) -> None:
        answer = commands.run(self._chat, self._user, line)
        if answer is not None:
            self._notify(answer)

    def _admitted(self, size: int) -> bool:
        """May this line be looked at, or does it come too fast?"""
        flood = t.cast(FloodControl, self._flood)
        verdict = flood.admit(size, self._clock())
        if verdict is Verdict.WARN:
            left = flood.strikes_left
            self._notify(
                f"too fast: that line was not sent; {left} more and you are disconnected"
                if left
                else "too fast: that line was not sent; the next such line disconnects you"
            )
        elif verdict is Verdict.KICK:
            self.transport.evict(FloodError("too many lines too fast"))
        return verdict is Verdict.ADMIT

    def _notify(self, words: str) -> None:
        self.transport.write(looks.notice(words))
