"""A TCP connection as two ends and the steps between them.

``Connection.step`` takes a segment and says what it was: numbers counted from the start, the window
in bytes, what is remarkable, and the state of both ends behind it. Must not know other connections.
"""

from __future__ import annotations

import dataclasses
import typing as t

from jackfield.capture import tcp
from jackfield.capture.decode import End, Segment
from jackfield.tools import tcp_analysis, tcp_states
from jackfield.tools.tcp_half import Half, Placed


@dataclasses.dataclass(frozen=True, slots=True)
class Step:
    """A rung of the ladder. Times are nanoseconds: ``since`` the connection's first segment and
    ``delta`` since the one before. ``window`` is in bytes, and a
    ``new_window`` unlike the sender's last; ``scale`` is None where it is not known.
    ``states`` are the client's and the server's, and ``changed`` tells which of them this step
    changed. ``first``: nothing of the connection was seen before."""

    connection: Connection
    segment: Segment
    from_client: bool
    since: int
    delta: int
    seq: int
    ack: int | None
    window: int
    new_window: bool
    scale: int | None
    marks: tuple[str, ...]
    states: tuple[str, str]
    changed: tuple[bool, bool]
    first: bool


class Connection:
    """``number`` counts from 1. ``joined``: its beginning was not seen. ``reset_by``: the end
    that reset it, or None."""

    def __init__(self, number: int, client: End, server: End, first: Segment) -> None:
        self.number = number
        self.client, self.server = Half(client), Half(server)
        self.joined = first.flags & (tcp.SYN | tcp.ACK) != tcp.SYN
        self.start = self.last = first.time
        self.handshake: int | None = None
        self.reset_by: Half | None = None
        self.refused = False
        self._states = (tcp_states.CLOSED, tcp_states.LISTEN)
        if self.joined:
            self._suppose_handshake(first)

    def _suppose_handshake(self, first: Segment) -> None:
        """What must have been before: of a SYN,ACK the SYN, of anything else the whole of it."""
        answered = bool(first.flags & tcp.SYN)
        me, other = self._ends(first)
        other.syn = other.syn_acked = True
        me.syn = True
        me.syn_acked = not answered
        if not answered:
            self._states = (tcp_states.ESTABLISHED, tcp_states.ESTABLISHED)

    @property
    def states(self) -> tuple[str, str]:
        """The client's and the server's, after the last step."""
        return self._states

    @property
    def over(self) -> bool:
        """Nothing more is to be expected: reset, or closed from both ends."""
        both = self.client.fin_acked and self.server.fin_acked
        return self.reset_by is not None or both

    @property
    def ended(self) -> str:
        """How it ended, in words."""
        if self.reset_by is not None:
            return "refused" if self.refused else f"reset by the {self._name(self.reset_by)}"
        first = next(
            (h for h in (self.client, self.server) if h.fin is not None and h.fin_first), None
        )
        if self.over and first is not None:
            both = self.client.fin_first and self.server.fin_first
            return f"closed, {'by both at once' if both else f'first by the {self._name(first)}'}"
        if first is not None:
            return f"half closed, by the {self._name(first)}"
        return "open" if self.server.syn_acked else "not established"

    def _name(self, half: Half) -> str:
        return "client" if half is self.client else "server"

    def begins_anew(self, segment: Segment) -> bool:
        """Is ``segment`` the first of another connection between the same ends?"""
        if segment.flags & (tcp.SYN | tcp.ACK) != tcp.SYN:
            return False
        me, _ = self._ends(segment)
        return self.joined or (me.base is not None and segment.seq != me.base)

    def _ends(self, segment: Segment) -> tuple[Half, Half]:
        if segment.source == self.client.end:
            return self.client, self.server
        return self.server, self.client

    # --- a step --------------------------------------------------------------------------------

    def step(self, segment: Segment) -> Step:
        """Take account of ``segment``."""
        me, other = self._ends(segment)
        it = Placed.of(segment, me, other)
        marks = tcp_analysis.marks(it)
        window = me.window
        since, delta = segment.time - self.start, segment.time - self.last
        self._count(it, marks)
        self._advance(it, marks)
        if self.handshake is None and self.server.syn_acked and not self.joined:
            self.handshake = since
        self.last = segment.time
        before, self._states = self._states, self._states_now()
        return Step(
            self,
            segment,
            me is self.client,
            since,
            delta,
            it.seq,
            it.ack if it.has(tcp.ACK) else None,
            me.window,
            me.window != window,
            self._scale(it),
            tuple(marks),
            self._states,
            (before[0] != self._states[0], before[1] != self._states[1]),
            me.segments + other.segments == 1,
        )

    def _count(self, it: Placed, marks: list[str]) -> None:
        me = it.me
        me.segments += 1
        me.bytes += it.segment.length
        me.retransmissions += any(mark in tcp_analysis.RETRANSMISSIONS for mark in marks)
        repeated = any(mark.startswith(tcp_analysis.DUPLICATE_ACK) for mark in marks)
        me.duplicate_acks = me.duplicate_acks + 1 if repeated else 0

    def _advance(self, it: Placed, marks: list[str]) -> None:
        me = it.me
        if it.has(tcp.SYN):
            me.syn_repeated = me.syn and not self.joined
            me.syn = me.offered = True
            me.scale = it.segment.options.scale
        me.probing = next((mark for mark in marks if mark in _PROBES), "")
        if it.has(tcp.RST):
            self._reset(me, marks)
            return
        if it.has(tcp.FIN):
            if me.fin is None:
                me.fin_first = it.other.fin is None or it.ack < it.other.fin
            me.fin, me.fin_acked = it.seq + it.size, False
        if not me.probing:
            me.advance(it.seq, it.seq + it.size)
        me.window_raw = it.segment.window
        me.window = it.segment.window << (self._scale(it) or 0)
        if it.has(tcp.ACK):
            _acknowledge(it)

    def _reset(self, me: Half, marks: list[str]) -> None:
        if tcp_analysis.OUTSIDE not in marks and self.reset_by is None:
            self.reset_by = me
            self.refused = me is self.server and not me.syn

    def _scale(self, it: Placed) -> int | None:
        """How far the window is shifted: not in a SYN, nor unless both offered it (RFC 7323, 2.2);
        None where that is not known. A server whose answer was not captured is taken to have
        agreed, as nearly all do; and it offers only what the client has offered."""
        if it.has(tcp.SYN):
            return 0
        if any(half.offered and half.scale is None for half in (self.client, self.server)):
            return 0
        return it.me.scale

    def _states_now(self) -> tuple[str, str]:
        if self.reset_by is not None:
            return tcp_states.CLOSED, tcp_states.CLOSED
        return (
            tcp_states.state(self.client, self.server),
            tcp_states.state(self.server, self.client),
        )


_PROBES: t.Final = (tcp_analysis.KEEP_ALIVE, tcp_analysis.WINDOW_PROBE)


def _acknowledge(it: Placed) -> None:
    it.me.ack = it.ack
    other = it.other
    other.acknowledged(it.ack)
    other.syn_acked = other.syn_acked or (other.syn and it.ack >= 1)
    if other.fin is not None and it.ack >= other.fin:
        other.fin_acked = True
