"""Ladders as they are drawn: the whole of one, every width, and what a stranger sends."""

from __future__ import annotations

import typing as t

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.capture import packets
from tests.capture.packets import Talk, frame, ipv4, ipv6, tcp_segment, udp

from jackfield.capture.decode import Datagram, decode
from jackfield.capture.tcp import ACK, FIN, PSH, RST, SYN
from jackfield.tools import ladder, units
from jackfield.tools.ladder import Ladder, Line
from jackfield.tools.tcp_connection import Step
from jackfield.tools.wire import Wire


def text(lines: list[Line]) -> list[str]:
    return ["".join(piece for piece, _ in line).rstrip() for line in lines]


def steps(talk: Talk) -> list[Step]:
    wire = Wire()
    return [t.cast("Step", wire.frame(frame)) for frame in talk.frames]


def drawn(talk: Talk, made: Ladder) -> list[str]:
    found = steps(talk)
    lines = text(made.head(found[0].connection))[1:]
    for step in found:
        lines += text(made.rung(step))
    return lines + text(made.summary(found[-1].connection))


@pytest.fixture
def talk() -> Talk:
    made = Talk()
    made.handshake()
    made.say("c", ACK | PSH, 1, 1, payload=b"hello\n\x1b[2J")
    made.say("c", ACK | PSH, 1, 1, payload=b"hello\n\x1b[2J")
    made.say("s", FIN | ACK, 1, 11)
    made.say("c", RST | ACK, 11, 2)
    return made


HUNDRED: t.Final = """\
#1    0.000000          SYN-SENT     ── SYN seq=0 win=1000 mss=1460 scale=7 sack ─────► SYN-RECEIVED
                                        timestamps
#1    0.001000   +1.0ms ESTABLISHED  ◄─ SYN,ACK seq=0 ack=1 win=1000 mss=1460 ───────── SYN-RECEIVED
                                        scale=7 sack timestamps
#1    0.002000   +1.0ms ESTABLISHED  ── ACK seq=1 ack=1 win=128000 ───────────────────► ESTABLISHED
#1    0.003000   +1.0ms ESTABLISHED  ── PSH,ACK seq=1 ack=1 len=10 win=128000 ────────► ESTABLISHED
#1    0.004000   +1.0ms ESTABLISHED  ── PSH,ACK seq=1 ack=1 len=10 [retransmission] ──► ESTABLISHED
#1    0.005000   +1.0ms CLOSE-WAIT   ◄─ FIN,ACK seq=1 ack=11 win=128000 ─────────────── FIN-WAIT-1
#1    0.006000   +1.0ms CLOSED       ── RST,ACK seq=11 ack=2 ─────────────────────────► CLOSED
#1   10.0.0.1:40000 to 10.0.0.2:80: reset by the client, 6.0ms long (handshake 2.0ms)
     client sent 20 bytes in 5 segments, 1 of them again; server sent 0 bytes in 2 segments
"""


def test_100_columns(talk: Talk) -> None:
    begin = text(Ladder(100).head(steps(talk)[0].connection))[0]
    assert begin.split()[2:] == ["10.0.0.1:40000", "10.0.0.2:80"]
    assert len(begin) == 100
    assert drawn(talk, Ladder(100)) == HUNDRED.splitlines()


def test_60_columns_in_ascii(talk: Talk) -> None:
    assert (
        drawn(talk, Ladder(60, ascii_only=True, payload=True))
        == """\
     10.0.0.1:40000 to 10.0.0.2:80
#1          SYN-SENT   -- SYN seq=0 win=1000 ---> SYN-RECV
                          mss=1460 scale=7 sack timestamps
#1   +1.0ms ESTAB      <- SYN,ACK seq=0 ack=1 --- SYN-RECV
                          win=1000 mss=1460 scale=7 sack
                          timestamps
#1   +1.0ms ESTAB      -- ACK seq=1 ack=1 ------> ESTAB
                          win=128000
#1   +1.0ms ESTAB      -- PSH,ACK seq=1 ack=1 --> ESTAB
                          len=10
                          hello\\n\\x1b[2J
#1   +1.0ms ESTAB      -- PSH,ACK seq=1 ack=1 --> ESTAB
                          len=10 [retransmission]
                          hello\\n\\x1b[2J
#1   +1.0ms CLOSE-WAIT <- FIN,ACK seq=1 ack=11 -- FIN-WAIT-1
                          win=128000
#1   +1.0ms CLOSED     -- RST,ACK seq=11 ack=2 -> CLOSED
#1   10.0.0.1:40000 to 10.0.0.2:80: reset by the client,
     6.0ms long (handshake 2.0ms)
     client sent 20 bytes in 5 segments, 1 of them again;
     server sent 0 bytes in 2 segments""".splitlines()
    )


