"""One end of a TCP connection, as far as the wire shows it: what it sent, and what it acknowledged.

Sequence numbers are kept relative to the first and as plain integers, which do not wrap at 2**32:
each new one is taken to be the one nearest to the last (RFC 9293, 3.4). Must not know states.
"""

from __future__ import annotations

import typing as t

from jackfield import limits
from jackfield.capture import tcp
from jackfield.capture.decode import End, Segment


class Half:
    """What one ``end`` has sent. Numbers are relative: its SYN is 0, its first byte 1."""

    __slots__ = (
        *("ack", "acked", "base", "bytes", "duplicate_acks", "end", "fin", "fin_acked"),
        *("fin_first", "holes", "next", "offered", "probing", "retransmissions", "scale"),
        *("segments", "syn", "syn_acked", "syn_repeated", "window", "window_raw"),
    )

    def __init__(self, end: End) -> None:
        self.end = end
        self.base: int | None = None  # the sequence number on the wire that is 0 here
        self.next: int | None = None  # behind the highest that was sent
        self.ack: int | None = None  # the last acknowledgement it sent, of the other's numbers
        self.acked = 0  # the highest acknowledgement that the other end sent
        self.window_raw = -1  # as it stood in its last header
        self.window = 0  # the same in bytes
        self.offered = False  # its SYN was seen, and so what it offered:
        self.scale: int | None = None
        self.holes: list[tuple[int, int]] = []  # jumped over, not yet seen
        self.probing = ""  # its last segment was a keep-alive or window probe
        self.duplicate_acks = 0
        self.syn = self.syn_acked = self.syn_repeated = False
        self.fin: int | None = None  # behind its FIN
        self.fin_acked = self.fin_first = False
        self.segments = self.bytes = self.retransmissions = 0

    def relative(self, number: int) -> int:
        """``number`` as on the wire, counted from ``base``."""
        assert self.base is not None
        near = self.next or 0
        return near + (number - self.base - near + 0x80000000) % 0x100000000 - 0x80000000

    @property
    def fin_arrived(self) -> bool:
        """Its FIN is with the other end, for all we know: nothing before it is missing."""
        return self.fin is not None and (self.fin_acked or not self.holes)

    def advance(self, begin: int, end: int) -> None:
        """It sent ``begin`` up to ``end``: holes that this fills are no more, others appear."""
        if self.next is None:
            self.next = end
        elif begin > self.next:
            self.holes = [*self.holes, (self.next, begin)][-limits.WIRE_HOLES :]
            self.next = end
        else:
            self._fill(begin, end)
            self.next = max(self.next, end)

    def in_hole(self, begin: int, end: int) -> bool:
        """Was any of this never seen, though later bytes were?"""
        return any(begin < hole_end and hole < end for hole, hole_end in self.holes)

    def acknowledged(self, number: int) -> None:
        """The other end has everything up to ``number``, seen here or not."""
        if number > self.acked:
            self.acked = number
            self._fill(0, number)

    def misses(self, number: int) -> bool:
        """Was something before ``number`` never seen, as is only now known to have arrived?"""
        if self.next is None or number <= self.acked:
            return False
        return number > self.next or self.in_hole(0, number)

    def _fill(self, begin: int, end: int) -> None:
        if self.holes:
            pieces = [((a, min(b, begin)), (max(a, end), b)) for a, b in self.holes]
            left = [piece for pair in pieces for piece in pair if piece[0] < piece[1]]
            self.holes = left[-limits.WIRE_HOLES :]


class Placed(t.NamedTuple):
    """A segment in its connection: whose it is, and its numbers counted from the SYNs."""

    segment: Segment
    me: Half
    other: Half
    seq: int
    ack: int

    @classmethod
    def of(cls, segment: Segment, me: Half, other: Half) -> Placed:
        """``me`` sent it. Where a SYN was not seen, numbers count from what is seen first."""
        if me.base is None:
            me.base = segment.seq if segment.flags & tcp.SYN else segment.seq - 1
        if not segment.flags & tcp.ACK:
            return cls(segment, me, other, me.relative(segment.seq), 0)
        if other.base is None:
            other.base = segment.ack - 1
        return cls(segment, me, other, me.relative(segment.seq), other.relative(segment.ack))

    def has(self, flags: int) -> bool:
        """Is any of ``flags`` set?"""
        return bool(self.segment.flags & flags)

    @property
    def size(self) -> int:
        """Sequence numbers that it takes up: SYN and FIN take one each (RFC 9293, 3.4)."""
        return self.segment.length + self.has(tcp.SYN) + self.has(tcp.FIN)
