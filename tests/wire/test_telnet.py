from __future__ import annotations

import typing as t

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jackfield.wire.telnet import TelnetFilter

IAC, DONT, DO, WONT, WILL, SB, SE = b"\xff", b"\xfe", b"\xfd", b"\xfc", b"\xfb", b"\xfa", b"\xf0"
ECHO, SGA, TIMING_MARK, NAWS = b"\x01", b"\x03", b"\x06", b"\x1f"

BSD_TELNET = bytes.fromhex(
    "fffd03"  # DO SUPPRESS-GO-AHEAD
    "fffb18 fffb1f fffb20 fffb21 fffb22 fffb27"  # WILL TTYPE NAWS TSPEED LFLOW LINEMODE NEW-ENV
    "fffd05"  # DO STATUS
    "fffb23"  # WILL XDISPLOC
)
"""What the BSD telnet client (Debian's and macOS's) sends first when it begins to negotiate."""

BSD_REFUSED = bytes.fromhex("fffc03 fffe18 fffe1f fffe20 fffe21 fffe22 fffe27 fffc05 fffe23")

CASES = [
    (b"hello\r\n", b"hello\r\n", b""),
    (b"a" + IAC + IAC + b"b", b"a\xffb", b""),
    (IAC + WILL + ECHO, b"", IAC + DONT + ECHO),
    (IAC + DO + ECHO, b"", IAC + WONT + ECHO),
    (IAC + WONT + ECHO + IAC + DONT + ECHO, b"", b""),
    (b"a" + IAC + b"\xf1b" + IAC + b"\xf6c", b"abc", b""),  # NOP, AYT
    (IAC + b"\xf4" + IAC + b"\xf3x" + IAC + b"\xf7" + IAC + b"\xf8" + IAC + b"\xf9", b"x", b""),
    (b"a" + IAC + SB + NAWS + b"\x00\x50\x00\x18" + IAC + SE + b"b", b"ab", b""),
    (b"a" + IAC + SB + b"x" + IAC + IAC + SE + b"y" + IAC + SE + b"b", b"ab", b""),
    (IAC + SB + b"lost" + IAC + WILL + ECHO + b"found", b"found", IAC + DONT + ECHO),
    (IAC + SB + b"one" + IAC + SB + b"two" + IAC + SE + b"b", b"b", b""),
    (IAC + SE + b"x", b"x", b""),
    (IAC + WILL + IAC + b"x", b"x", IAC + DONT + IAC),
    (b"no option\r\0" + IAC + DO + b"\n", b"no option\r\0", IAC + WONT + b"\n"),
    (BSD_TELNET + b"/nick ann\r\n", b"/nick ann\r\n", BSD_REFUSED),
    (BSD_TELNET + BSD_TELNET, b"", BSD_REFUSED),
]


def filtered(chunks: t.Iterable[bytes]) -> tuple[bytes, bytes]:
    telnet = TelnetFilter()
    typed = replies = b""
    for chunk in chunks:
        more, reply = telnet.feed(chunk)
        typed += more
        replies += reply
    return typed, replies


def single_bytes(data: bytes) -> list[bytes]:
    return [data[i : i + 1] for i in range(len(data))]


def reference(data: bytes) -> tuple[bytes, bytes]:
    """A plain state machine, a byte at a time."""
    typed, replies = bytearray(), bytearray()
    answered: set[tuple[int, int]] = set()
    state, verb = "data", 0
    inside = False
    for byte in data:
        if state == "iac":
            state = "data"
            if byte == 255:
                if not inside:
                    typed.append(byte)
            else:
                inside = byte == 250
                if 251 <= byte <= 254:
                    state, verb = "option", byte
        elif state == "option":
            state = "data"
            repeatable = (verb, byte) == (253, 6)
            if verb in (251, 253) and (repeatable or (verb, byte) not in answered):
                answered.add((verb, byte))
                replies += bytes((255, {251: 254, 253: 252}[verb], byte))
        elif byte == 255:
            state = "iac"
        elif not inside:
            typed.append(byte)
    return bytes(typed), bytes(replies)


