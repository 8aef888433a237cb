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
from jackfield.services.chat import format as looks
from jackfield.services.chat import names, text
from jackfield.services.chat.replica import ChatReplica
from jackfield.wire.lines import LineProtocol
from jackfield.wire.telnet import TelnetFilter

SLASH: t.Final = ord("/")


class LineDoor(LineProtocol):
    """One connection. ``flood``: lines a second this user may send (0: any number).
    ``greeting``: a line before the welcome."""

    __slots__ = ("_chat", "_clock", "_flood", "_greeting", "_number", "_telnet")

    line_limit = limits.CHAT_LINE

    def __init__(
        self,
        chat: ChatReplica,
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
        self._number = self._chat.enter(self)

    def welcome(self, name: str) -> None:
        """The chat has let us in (``replica.Door``)."""
        if self._greeting is not None:
            self.notify(self._greeting)
        self.notify(
            f"welcome, you are {name}; what you type goes to everybody in {names.LOBBY}\n"
            "/nick NAME chooses a name, /help shows the other commands"
        )

    @property
    def status_label(self) -> str:
        """The nickname, for who asks how the server does; "" once gone."""
        return self._chat.name_of(self._number)

    def eof_received(self) -> bool:
        if not super().eof_received():
            self.messages_ended()
        return True  # until the chat has answered what was typed

    def messages_ended(self) -> None:
        self._chat.finish(self._number)

    def finished(self) -> None:
        """Everything typed was answered, and nothing more comes (``replica.Door``)."""
        self.transport.close()

    def dismiss(self) -> None:
        """The user typed /quit (``replica.Door``)."""
        self.notify("goodbye")
        self.transport.close()

    def notify(self, words: str) -> None:
        """A notice to this user alone (``replica.Door``)."""
        self.transport.write(looks.notice(words))

    def closing(self, reason: JackfieldError) -> None:
        self._chat.leave(self._number, quietly=isinstance(reason, ServerStopping))
        self.notify(f"disconnected: {reason}")

    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        self._chat.leave(self._number)

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
        if text.is_http_request(line):
            # A browser was sent here by somebody else's page: it must not speak in its user's name.
            self.transport.evict(ProtocolViolation("this is a chat server, not a web server"))
        elif why is not None:
            self.notify(f"{why}; it was not sent")
        elif line.strip():
            self._obey(line)

    def line_too_long(self) -> None:
        if self._flood is None or self._admitted(self.line_limit):
            self.notify(f"a line has at most {self.line_limit} bytes; it was not sent")

    def _obey(self, line: bytes) -> None:
        if line[0] != SLASH:
            self._chat.say(self._number, line)
        elif line.startswith(b"//"):
            self._chat.say(self._number, line[1:])
        else:
            self._chat.command(self._number, line)

    def _admitted(self, size: int) -> bool:
        """May this line be looked at, or does it come too fast?"""
        flood = t.cast(FloodControl, self._flood)
        verdict = flood.admit(size, self._clock())
        if verdict is Verdict.WARN:
            left = flood.strikes_left + 1
            self.notify(
                f"too fast: that line was not sent; wait a moment, "
                f"or after {left} more like it you are disconnected"
            )
        elif verdict is Verdict.KICK:
            self.transport.evict(FloodError("too many lines too fast"))
        return verdict is Verdict.ADMIT
