"""What is remarkable about a segment: sent again, out of order, a duplicate ACK, a zero window, ...

The terms are those of tshark's tcp.analysis, and so are most rules, so that the two can be
compared. They differ where tshark has to guess by time: what fills a gap is "out of order" here,
and what was seen before is a retransmission. Must not know states.
"""

from __future__ import annotations

import typing as t

from jackfield.capture import tcp
from jackfield.tools.tcp_half import Placed

ZERO_WINDOW: t.Final = "zero window"
WINDOW_PROBE: t.Final = "window probe"
WINDOW_PROBE_ACK: t.Final = "window probe ACK"
WINDOW_UPDATE: t.Final = "window update"
WINDOW_FULL: t.Final = "window full"
KEEP_ALIVE: t.Final = "keep-alive"
KEEP_ALIVE_ACK: t.Final = "keep-alive ACK"
GAP: t.Final = "gap before"
ACKED_UNSEEN: t.Final = "acknowledges what was not seen"
RETRANSMISSION: t.Final = "retransmission"
FAST_RETRANSMISSION: t.Final = "fast retransmission"
SPURIOUS_RETRANSMISSION: t.Final = "spurious retransmission"
OUT_OF_ORDER: t.Final = "out of order"
DUPLICATE_ACK: t.Final = "duplicate ACK"
BROKEN_OPTIONS: t.Final = "broken options"
OUTSIDE: t.Final = "outside the window"

RETRANSMISSIONS: t.Final = (RETRANSMISSION, FAST_RETRANSMISSION, SPURIOUS_RETRANSMISSION)

_DUPLICATES: t.Final = 2
"""Duplicate ACKs seen before a retransmission that is called fast. The sender waits for three
(RFC 5681, 3.2), of which one may have been lost after it was counted."""

_EDGES: t.Final = tcp.SYN | tcp.FIN | tcp.RST


def marks(it: Placed) -> list[str]:
    """What to say of a segment, before its sender has taken account of it."""
    found = [BROKEN_OPTIONS] if it.segment.options.broken else []
    if it.segment.window == 0 and not it.has(_EDGES):
        found.append(ZERO_WINDOW)
    if it.has(tcp.RST):
        return found if _reset_counts(it) else [*found, OUTSIDE]
    if it.me.next is None:
        return found
    if it.seq > it.me.next:
        found.append(GAP)
    probe = _probe(it)
    found += [probe] if probe else _window_marks(it)
    if it.has(tcp.ACK) and it.other.misses(it.ack):
        found.append(ACKED_UNSEEN)
    return found if probe else found + _again(it)


def _reset_counts(it: Placed) -> bool:
    """Does the other end obey it (RFC 9293, 3.5.3)? Only from within its window."""
    if it.me.next is None or it.other.ack is None:
        return True
    return it.other.ack <= it.seq <= max(it.me.next, it.other.ack + it.other.window)


def _probe(it: Placed) -> str:
    """A byte, or none, to make the other end answer. Linux probes a closed window with the
    segment of a keep-alive (tcp_xmit_probe_skb), others with the next byte (RFC 9293, 3.8.6.1)."""
    if it.me.next is None or it.has(_EDGES) or it.segment.length > 1:
        return ""
    closed = it.other.window_raw == 0
    if it.segment.length == 1 and it.seq == it.me.next and closed:
        return WINDOW_PROBE
    if it.seq == it.me.next - 1:
        return WINDOW_PROBE if closed else KEEP_ALIVE
    return ""


def _window_marks(it: Placed) -> list[str]:
    if it.has(_EDGES) or not it.has(tcp.ACK):
        return []
    if it.segment.length:
        return [WINDOW_FULL] if _fills_window(it) else []
    if it.seq != it.me.next or it.ack != it.me.ack:
        return []
    if it.segment.window != it.me.window_raw:
        return [WINDOW_UPDATE] if it.segment.window else []
    if it.other.probing:
        return [KEEP_ALIVE_ACK if it.other.probing == KEEP_ALIVE else WINDOW_PROBE_ACK]
    return [f"{DUPLICATE_ACK} #{it.me.duplicate_acks + 1}"] if it.segment.window else []


def _fills_window(it: Placed) -> bool:
    if it.other.scale is None or it.other.ack is None:
        return False
    return it.seq + it.segment.length == it.other.ack + it.other.window


def _again(it: Placed) -> list[str]:
    """Something that takes up sequence numbers, from below the highest, or that the other end
    has already acknowledged, seen here or not."""
    if it.segment.length and it.me.acked >= it.seq + it.segment.length:
        return [SPURIOUS_RETRANSMISSION]
    if it.me.next is None or not it.size or it.seq >= it.me.next:
        return []
    if it.segment.length > 1 and it.seq == it.me.next - 1 and it.me.probing:
        return []  # the byte of a probe, and new ones
    if it.me.in_hole(it.seq, it.seq + it.size):
        return [OUT_OF_ORDER]
    if it.other.duplicate_acks >= _DUPLICATES and it.other.ack == it.seq:
        return [FAST_RETRANSMISSION]
    return [RETRANSMISSION]
