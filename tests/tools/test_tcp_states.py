"""The states of both ends, step by step, against the figures of RFC 9293."""

from __future__ import annotations

import typing as t

import pytest
from tests.capture.packets import Talk

from jackfield.capture.tcp import ACK, FIN, PSH, RST, SYN
from jackfield.tools.tcp_connection import Connection, Step
from jackfield.tools.wire import Wire

ESTABLISHED: t.Final = ("ESTABLISHED", "ESTABLISHED")
HANDSHAKE: t.Final = (("c", SYN, 0, 0), ("s", SYN | ACK, 0, 1), ("c", ACK, 1, 1))

Said: t.TypeAlias = tuple[str, int, int, int]
"""Who, flags, sequence number, acknowledgement."""


def steps(said: t.Sequence[Said]) -> list[Step]:
    talk, wire = Talk(), Wire()
    for who, flags, seq, ack in said:
        talk.say(who, flags, seq, ack)
    found = [wire.frame(frame) for frame in talk.frames]
    assert all(isinstance(step, Step) for step in found)
    return t.cast("list[Step]", found)


def states(said: t.Sequence[Said]) -> list[tuple[str, str]]:
    return [step.states for step in steps(said)]


def connection(said: t.Sequence[Said]) -> Connection:
    return steps(said)[-1].connection


def test_figure_6_the_handshake() -> None:
    assert states([*HANDSHAKE, ("c", ACK | PSH, 1, 1)]) == [
        ("SYN-SENT", "SYN-RECEIVED"),
        ("ESTABLISHED", "SYN-RECEIVED"),
        ESTABLISHED,
        ESTABLISHED,
    ]


def test_figure_7_both_at_once() -> None:
    said = [("c", SYN, 0, 0), ("s", SYN, 0, 0), ("c", SYN | ACK, 0, 1), ("s", SYN | ACK, 0, 1)]
    assert states(said) == [
        ("SYN-SENT", "SYN-RECEIVED"),
        ("SYN-RECEIVED", "SYN-RECEIVED"),
        ("SYN-RECEIVED", "ESTABLISHED"),
        ESTABLISHED,
    ]


def test_figure_12_the_close_in_four_steps() -> None:
    close = [("c", FIN | ACK, 1, 1), ("s", ACK, 1, 2), ("s", FIN | ACK, 1, 2), ("c", ACK, 2, 2)]
    assert states([*HANDSHAKE, *close])[3:] == [
        ("FIN-WAIT-1", "CLOSE-WAIT"),
        ("FIN-WAIT-2", "CLOSE-WAIT"),
        ("TIME-WAIT", "LAST-ACK"),
        ("TIME-WAIT", "CLOSED"),
    ]
    assert connection([*HANDSHAKE, *close]).ended == "closed, first by the client"


def test_the_close_in_three_steps_by_the_server() -> None:
    close = [("s", FIN | ACK, 1, 1), ("c", FIN | ACK, 1, 2), ("s", ACK, 2, 2)]
    assert states([*HANDSHAKE, *close])[3:] == [
        ("CLOSE-WAIT", "FIN-WAIT-1"),
        ("LAST-ACK", "TIME-WAIT"),
        ("CLOSED", "TIME-WAIT"),
    ]
    assert connection([*HANDSHAKE, *close]).ended == "closed, first by the server"


def test_figure_13_both_close_at_once() -> None:
    close = [("c", FIN | ACK, 1, 1), ("s", FIN | ACK, 1, 1), ("c", ACK, 2, 2), ("s", ACK, 2, 2)]
    assert states([*HANDSHAKE, *close])[3:] == [
        ("FIN-WAIT-1", "CLOSE-WAIT"),
        ("CLOSING", "CLOSING"),
        ("CLOSING", "TIME-WAIT"),
        ("TIME-WAIT", "TIME-WAIT"),
    ]
    assert connection([*HANDSHAKE, *close]).ended == "closed, by both at once"


def test_the_last_acknowledgement_was_lost() -> None:
    """The FIN is sent again, which shows that its end is not CLOSED yet."""
    close = [
        *(("c", FIN | ACK, 1, 1), ("s", FIN | ACK, 1, 2), ("c", ACK, 2, 2)),
        *(("s", FIN | ACK, 1, 2), ("c", ACK, 2, 2)),
    ]
    assert states([*HANDSHAKE, *close])[5:] == [
        ("TIME-WAIT", "CLOSED"),
        ("TIME-WAIT", "LAST-ACK"),
        ("TIME-WAIT", "CLOSED"),
    ]


def test_half_closed_goes_on() -> None:
    said = [*HANDSHAKE, ("c", FIN | ACK, 1, 1), ("s", ACK | PSH, 1, 2)]
    assert states(said)[-1] == ("FIN-WAIT-2", "CLOSE-WAIT")
    assert connection(said).ended == "half closed, by the client"
    assert not connection(said).over


def test_refused() -> None:
    said = [("c", SYN, 0, 0), ("s", RST | ACK, 0, 1)]
    assert states(said)[-1] == ("CLOSED", "CLOSED")
    assert connection(said).ended == "refused"


@pytest.mark.parametrize(("who", "name"), [("c", "client"), ("s", "server")])
def test_reset(who: str, name: str) -> None:
    said = [*HANDSHAKE, (who, RST | ACK, 1, 1)]
    assert states(said)[-1] == ("CLOSED", "CLOSED")
    assert connection(said).ended == f"reset by the {name}"
    assert connection(said).over


def test_a_reset_from_outside_the_window_is_not_obeyed() -> None:
    step = steps([*HANDSHAKE, ("s", RST, 1 << 20, 0)])[-1]
    assert (step.states, step.marks) == (ESTABLISHED, ("outside the window",))
    assert step.connection.ended == "open"


def test_a_syn_that_nobody_answers() -> None:
    assert states([("c", SYN, 0, 0)] * 3) == [
        ("SYN-SENT", "SYN-RECEIVED"),
        ("SYN-SENT", "?"),
        ("SYN-SENT", "?"),
    ]
    assert connection([("c", SYN, 0, 0)] * 3).ended == "not established"


def test_joined_in_the_midst() -> None:
    assert states([("c", ACK, 500, 700)]) == [ESTABLISHED]
    assert states([("s", SYN | ACK, 0, 1)]) == [("ESTABLISHED", "SYN-RECEIVED")]
    assert states([("c", FIN | ACK, 500, 700)]) == [("FIN-WAIT-1", "CLOSE-WAIT")]
    assert states([("c", RST, 500, 0)]) == [("CLOSED", "CLOSED")]
    assert connection([("c", ACK, 500, 700)]).joined


def test_a_fin_behind_what_is_missing_has_not_arrived() -> None:
    said = [*HANDSHAKE, ("c", FIN | ACK, 101, 1)]
    assert states(said)[-1] == ("FIN-WAIT-1", "ESTABLISHED")
