"""A connection drawn as a ladder: both ends as uprights, each segment a rung between them.

    #1   0.000013   +13us ESTABLISHED  ◄─ SYN,ACK seq=0 ack=1 win=65483 ───────── SYN-RECEIVED

At the sides stand the states behind the segment; what does not fit on a rung goes below it. Under
``WIDE`` columns times since the start and windows that did not change are left out, and states are
shortened. A line is pieces of text,
each with a role, so that whoever prints it may colour it. All text is safe for a terminal.
"""

from __future__ import annotations

import textwrap
import typing as t

from jackfield import limits
from jackfield.capture import tcp
from jackfield.capture.decode import Datagram
from jackfield.endpoint import printable
from jackfield.tools.tcp_connection import Connection, Step
from jackfield.tools.tcp_half import Half
from jackfield.tools.units import clock, duration

PLAIN, DIM, STATE, MARK, RESET, HEAD = "", "dim", "state", "mark", "reset", "head"
"""Roles. ``state`` is one that has just changed, ``mark`` something remarkable."""

Piece: t.TypeAlias = tuple[str, str]
Line: t.TypeAlias = list[Piece]

WIDE: t.Final = 100
"""Columns from which on everything has room."""

LEAST: t.Final = 56
"""Columns at which a rung still holds a flag and a number; a narrower terminal wraps lines."""

_SHORT: t.Final = {"ESTABLISHED": "ESTAB", "SYN-RECEIVED": "SYN-RECV"}
"""As ss(8) has them."""

_AROUND: t.Final = 6
"""Characters of a rung that are not its text: two of line and a blank on each side."""


