"""TelnetFilter: takes telnet's commands out of what a user typed, and refuses every option.

    IAC IAC            one data byte 0xFF
    IAC WILL x         answered IAC DONT x        IAC DO x      answered IAC WONT x
    IAC WONT/DONT x    never answered             IAC SB ... IAC SE    discarded
    IAC anything else  discarded (NOP, AYT, IP, BRK, EC, EL, GA, DM, ...)

RFC 854 and 855 give the bytes, RFC 1143 the reason for the rule that no loop can arise: a
refusal is not an offer, so it needs no answer, and an offer already refused is not refused
again. Each (verb, option) is answered once in a connection. The one exception is TIMING-MARK:
the BSD client throws output away after Ctrl-C until its DO TIMING-MARK is answered (RFC 860),
each time. Nothing is ever sent first, so netcat users never see these bytes.

A command may be cut anywhere. Held between two blocks are at most two bytes, IAC and a verb;
of a subnegotiation nothing is kept but the fact that it goes on.

This module must not know lines: CR NUL is a line end, and that is in ``lines``.
"""

from __future__ import annotations

import typing as t

IAC: t.Final = 255
DONT: t.Final = 254
DO: t.Final = 253
WONT: t.Final = 252
WILL: t.Final = 251
SB: t.Final = 250
SE: t.Final = 240
TIMING_MARK: t.Final = 6

_IAC: t.Final = bytes([IAC])
_REFUSAL: t.Final = {WILL: DONT, DO: WONT}


class TelnetFilter:
    """The telnet state of one connection."""

    __slots__ = ("_answered", "_held", "_skipping")

    def __init__(self) -> None:
        self._held = b""
        self._skipping = False  # within SB ... SE
        self._answered: set[bytes] | None = None  # at most 512 pairs; none for who sends no IAC

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """What the user typed in ``data``, and the bytes to answer the client's telnet with.

        Data without IAC is returned as the same object.
        """
        if _IAC not in data and not self._held and not self._skipping:
            return data, b""
        return self._filter(self._held + data)

    def _filter(self, block: bytes) -> tuple[bytes, bytes]:
        typed, replies = bytearray(), bytearray()
        start, end = 0, len(block)
        self._held = b""
        while start < end:
            command = block.find(_IAC, start)
            if not self._skipping:
                typed += block[start : command if command >= 0 else end]
            if command < 0:
                break
            length = self._command(block, command, typed, replies)
            if not length:
                self._held = block[command:]
                break
            start = command + length
        return bytes(typed), bytes(replies)

    def _command(self, block: bytes, at: int, typed: bytearray, replies: bytearray) -> int:
        """Carry out the command at ``at``; its length, or 0 if its end has not yet come."""
        if at + 1 == len(block):
            return 0
        verb = block[at + 1]
        if verb == IAC:
            if not self._skipping:
                typed.append(IAC)
            return 2
        # Any other command ends a subnegotiation, as in BSD's telnetd: a client that forgets
        # SE, or is no telnet at all, does not lose everything from then on.
        self._skipping = verb == SB
        if not WILL <= verb <= DONT:
            return 2
        if at + 2 == len(block):
            return 0
        if verb in _REFUSAL:
            replies += self._answer(verb, block[at + 2])
        return 3

    def _answer(self, verb: int, option: int) -> bytes:
        """The refusal of an offer or request; empty if it was given before."""
        refusal = bytes((IAC, _REFUSAL[verb], option))
        if verb == DO and option == TIMING_MARK:
            return refusal
        if self._answered is None:
            self._answered = set()
        elif refusal in self._answered:
            return b""
        self._answered.add(refusal)
        return refusal
