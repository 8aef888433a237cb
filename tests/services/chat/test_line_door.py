"""The line door: what is typed, in whatever pieces and at whatever speed, and what is refused."""

from __future__ import annotations

import re
import typing as t
from collections.abc import Callable

import pytest
from tests.services.chat.people import Person

from jackfield import limits
from jackfield.errors import DeadlineError, FloodError, ProtocolViolation
from jackfield.rooms.flood import FloodControl

Enter: t.TypeAlias = Callable[..., Person]

IAC, DONT, DO, WONT, WILL, SB, SE = (bytes([code]) for code in (255, 254, 253, 252, 251, 250, 240))


class Clock:
    """Seconds, moved by the test."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


# --- the first lines -------------------------------------------------------------------------


def test_a_newcomer_is_welcomed_told_its_name_and_how_to_get_help(
    chat: t.Any, connect: t.Any, enter: Enter
) -> None:
    enter("alice").type("hello?")
    door = enter(greeting="Hello from Basel").door  # only for its class and chat
    transport = connect(type(door)(chat, greeting="Hello from Basel", flood=0))
    transport.engine.settle()
    assert transport.take().decode().split("\r\n") == [
        "-- Hello from Basel",
        "-- welcome, you are guest-3; what you type goes to everybody in lobby",
        "-- /nick NAME chooses a name, /help shows the other commands",
        "<alice> hello?",
        "-- guest-3 joined lobby",
        "",
    ]


def test_nothing_of_telnet_is_ever_sent_first(chat: t.Any, connect: t.Any, enter: Enter) -> None:
    door = enter("alice").door
    transport = connect(type(door)(chat, flood=0))
    assert b"\xff" not in transport.written


# --- lines -----------------------------------------------------------------------------------


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r\0"])
def test_any_usual_end_of_line(enter: Enter, end: bytes) -> None:
    alice, bob = enter("alice"), enter("bob")
    bob.read()
    alice.send(b"one" + end + b"two" + end)
    assert bob.read() == ["<alice> one", "<alice> two"]


def test_byte_by_byte(enter: Enter) -> None:
    alice, bob = enter("alice"), enter("bob")
    bob.read()
    for byte in "grüß dich 👋\r\n//ok\r\n".encode():
        alice.send(bytes([byte]))
    assert bob.read() == ["<alice> grüß dich 👋", "<alice> /ok"]


def test_empty_lines_say_nothing(enter: Enter) -> None:
    alice, bob = enter("alice"), enter("bob")
    bob.read()
    assert alice.ask("", "   ", "") == []
    assert bob.read() == []


def test_the_last_line_of_a_pipe_needs_no_end(enter: Enter) -> None:
    alice, bob = enter("alice"), enter("bob")
    bob.read()
    alice.send(b"from a pipe")
    assert bob.read() == []
    alice.door.eof_received()
    assert bob.read() == ["<alice> from a pipe", "-- alice left lobby"]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"caf\xe9", "that line is not valid UTF-8"),
        (b"\x1b]0;title\x07", "that line contains control characters"),
        (b"one\rtwo", "that line contains control characters"),
        (b"one\0two", "that line contains control characters"),
        (b"/me \x1b[2J", "that line contains control characters"),
        (b"/nick \x08\x08\x08", "that line contains control characters"),
        ("/msg bob \u202eevil".encode(), "that line contains characters that reorder or break"),
        ("\u2028-- bob left".encode(), "that line contains characters that reorder or break"),
        (b"x" * (limits.CHAT_LINE + 1), f"a line has at most {limits.CHAT_LINE} bytes"),
        (b"x" * 1_000_000, f"a line has at most {limits.CHAT_LINE} bytes"),
    ],
)
def test_what_is_refused_is_told_and_never_relayed(enter: Enter, line: bytes, why: str) -> None:
    alice, bob = enter("alice"), enter("bob")
    bob.read()
    alice.read()
    alice.send(line + b"\r\nstill here\r\n")
    notice, after = alice.read()
    assert notice.startswith(f"-- {why}")
    assert notice.endswith("; it was not sent")
    assert after == "<alice> still here"
    assert bob.read() == ["<alice> still here"]


def test_the_longest_line_passes_whole(enter: Enter) -> None:
    alice, bob = enter("alice"), enter("bob")
    bob.read()
    alice.type("x" * limits.CHAT_LINE)
    assert bob.read() == ["<alice> " + "x" * limits.CHAT_LINE]


def test_an_endless_line_is_told_once_and_takes_no_memory(enter: Enter) -> None:
    alice, bob = enter("alice"), enter("bob")
    bob.read()
    alice.read()
    for _ in range(100):
        alice.send(b"x" * 10_000)
    assert len(alice.read()) == 1
    assert alice.door._splitter.pending <= limits.CHAT_LINE + 1
    alice.send(b"\nhello\n")
    assert bob.read() == ["<alice> hello"]


# --- who is no chat client -------------------------------------------------------------------

GET: t.Final = b"GET /chat HTTP/1.1\r\nHost: 127.0.0.1:8888\r\nAccept: */*\r\n\r\n"
BODY: t.Final = b"hello everybody\r\n/nick evil\r\n"


@pytest.mark.parametrize(
    "request_",
    [
        GET,
        b"POST / HTTP/1.1\r\nHost: localhost\r\n\r\n" + BODY,
        # Its request line is over-long, so that it would be discarded and the rest be obeyed.
        b"POST /" + b"a" * 3000 + b" HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n" + BODY,
        b"POST /\xfe HTTP/1.1\r\nHost: localhost\r\n\r\n" + BODY,
    ],
    ids=["GET", "POST", "over-long", "not UTF-8"],
)
@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_a_browser_is_disconnected_before_it_says_anything(
    enter: Enter, request_: bytes, size: int
) -> None:
    bob, browser = enter("bob"), enter(flood=limits.FLOOD_RATE)
    bob.read()
    for start in range(0, len(request_), size):
        browser.send(request_[start : start + size])
    assert isinstance(browser.transport.evicted, ProtocolViolation)
    assert browser.read()[-1] == "-- disconnected: this is a chat server, not a web server"
    assert bob.read() == ["-- guest-2 left lobby"]


# --- telnet ----------------------------------------------------------------------------------

NEGOTIATION: t.Final = (
    b"he" + IAC + WILL + b"\x18" + b"l" + IAC + DO + b"\x01" + b"lo "
    + IAC + SB + b"\x18\0xterm\r\n" + IAC + SE + b"all" + IAC + b"\xf1" + b"\r\n"
)  # fmt: skip
ANSWER: t.Final = IAC + DONT + b"\x18" + IAC + WONT + b"\x01"


@pytest.mark.parametrize("cut", range(len(NEGOTIATION) + 1))
def test_telnet_options_are_refused_and_filtered_wherever_they_are_cut(
    enter: Enter, cut: int
) -> None:
    alice, bob = enter("alice"), enter("bob")
    bob.read()
    alice.read()
    alice.send(NEGOTIATION[:cut])
    alice.send(NEGOTIATION[cut:])
    assert bob.read() == ["<alice> hello all"]
    assert alice.read_bytes() == ANSWER + b"<alice> hello all\r\n"


def test_refusals_are_not_answered_so_that_no_loop_arises(enter: Enter) -> None:
    alice = enter("alice")
    alice.read()
    alice.send((IAC + DONT + b"\x01" + IAC + WONT + b"\x18") * 100)
    assert alice.read_bytes() == b""
    alice.send((IAC + DO + b"\x01") * 100)
    assert alice.read_bytes() == IAC + WONT + b"\x01"


def test_a_quoted_iac_is_data_and_so_no_utf8(enter: Enter) -> None:
    alice, bob = enter("alice"), enter("bob")
    bob.read()
    alice.read()
    alice.send(b"a" + IAC + IAC + b"b\r\n")
    assert alice.read() == ["-- that line is not valid UTF-8; it was not sent"]
    assert bob.read() == []


# --- flood control ---------------------------------------------------------------------------


def test_a_flood_is_warned_about_exactly_as_announced_and_then_ends(enter: Enter) -> None:
    clock = Clock()
    alice, bob = enter("alice"), enter(flood=1.0, clock=clock)
    for number in range(limits.FLOOD_BURST):
        bob.send(b"line %d\n" % number)
    assert len([line for line in alice.read() if line.startswith("<guest-2> line")]) == 20
    bob.read()
    for left in range(limits.FLOOD_STRIKES, 0, -1):
        bob.send(b"too much\n")
        (warning,) = bob.read()
        announced = re.search(r"after (\d+) more", warning)
        assert announced
        assert int(announced[1]) == left
        assert not bob.transport.closing
    bob.send(b"and one more\n")
    assert isinstance(bob.transport.evicted, FloodError)
    assert bob.read() == ["-- disconnected: too many lines too fast"]
    assert alice.read() == ["-- guest-2 left lobby"]


def test_who_waits_is_heard_and_forgiven(enter: Enter) -> None:
    clock = Clock()
    alice, bob = enter("alice"), enter(flood=1.0, clock=clock)
    for _ in range(limits.FLOOD_BURST + 5):
        bob.send(b"x\n")
    alice.read()
    clock.now += 1.0
    bob.type("heard")
    assert alice.read() == ["<guest-2> heard"]
    clock.now += 1000.0
    flood = t.cast(FloodControl, bob.door._flood)
    bob.type("calm")
    assert flood.strikes_left == limits.FLOOD_STRIKES


@pytest.mark.parametrize("line", [b"\n", b"/who\n", b"\xff\xff\n", b"\x1b\n", b"x" * 2000 + b"\n"])
def test_every_line_counts_whatever_it_is(enter: Enter, line: bytes) -> None:
    person = enter(flood=1.0, clock=Clock())
    for _ in range(limits.FLOOD_BURST + limits.FLOOD_STRIKES + 1):
        person.send(line)
    assert isinstance(person.transport.evicted, FloodError)


def test_long_lines_are_bounded_by_their_bytes(enter: Enter) -> None:
    alice, bob = enter("alice"), enter(flood=1.0, clock=Clock())
    alice.read()
    for _ in range(limits.FLOOD_BURST):
        bob.send(b"x" * limits.CHAT_LINE + b"\n")
    allowed = limits.FLOOD_BURST * limits.FLOOD_BYTES_PER_LINE // limits.CHAT_LINE
    assert len(alice.read()) == allowed


def test_flood_off_lets_everything_pass(enter: Enter) -> None:
    alice, bob = enter("alice"), enter(flood=0)
    alice.read()
    for _ in range(1000):
        bob.send(b"x\n")
    assert alice.read() == ["<guest-2> x"] * 1000


# --- the end, seen from the server -----------------------------------------------------------


def test_a_deadline_is_told_to_who_missed_it_and_the_rest_see_somebody_leave(enter: Enter) -> None:
    alice, bob = enter("alice"), enter("bob")
    alice.read()
    bob.read()
    bob.transport.evict(DeadlineError("idle for 60 s", "idle-timeout"))
    assert bob.read() == ["-- disconnected: idle for 60 s"]
    assert alice.read() == ["-- bob left lobby"]
