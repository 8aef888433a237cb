"""Who is there, in which rooms: several people at once, as each of them sees it."""

from __future__ import annotations

import re
import typing as t
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.services.by_hand import HandEngine, HandTransport
from tests.services.chat.people import Person, check_tables

from jackfield import limits
from jackfield.errors import LagError, ServerStopping
from jackfield.services.chat import commands
from jackfield.services.chat.chat import Chat, Refused
from jackfield.services.chat.line_door import LineDoor
from jackfield.services.chat.replica import ChatReplica

Enter: t.TypeAlias = Callable[..., Person]

# --- coming and going ------------------------------------------------------------------------


def test_who_comes_is_a_guest_in_the_lobby_with_a_number_of_its_own(enter: Enter) -> None:
    first, second = enter(), enter()
    assert first.ask("/nick") == ["-- you are guest-1"]
    assert second.ask("/nick") == ["-- you are guest-2"]
    second.leave()
    assert enter().ask("/nick") == ["-- you are guest-3"]  # numbers are not given twice
    assert first.ask("/who") == ["-- 2 users in lobby", "-- guest-1 guest-3"]


def test_those_who_are_there_hear_who_comes_renames_and_goes(enter: Enter) -> None:
    alice = enter("alice")
    bob = enter()
    bob.type("/nick bob")
    bob.leave()
    assert alice.read() == [
        "-- guest-2 joined lobby",
        "-- guest-2 is now bob",
        "-- bob left lobby",
    ]


def test_every_line_reaches_every_member_the_sender_too_in_one_order(
    enter: Enter, engine: t.Any
) -> None:
    people = [enter(name) for name in ("alice", "bob", "carol")]
    for person in people:
        person.read()
    for number in range(10):  # all in one tick, and the same for everybody
        for person in people:
            person.send(f"line {number}\r\n".encode())
    transcripts = [person.read() for person in people]
    assert transcripts[0] == [
        f"<{name}> line {number}" for number in range(10) for name in ("alice", "bob", "carol")
    ]
    assert transcripts[1:] == transcripts[:1] * 2


def test_the_order_is_the_same_for_who_is_answered_in_the_midst_of_it(enter: Enter) -> None:
    alice, bob = enter("alice"), enter("bob")
    alice.read()
    alice.send(b"one\r\n/nick\r\ntwo\r\n")
    bob.send(b"three\r\n")
    assert alice.read() == ["<alice> one", "-- you are alice", "<alice> two", "<bob> three"]
    assert bob.read() == ["<alice> one", "<alice> two", "<bob> three"]


def test_what_was_said_before_somebody_left_in_the_same_tick_still_reaches_everybody(
    enter: Enter,
) -> None:
    alice, bob, carol = enter("alice"), enter("bob"), enter("carol")
    for person in (alice, bob, carol):
        person.read()
    bob.send(b"last words\r\n")
    carol.send(b"hello\r\n")
    bob.send(b"/quit\r\n")
    alice.send(b"bye\r\n")
    assert bob.read() == ["<bob> last words", "<carol> hello", "-- goodbye"]
    expected = ["<bob> last words", "<carol> hello", "-- bob left lobby", "<alice> bye"]
    assert alice.read() == carol.read() == expected


def test_a_connection_that_breaks_while_others_talk(enter: Enter) -> None:
    alice, bob = enter("alice"), enter("bob")
    alice.read()
    alice.send(b"are you there?\r\n")
    bob.leave()
    assert alice.read() == ["<alice> are you there?", "-- bob left lobby"]
    assert alice.ask("/who") == ["-- 1 user in lobby", "-- alice"]


def test_a_name_is_free_again_when_its_bearer_has_gone(enter: Enter) -> None:
    enter("alice").leave()
    assert enter().ask("/nick Alice") == ["-- guest-2 is now Alice"]


def test_somebody_who_lags_too_far_is_closed_and_leaves_every_room(
    enter: Enter, engine: t.Any
) -> None:
    alice, slow = enter("alice"), enter("slow")
    slow.type("/join tea")
    alice.type("/join tea")
    alice.read()
    slow.transport.waiting = limits.LAG_HARD + 1
    alice.type("anybody?")
    assert isinstance(slow.transport.evicted, LagError)
    assert set(alice.read()) == {
        "[tea] <alice> anybody?",
        "-- slow left tea",
        "-- slow left lobby",
    }
    assert slow.read()[-1].startswith("-- disconnected: ")
    slow.door.connection_lost(slow.transport.evicted)  # as a transport does it afterwards
    assert alice.read() == []


def test_who_lags_is_spared_comings_and_goings_but_no_words(enter: Enter) -> None:
    alice, slow = enter("alice"), enter("slow")
    slow.transport.waiting = limits.LAG_SOFT + 1
    alice.type("one")
    slow.read()
    enter("bob")
    alice.type("two")
    assert slow.read() == ["<alice> two"]


def test_a_server_that_stops_says_so_and_spares_the_rooms_a_word_for_each(enter: Enter) -> None:
    people = [enter(), enter(), enter()]
    for person in people:
        person.read()
    for person in people:
        person.door.closing(ServerStopping("the server is shutting down"))
    for person in people:
        assert person.read() == ["-- disconnected: the server is shutting down"]


# --- limits ----------------------------------------------------------------------------------


