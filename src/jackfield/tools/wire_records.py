"""What ``jackfield wire --json`` prints: steps, datagrams and summaries as plain dictionaries.

Times are seconds as decimal numbers, sizes bytes. Sequence numbers are relative to the connection's
start, with those of the wire beside them. Must not know how it is printed.
"""

from __future__ import annotations

import typing as t

from jackfield.capture import tcp
from jackfield.capture.decode import Datagram
from jackfield.tools.ladder import preview
from jackfield.tools.tcp_connection import Connection, Step
from jackfield.tools.tcp_half import Half

Record: t.TypeAlias = dict[str, t.Any]

_ROOM: t.Final = 256
"""Characters of a payload's preview: its bytes, each written as \\xff."""


def of_step(step: Step, payload: bool) -> Record:
    """A segment."""
    segment, options = step.segment, step.segment.options
    record: Record = {
        "type": "segment",
        "connection": step.connection.number,
        "time": segment.time / 1e9,
        "since": step.since / 1e9,
        "delta": step.delta / 1e9,
        "from": str(segment.source),
        "to": str(segment.destination),
        "by": "client" if step.from_client else "server",
        "flags": tcp.flags_text(segment.flags),
        "seq": step.seq,
        "ack": step.ack,
        "seq_raw": segment.seq,
        "ack_raw": segment.ack,
        "length": segment.length,
        "window": step.window,
        "window_scale": step.scale,
        "marks": list(step.marks),
        "states": {"client": step.states[0], "server": step.states[1]},
        "options": {
            "mss": options.mss,
            "window_scale": options.scale,
            "sack_permitted": options.sack_ok,
            "sack": [list(block) for block in options.sacks],
            "timestamps": list(options.times) if options.times else None,
        },
    }
    if payload:
        record["payload"] = preview(segment.payload, _ROOM)
    return record


def of_datagram(datagram: Datagram, payload: bool) -> Record:
    """A UDP datagram."""
    record: Record = {
        "type": "datagram",
        "time": datagram.time / 1e9,
        "from": str(datagram.source),
        "to": str(datagram.destination),
        "length": datagram.length,
    }
    if payload:
        record["payload"] = preview(datagram.payload, _ROOM)
    return record


def of_connection(connection: Connection) -> Record:
    """A connection's summary."""
    return {
        "type": "connection",
        "connection": connection.number,
        "client": _of_half(connection.client),
        "server": _of_half(connection.server),
        "began": connection.start / 1e9,
        "duration": (connection.last - connection.start) / 1e9,
        "handshake": None if connection.handshake is None else connection.handshake / 1e9,
        "joined": connection.joined,
        "ended": connection.ended,
        "states": {"client": connection.states[0], "server": connection.states[1]},
    }


def _of_half(half: Half) -> Record:
    return {
        "end": str(half.end),
        "bytes": half.bytes,
        "segments": half.segments,
        "retransmissions": half.retransmissions,
    }
