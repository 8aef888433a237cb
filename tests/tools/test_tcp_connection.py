"""What is said of segments: numbers, windows, marks. Real traffic is compared with tshark's words
in tests/outside; here is what real traffic seldom shows.
"""

from __future__ import annotations

import struct
import typing as t

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.capture.packets import SYN_OPTIONS, Talk

from jackfield import limits
from jackfield.capture.decode import End
from jackfield.capture.tcp import ACK, FIN, PSH, RST, SYN
from jackfield.tools.tcp_connection import Step
from jackfield.tools.tcp_half import Half
from jackfield.tools.wire import Wire

DATA: t.Final = ACK | PSH


def steps(talk: Talk) -> list[Step]:
    wire = Wire()
    return [t.cast("Step", wire.frame(frame)) for frame in talk.frames]


def marks(talk: Talk) -> list[str]:
    """Of the last segment."""
    return list(steps(talk)[-1].marks)


@pytest.fixture
def talk() -> Talk:
    made = Talk()
    made.handshake()
    return made


def test_numbers_and_times(talk: Talk) -> None:
    talk.say("c", DATA, 1, 1, payload=b"hello")
    talk.say("s", ACK, 1, 6)
    found = steps(talk)
    assert [(step.seq, step.ack) for step in found] == [(0, None), (0, 1), (1, 1), (1, 1), (1, 6)]
    assert [step.delta for step in found] == [0, *[10**6] * 4]
    assert [step.since for step in found] == [n * 10**6 for n in range(5)]
    assert [step.from_client for step in found] == [True, False, True, True, False]
    connection = found[-1].connection
    assert connection.handshake == 2 * 10**6
    assert (connection.client.bytes, connection.client.segments) == (5, 3)
    assert [step.first for step in found] == [True, *[False] * 4]


def test_sequence_numbers_wrap() -> None:
    talk = Talk(client_isn=0xFFFFFFF0, server_isn=0xFFFFFFFF)
    talk.handshake()
    talk.say("c", DATA, 1, 1, payload=bytes(40))
    talk.say("s", ACK, 1, 41)
    last = steps(talk)[-1]
    assert (last.seq, last.ack, last.marks) == (1, 41, ())


def test_numbers_beyond_four_gigabytes() -> None:
    half = Half(End(b"\x7f\0\0\1", 1))
    half.base, half.next = 1000, 0
    for _ in range(9):
        half.next = half.relative((1000 + half.next + (1 << 30)) & 0xFFFFFFFF)
    assert half.next == 9 << 30


def test_windows_are_scaled_where_both_offer_it(talk: Talk) -> None:
    assert [(step.window, step.scale) for step in steps(talk)] == [
        (1000, 0),
        (1000, 0),  # in a SYN it never is
        (128000, 7),
    ]


def test_windows_are_not_scaled_unless_both_offer_it() -> None:
    talk = Talk()
    talk.say("c", SYN, options=SYN_OPTIONS)
    talk.say("s", SYN | ACK, ack=1)
    talk.say("c", ACK, 1, 1)
    assert (steps(talk)[-1].window, steps(talk)[-1].scale) == (1000, 0)


def test_the_scale_is_not_known_in_the_midst() -> None:
    talk = Talk()
    talk.say("c", ACK, 50, 60)
    assert (steps(talk)[-1].window, steps(talk)[-1].scale) == (1000, None)


def test_sent_again(talk: Talk) -> None:
    talk.say("c", DATA, 1, 1, payload=b"hello")
    talk.say("c", DATA, 1, 1, payload=b"hello")
    assert marks(talk) == ["retransmission"]
    talk.say("s", ACK, 1, 6)
    talk.say("c", DATA, 1, 1, payload=b"hello")
    assert marks(talk) == ["spurious retransmission"]
    assert steps(talk)[-1].connection.client.retransmissions == 2


def test_lost_and_fast_again(talk: Talk) -> None:
    for number in range(4):
        talk.say("c", DATA, 1 + 5 * number, 1, payload=b"hello")
    talk.say("s", ACK, 1, 6)
    for number in range(1, 4):
        talk.say("s", ACK, 1, 6)
        assert marks(talk) == [f"duplicate ACK #{number}"]
    talk.say("c", DATA, 6, 1, payload=b"hello")
    assert marks(talk) == ["fast retransmission"]