def test_rooms_per_user_are_limited(enter: Enter) -> None:
    alice = enter("alice")
    for number in range(1, limits.ROOMS_PER_USER):
        alice.type(f"/join room{number}")
    assert alice.ask("/join more") == [
        f"-- you are in {limits.ROOMS_PER_USER} rooms already; /part one first"
    ]
    assert alice.ask("/rooms")[0] == f"-- {limits.ROOMS_PER_USER} rooms"  # none was opened
    alice.type("/part room3")
    assert alice.ask("/join more")[-1].startswith("-- you are in more")


def test_rooms_are_limited_but_the_lobby_is_always_open(
    enter: Enter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "ROOMS", 3)
    alice = enter("alice")
    alice.type("/join one", "/join two", "/part lobby")
    assert alice.ask("/join three") == ["-- there are 3 rooms already; /rooms lists them"]
    bob = enter("bob")  # in the lobby, which nobody was in
    assert bob.ask("/join one")[-1].startswith("-- you are in one")
    alice.type("/part two")
    assert bob.ask("/join three")[-1].startswith("-- you are in three")


def test_ignored_users_are_limited_and_those_who_left_do_not_count(
    enter: Enter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "IGNORED_PER_USER", 2)
    alice, bob, carol, dave = (enter(name) for name in ("alice", "bob", "carol", "dave"))
    alice.type("/ignore bob", "/ignore carol")
    assert alice.ask("/ignore dave") == ["-- you ignore 2 users already"]
    carol.leave()
    assert alice.ask("/ignore dave") == ["-- you ignore dave from now on"]
    assert bob.ask("/ignore dave") == ["-- you ignore dave from now on"]
    assert dave.ask("/ignore") == ["-- you ignore nobody"]


def test_a_refusal_is_an_exception_for_who_uses_chat_without_a_door(connect: t.Any) -> None:
    chat = Chat()
    transport = HandTransport(HandEngine())
    user = chat.arrive(1, t.cast(t.Any, transport))
    with pytest.raises(Refused, match="you are in no room; /join lobby"):
        chat.say(user, b"hello")
    with pytest.raises(Refused, match="nobody here is called bob"):
        chat.user("bob")
    with pytest.raises(Refused, match="there is no room tea"):
        chat.room("tea")
    assert chat.join(user, "LOBBY").name == "lobby"
    chat.depart(user)
    chat.depart(user)  # a second time changes nothing
    assert [room.name for room in chat.rooms] == ["lobby"]


# --- whatever they type ----------------------------------------------------------------------

NAMES = st.sampled_from(
    ["alice", "Bob", "\uff43arol", "guest-1", "GUEST-2", "tea", "lobby", "you", "x" * 30]
)
WORDS = st.sampled_from(["hi", "-- joined", "\x1b[2J", "a\rb", "\u202eevil", "a b", "9", "-1", ""])
COMMANDS = st.sampled_from([*commands.COMMANDS, "NICK", "jOIn", "wat"])
LINES = st.one_of(
    st.builds("/{} {}".format, COMMANDS, NAMES | WORDS),
    st.builds("/{} {} {}".format, COMMANDS, NAMES, WORDS),
    st.builds("/{}".format, COMMANDS),
    WORDS,
    st.sampled_from(["//slash", "/", "//", "/ ", "  ", "x" * 2000, "GET / HTTP/1.1"]),
).map(str.encode)
INPUT = LINES | st.binary(max_size=30).map(lambda data: data.replace(b"\xff", b"\xfe"))


class Event(t.NamedTuple):
    """One person does one thing."""

    who: int
    what: str
    line: bytes


EVENTS = st.lists(
    st.builds(
        Event,
        st.integers(0, 3),
        st.sampled_from(["type"] * 8 + ["type, no tick"] * 8 + ["break", "lag", "read"]),
        INPUT,
    ),
    max_size=40,
)


@settings(max_examples=300)
@given(EVENTS)
def test_any_script_of_several_people(events: list[Event]) -> None:
    chat, engine = ChatReplica(), HandEngine()
    people: dict[int, Person] = {}
    everybody: list[Person] = []
    for event in events:
        person = people.get(event.who)
        if person is None or person.transport.closing:
            person = people[event.who] = _come(chat, engine)
            everybody.append(person)
        _happen(person, event)
        check_tables(chat)
    engine.settle()
    check_tables(chat)
    for person in everybody:
        _only_clean_lines(person.transport.written)


def _come(chat: ChatReplica, engine: HandEngine) -> Person:
    door = LineDoor(chat, flood=0)
    transport = HandTransport(engine)
    transport.protocol = door
    door.connection_made(transport)
    return Person(door, transport)


def _happen(person: Person, event: Event) -> None:
    match event.what:
        case "type":
            person.send(event.line + b"\r\n")
            person.engine.settle()
        case "type, no tick":
            person.send(event.line + b"\n")
        case "break":
            person.leave()
        case "lag":
            person.transport.waiting = limits.LAG_SOFT + 1
        case "read":
            person.transport.waiting = 0


HOSTILE: t.Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]"
)


def _only_clean_lines(written: bytes) -> None:
    """Every line is whole, is UTF-8, and has nothing in it that a terminal would obey."""
    assert written.endswith(b"\r\n")
    for line in written.decode().split("\r\n"):
        assert not HOSTILE.search(line), line
        assert line == "" or line.startswith(("-- ", "<", "[", "* ")), line