class Ladder:
    """Draws for a terminal of ``width`` columns. ``ascii_only``: arrows without box characters;
    ``absolute``: sequence numbers as on the wire; ``payload``: the first bytes of data, escaped.
    """

    def __init__(
        self, width: int, *, ascii_only: bool = False, absolute: bool = False, payload: bool = False
    ) -> None:
        self._width = max(width, LEAST)
        self._wide = width >= WIDE
        self._left, self._bar, self._right = "<->" if ascii_only else "◄─►"
        self._absolute = absolute
        self._payload = payload
        self._state = 12 if self._wide else 10  # columns of a state
        self._margin = 24 if self._wide else 12  # columns before the client's

    def head(self, connection: Connection) -> list[Line]:
        """Above the first rung: when it began, the client's end left, the server's right."""
        begun = f"#{connection.number:<3} {clock(connection.start)}"
        client, server = str(connection.client.end), str(connection.server.end)
        begun = begun.ljust(self._margin)
        room = self._width - len(begun) - len(client) - len(server)
        if self._wide and room > 0:
            lines: list[Line] = [[(begun + client + " " * room + server, HEAD)]]
        else:
            lines = [[(begun.rstrip(), HEAD)], [(f"     {client} to {server}", HEAD)]]
        if connection.joined:
            lines.append([("     joined in the midst: its beginning was not seen", DIM)])
        return lines

    def rung(self, step: Step) -> list[Line]:
        """A segment: its line, and others below where one is too short."""
        tokens = self._tokens(step)
        margin = self._times(step)
        room = self._width - len(margin) - 2 * self._state - 2
        count = _fitting(tokens, room - _AROUND)
        line: Line = [(margin, DIM), self._side(step, 0), (" ", PLAIN)]
        line += self._arrow(tokens[:count], room, step.from_client)
        line += [(" ", PLAIN), self._side(step, 1)]
        indent = len(margin) + self._state + 4
        return [line, *self._below(tokens[count:], indent), *self._data(step, indent)]

    def _times(self, step: Step) -> str:
        tag = f"#{step.connection.number}".ljust(4)
        delta = (
            f"{duration(step.delta, sign='+')}"
            if step.connection.start != step.segment.time
            else ""
        )
        if self._wide:
            return f"{tag}{step.since / 1e9:10.6f} {delta:>8} "
        return f"{tag}{delta:>7} "

    def _side(self, step: Step, which: int) -> Piece:
        state = step.states[which]
        text = state if self._wide else _SHORT.get(state, state)
        role = STATE if step.changed[which] else DIM
        return (text.ljust(self._state) if which == 0 else text), role

    def _arrow(self, tokens: list[Piece], room: int, to_right: bool) -> Line:
        pieces = _joined(tokens)
        used = sum(len(text) for text, _ in pieces) + _AROUND
        bar = self._bar * max(0, room - used)
        if to_right:
            return [(f"{self._bar * 2} ", DIM), *pieces, (f" {bar}{self._bar}{self._right}", DIM)]
        return [(f"{self._left}{self._bar} ", DIM), *pieces, (f" {bar}{self._bar * 2}", DIM)]

    def _below(self, tokens: list[Piece], indent: int) -> list[Line]:
        lines: list[Line] = []
        while tokens:
            count = _fitting(tokens, self._width - indent)
            lines.append([(" " * indent, PLAIN), *_joined(tokens[:count])])
            tokens = tokens[count:]
        return lines

    def _data(self, step: Step, indent: int) -> list[Line]:
        if not self._payload or not step.segment.length:
            return []
        return [[(" " * indent + preview(step.segment.payload, self._width - indent), DIM)]]

    # --- what a rung says ----------------------------------------------------------------------

    def _tokens(self, step: Step) -> list[Piece]:
        segment = step.segment
        flags = tcp.flags_text(segment.flags)
        tokens = [(flags, RESET if segment.flags & tcp.RST else PLAIN)]
        tokens.append((f"seq={segment.seq if self._absolute else step.seq}", PLAIN))
        if step.ack is not None:
            tokens.append((f"ack={segment.ack if self._absolute else step.ack}", PLAIN))
        if segment.length:
            tokens.append((f"len={segment.length}", PLAIN))
        tokens += [(f"[{mark}]", MARK) for mark in step.marks]
        tokens += [(self._window(step), PLAIN)] if self._tells_window(step) else []
        return tokens + [(text, DIM) for text in self._options(step)]

    def _tells_window(self, step: Step) -> bool:
        """Where there is room, and where it says something new; a reset's means nothing."""
        if step.segment.flags & tcp.RST:
            return False
        return step.new_window or (self._wide and not step.marks)

    def _window(self, step: Step) -> str:
        """In bytes; ``*?``: times a scale that was not seen."""
        return f"win={step.window}{'' if step.scale is not None else '*?'}"

    def _options(self, step: Step) -> list[str]:
        options, found = step.segment.options, []
        if step.segment.flags & tcp.SYN:
            found += [f"mss={options.mss}"] if options.mss is not None else []
            found += [f"scale={options.scale}"] if options.scale is not None else []
            found += ["sack"] if options.sack_ok else []
            found += ["timestamps"] if options.times else []
        other = step.connection.server if step.from_client else step.connection.client
        return found + [f"sack={self._block(block, other)}" for block in options.sacks]

    def _block(self, block: tuple[int, int], other: Half) -> str:
        first, end = block
        if not self._absolute and other.base is not None:
            first, end = other.relative(first), other.relative(end)
        return f"{first}:{end}"

    # --- what is no rung -----------------------------------------------------------------------

    def datagram(self, datagram: Datagram) -> list[Line]:
        """A UDP datagram has no ladder: from whom, to whom, how much."""
        ends = f"{datagram.source} {self._bar * 2}{self._right} {datagram.destination}"
        lines: list[Line] = [[(f"{clock(datagram.time)} UDP {ends} len={datagram.length}", PLAIN)]]
        if self._payload and datagram.length:
            lines.append([("    " + preview(datagram.payload, self._width - 4), DIM)])
        return lines

    def summary(self, connection: Connection) -> list[Line]:
        """What became of it, and what each end sent."""
        lasted = duration(connection.last - connection.start)
        told = [f"{connection.client.end} to {connection.server.end}:", f"{connection.ended},"]
        told.append(f"{lasted} long")
        if connection.handshake is not None:
            told.append(f"(handshake {duration(connection.handshake)})")
        sent = "; ".join(
            f"{name} sent {_plural(half.bytes, 'byte')} in {_plural(half.segments, 'segment')}"
            + (f", {half.retransmissions} of them again" if half.retransmissions else "")
            for name, half in (("client", connection.client), ("server", connection.server))
        )
        head = f"#{connection.number}".ljust(5)
        whole = textwrap.wrap(
            " ".join(told), self._width, initial_indent=head, subsequent_indent=_IN
        )
        rest = textwrap.wrap(sent, self._width, initial_indent=_IN, subsequent_indent=_IN)
        return [[(line, HEAD)] for line in whole] + [[(line, PLAIN)] for line in rest]


_IN: t.Final = " " * 5


def preview(data: bytes, room: int) -> str:
    """The first bytes of somebody's data, safe to print, in at most ``room`` columns."""
    head = data[: limits.WIRE_PAYLOAD].decode("utf-8", "backslashreplace")
    more = "..." if len(data) > limits.WIRE_PAYLOAD else ""
    return printable(head + more, max(room, 8))


def _plural(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"


def _joined(tokens: list[Piece]) -> Line:
    """Tokens with blanks between them."""
    pieces = [piece for token in tokens for piece in ((" ", PLAIN), token)]
    return pieces[1:]


def _fitting(tokens: list[Piece], room: int) -> int:
    """How many of the first go into ``room`` columns; at least one."""
    used = -1
    for count, (text, _) in enumerate(tokens):
        used += len(text) + 1
        if used > room:
            return max(1, count)
    return len(tokens)