def test_out_of_order_fills_a_gap(talk: Talk) -> None:
    talk.say("c", DATA, 6, 1, payload=b"world")
    assert marks(talk) == ["gap before"]
    talk.say("c", DATA, 1, 1, payload=b"hello")
    assert marks(talk) == ["out of order"]
    talk.say("c", DATA, 1, 1, payload=b"hello")
    assert marks(talk) == ["retransmission"]


def test_acknowledged_but_never_seen(talk: Talk) -> None:
    talk.say("s", ACK, 1, 500)
    assert marks(talk) == ["acknowledges what was not seen"]
    talk.say("s", DATA, 1, 500, payload=b"x")
    assert marks(talk) == []


def test_a_window_closes_is_probed_and_opens(talk: Talk) -> None:
    talk.say("s", ACK, 1, 1, window=0)
    assert marks(talk) == ["zero window"]
    talk.say("c", ACK, 0, 1)
    assert marks(talk) == ["window probe"]
    talk.say("s", ACK, 1, 1, window=0)
    assert marks(talk) == ["zero window", "window probe ACK"]
    talk.say("c", DATA, 1, 1, payload=b"h")
    assert marks(talk) == ["window probe"]
    talk.say("s", ACK, 1, 1, window=9)
    assert marks(talk) == ["window update"]
    talk.say("c", DATA, 1, 1, payload=b"hello")
    assert marks(talk) == []


def test_a_window_that_is_filled(talk: Talk) -> None:
    talk.say("s", ACK, 1, 1, window=1)  # 128 bytes
    talk.say("c", DATA, 1, 1, payload=bytes(128))
    assert marks(talk) == ["window full"]


def test_keep_alive(talk: Talk) -> None:
    for payload in (b"", b"\0"):  # with a byte of rubbish or without (RFC 1122, 4.2.3.6)
        talk.say("s", ACK, 1, 1)
        talk.say("c", ACK, 0, 1, payload=payload)
        assert marks(talk) == ["keep-alive"]
        talk.say("s", ACK, 1, 1)
        assert marks(talk) == ["keep-alive ACK"]


def test_broken_options_are_marked(talk: Talk) -> None:
    talk.say("c", DATA, 1, 1, payload=b"x", options=b"\2\xff\0\0")
    assert marks(talk) == ["broken options"]


def test_a_reset_says_nothing_of_windows(talk: Talk) -> None:
    talk.say("c", RST, 1, window=0)
    assert marks(talk) == []


def test_holes_are_bounded(talk: Talk) -> None:
    for number in range(1, 500):
        talk.say("c", DATA, 10 * number, 1, payload=b"x")
    client = steps(talk)[-1].connection.client
    assert len(client.holes) == limits.WIRE_HOLES


def test_the_last_segment_tells_of_sacks(talk: Talk) -> None:
    block = struct.pack("!BBBBII", 1, 1, 5, 10, 1006, 1011)
    talk.say("s", ACK, 1, 1, options=block)
    assert steps(talk)[-1].segment.options.sacks == ((1006, 1011),)


@given(
    st.lists(
        st.tuples(
            st.sampled_from("cs"),
            st.sampled_from([SYN, SYN | ACK, ACK, DATA, FIN | ACK, RST, RST | ACK, 0, 255]),
            st.integers(-3, 12) | st.integers(0, 2**32 - 1),
            st.integers(-3, 12) | st.integers(0, 2**32 - 1),
            st.sampled_from([b"", b"x", b"hello"]),
            st.sampled_from([0, 1, 1000]),
        ),
        max_size=25,
    )
)
def test_any_segments(said: list[tuple[str, int, int, int, bytes, int]]) -> None:
    talk, wire = Talk(), Wire()
    for who, flags, seq, ack, payload, window in said:
        step = wire.frame(talk.say(who, flags, seq, ack, payload=payload, window=window))
        assert isinstance(step, Step)
        assert len(step.connection.client.holes) <= limits.WIRE_HOLES
        assert step.connection.ended
        for half in (step.connection.client, step.connection.server):
            assert all(a < b <= (half.next or 0) for a, b in half.holes)
    assert sum(c.client.segments + c.server.segments for c in wire.tracker) == len(said)