@pytest.mark.parametrize(("data", "typed", "replies"), CASES)
def test_whole_and_cut_anywhere(data: bytes, typed: bytes, replies: bytes) -> None:
    assert reference(data) == (typed, replies)
    assert filtered([data]) == (typed, replies)
    assert filtered(single_bytes(data)) == (typed, replies)
    for cut in range(len(data) + 1):
        assert filtered([data[:cut], b"", data[cut:], b"tail"]) == (typed + b"tail", replies)


telnet_bytes = st.lists(
    st.sampled_from([IAC, IAC, DONT, DO, WONT, WILL, SB, SE, ECHO, TIMING_MARK, b"a", b"\r\n"]),
    max_size=30,
).map(b"".join)


@given(st.lists(telnet_bytes | st.binary(max_size=20), max_size=6))
def test_any_chunks_give_the_same_as_the_state_machine(chunks: list[bytes]) -> None:
    assert filtered(chunks) == reference(b"".join(chunks))


def test_data_without_commands_is_the_same_object() -> None:
    telnet = TelnetFilter()
    data = b"nothing to do here\r\n"
    typed, replies = telnet.feed(data)
    assert typed is data
    assert replies == b""
    telnet.feed(IAC + WILL + ECHO)
    assert telnet.feed(data)[0] is data


def test_an_offer_is_refused_once_and_a_timing_mark_each_time() -> None:
    telnet = TelnetFilter()
    assert telnet.feed(IAC + WILL + SGA) == (b"", IAC + DONT + SGA)
    assert telnet.feed(IAC + WILL + SGA) == (b"", b"")
    assert telnet.feed(IAC + DO + SGA) == (b"", IAC + WONT + SGA)
    assert telnet.feed(IAC + DO + SGA) == (b"", b"")
    interrupt = IAC + b"\xf4" + IAC + DO + TIMING_MARK  # BSD telnet on Ctrl-C: IP, DO TM
    for _ in range(3):
        assert telnet.feed(interrupt) == (b"", IAC + WONT + TIMING_MARK)
    assert telnet.feed(IAC + WILL + TIMING_MARK) == (b"", IAC + DONT + TIMING_MARK)
    assert telnet.feed(IAC + WILL + TIMING_MARK) == (b"", b"")


def test_the_replies_to_any_peer_are_bounded() -> None:
    telnet = TelnetFilter()
    everything = b"".join(
        IAC + bytes((verb, option)) for verb in range(251, 255) for option in range(256)
    )
    _, replies = telnet.feed(everything)
    assert len(replies) == 3 * 512
    _, again = telnet.feed(everything * 3)
    assert again == (IAC + WONT + TIMING_MARK) * 3


@given(telnet_bytes | st.binary(max_size=60), telnet_bytes)
def test_two_filters_wired_to_each_other_fall_silent(first: bytes, second: bytes) -> None:
    here, there = TelnetFilter(), TelnetFilter()
    to_there, to_here = first, second
    for _ in range(4):
        _, from_there = there.feed(to_there)
        _, from_here = here.feed(to_here)
        to_there, to_here = from_here, from_there
    assert (to_there, to_here) == (b"", b"")


@given(st.binary(max_size=40).filter(lambda data: IAC not in data))
def test_nothing_is_sent_to_a_client_that_is_no_telnet(data: bytes) -> None:
    assert filtered([data]) == (data, b"")


def test_an_endless_subnegotiation_is_not_stored() -> None:
    telnet = TelnetFilter()
    telnet.feed(IAC + SB)
    for _ in range(50):
        assert telnet.feed(b"x" * 1000) == (b"", b"")
    held = sum(len(getattr(telnet, name) or b"") for name in ("_held", "_answered"))
    assert held == 0
    assert telnet.feed(IAC + SE + b"back") == (b"back", b"")