@pytest.mark.parametrize("width", [*range(56, 140, 7), 100, 99])
def test_no_line_is_wider_than_the_terminal(talk: Talk, width: int) -> None:
    talk.say("s", SYN | ACK | FIN | PSH, 5, 7, payload=bytes(100), options=packets.SYN_OPTIONS)
    for line in drawn(talk, Ladder(width, payload=True)):
        assert len(line) <= width


def test_what_has_changed_and_what_is_remarkable_have_roles(talk: Talk) -> None:
    rungs = [Ladder(120).rung(step)[0] for step in steps(talk)]
    assert [(piece, role) for piece, role in rungs[1] if role == ladder.STATE] == [
        ("ESTABLISHED ", ladder.STATE)
    ]
    assert ("[retransmission]", ladder.MARK) in rungs[4]
    assert ("RST,ACK", ladder.RESET) in rungs[6]


def test_absolute_numbers(talk: Talk) -> None:
    lines = drawn(talk, Ladder(120, absolute=True))
    assert "seq=1000" in lines[0]
    assert "seq=5000 ack=1001" in lines[1]


def test_sacks_are_relative_too(talk: Talk) -> None:
    block = b"\1\1\5\x0a" + (1021).to_bytes(4) + (1031).to_bytes(4)
    talk.say("s", ACK, 1, 11, options=block)
    assert "sack=21:31" in drawn(talk, Ladder(120))[-3]
    assert "sack=1021:1031" in drawn(talk, Ladder(120, absolute=True))[-3]


def test_joined_in_the_midst() -> None:
    talk = Talk()
    talk.say("c", ACK, 500, 600)
    lines = drawn(talk, Ladder(120))
    assert lines[0] == "     joined in the midst: its beginning was not seen"
    assert "win=1000*?" in lines[1]


def test_long_addresses() -> None:
    long = "2001:db8:1111:2222:3333:4444:5555:6666"
    step = Wire().frame(frame(ipv6(tcp_segment(flags=SYN), source=long, target=long)))
    assert isinstance(step, Step)
    for width in (60, 120):
        assert f"[{long}]:40000" in "".join(text(Ladder(width).head(step.connection)))


def test_a_datagram() -> None:
    found = decode(frame(ipv4(udp(b"\x1b]0;x\x07"), protocol=17)))
    assert isinstance(found, Datagram)
    lines = text(Ladder(80, payload=True).datagram(found))
    assert lines[0].endswith(" UDP 10.0.0.1:5000 ──► 10.0.0.2:53 len=6")
    assert lines[1] == "    \\x1b]0;x\\x07"


@given(st.binary(max_size=200), st.integers(0, 80))
def test_a_preview_is_safe_and_fits(data: bytes, room: int) -> None:
    shown = ladder.preview(data, room)
    assert shown.isprintable()
    assert len(shown) <= max(room, 8)


def test_previews() -> None:
    assert ladder.preview(b"caf\xc3\xa9 \xff\r\n", 40) == "café \\xff\\r\\n"
    assert ladder.preview("a\u202eb".encode(), 40) == "a\\u202eb"
    assert ladder.preview(bytes(1000), 20) == "\\x00\\x00\\x00\\x00\\..."


@pytest.mark.parametrize(
    ("nanoseconds", "shown"),
    [
        (0, "0us"),
        (999_400, "999us"),
        (1_000_000, "1.0ms"),
        (1_500_000_000, "1.50s"),
        (-13_000, "-13us"),
        (10**30, "1e+21s"),
    ],
)
def test_durations(nanoseconds: int, shown: str) -> None:
    assert units.duration(nanoseconds) == shown


@pytest.mark.parametrize("nanoseconds", [0, -(10**25), 10**25, 2**64, 10**40])
def test_any_time_has_a_clock(nanoseconds: int) -> None:
    assert units.clock(nanoseconds).isprintable()
