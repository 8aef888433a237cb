"""Each command: what it does, what it answers, and what it says to bad words behind it."""

from __future__ import annotations

import typing as t
from collections.abc import Callable

import pytest
from tests.services.chat.people import Person

from jackfield import limits
from jackfield.services.chat.commands import COMMANDS, LISTED

Enter: t.TypeAlias = Callable[..., Person]


@pytest.mark.parametrize(
    ("line", "notice"),
    [
        ("/", "there is no command /; /help lists them"),
        ("/ nick bob", "there is no command /; /help lists them"),
        ("/nik bob", "there is no command /nik; /help lists them"),
        ("/" + "x" * 500, f"there is no command /{'x' * 24}...; /help lists them"),
        ("/nick two words", "a name is made of letters, digits, '-', '_' and '.', and begins"),
        ("/nick " + "x" * 25, "a name has at most 24 characters"),
        ("/nick guest-7", "guest-7 is reserved"),
        ("/nick \uff47uest-7", "a name is written in plain letters"),
        ("/nick you", "you is reserved"),
        ("/nick BOB", "BOB is taken"),
        ("/join two words", "a name is made of letters, digits"),
        ("/join [tea]", "a name is made of letters, digits"),
        ("/join " + "x" * 25, "a name has at most 24 characters"),
        ("/part tea", "you are not in tea"),
        ("/who nowhere", "there is no room nowhere; /join nowhere opens it"),
        ("/me", "say what you do: /me waves"),
        ("/me  ", "say what you do: /me waves"),
        ("/msg", "say to whom and what: /msg NAME TEXT"),
        ("/msg bob", "say to whom and what: /msg NAME TEXT"),
        ("/msg bob  ", "say to whom and what: /msg NAME TEXT"),
        ("/msg nobody hi", "nobody here is called nobody"),
        ("/ignore nobody", "nobody here is called nobody"),
        ("/ignore Alice", "you cannot ignore yourself"),
        ("/history many", "say how many: /history 10"),
        ("/history -1", "say how many: /history 10"),
        ("/history 0", "say how many: /history 10"),
        ("/history 1.5", "say how many: /history 10"),
        ("/history ٣", "say how many: /history 10"),
        ("/history " + "9" * 500, "say how many: /history 10"),
    ],
)
def test_what_cannot_be_done_is_one_notice_to_who_asked(
    enter: Enter, line: str, notice: str
) -> None:
    bob, alice = enter("bob"), enter("alice")
    bob.read()
    (answer,) = alice.ask(line)
    assert answer.startswith(f"-- {notice}")
    assert bob.read() == []


# --- names -----------------------------------------------------------------------------------


def test_nick_tells_everybody_once(enter: Enter) -> None:
    alice, bob = enter("alice"), enter("bob")
    alice.read()
    alice.type("/nick Alicia")
    assert alice.read() == bob.read() == ["-- alice is now Alicia"]
    alice.type("hello")
    assert bob.read() == ["<Alicia> hello"]


def test_nick_alone_or_the_same_tells_the_name_to_nobody_else(enter: Enter) -> None:
    alice, bob = enter("alice"), enter("bob")
    assert alice.ask("/nick") == ["-- you are alice"]
    assert alice.ask("/nick alice") == ["-- you are alice"]
    assert bob.read() == []
    assert alice.ask("/nick ALICE") == ["-- alice is now ALICE"]  # its own, in other letters


def test_nick_in_no_room_is_answered(enter: Enter) -> None:
    alice, bob = enter("alice"), enter("bob")
    alice.type("/part")
    bob.read()
    assert alice.ask("/nick carol") == ["-- you are now carol"]
    assert bob.read() == []
    assert bob.ask("/msg carol hi") == ["[you -> carol] hi"]


@pytest.mark.parametrize("wanted", ["alice", "ALICE", "Straße"])
def test_a_name_is_borne_once_whatever_the_case(enter: Enter, wanted: str) -> None:
    enter("alice")
    enter("STRASSE")
    assert enter("bob").ask(f"/nick {wanted}") == [f"-- {wanted} is taken"]


# --- rooms -----------------------------------------------------------------------------------


def test_join_opens_a_room_and_words_go_there(enter: Enter) -> None:
    alice, bob = enter("alice"), enter("bob")
    alice.read()
    assert alice.ask("/join tea") == [
        "-- alice joined tea",
        "-- you are in tea with nobody else; what you type goes there",
    ]
    bob.type("/join TEA")
    assert alice.read() == ["-- bob joined tea"]
    assert bob.read() == [
        "-- bob joined tea",
        "-- you are in tea with 1 other; what you type goes there",
    ]
    carol = enter("carol")
    alice.read()
    bob.type("milk?", "/me pours")
    assert alice.read() == ["[tea] <bob> milk?", "[tea] * bob pours"]
    assert carol.read() == []  # in the lobby alone


def test_join_goes_back_to_a_room_without_a_word_to_the_others(enter: Enter) -> None:
    alice, bob = enter("alice"), enter("bob")
    alice.type("/join tea", "/join lobby")
    assert alice.read()[-1] == "-- you are in lobby with 1 other; what you type goes there"
    assert bob.read() == []
    alice.type("back")
    assert bob.read() == ["<alice> back"]
    assert alice.ask("/join tea")[0].startswith("-- you are in tea with nobody else")
    assert alice.ask("/join")[0].startswith("-- you are in lobby")


def test_part_falls_back_to_the_room_before(enter: Enter) -> None:
    alice, bob = enter("alice"), enter("bob")
    bob.type("/join tea")
    alice.type("/join tea")
    bob.read()
    assert alice.ask("/part") == ["-- you left tea; what you type goes to lobby"]
    assert bob.read() == ["-- alice left tea"]
    bob.type("alone now")
    assert alice.read() == []


def test_part_names_a_room_and_the_last_one_leaves_nowhere(enter: Enter) -> None:
    alice = enter("alice")
    alice.type("/join tea")
    assert alice.ask("/part LOBBY") == ["-- you left lobby; what you type goes to tea"]
    assert alice.ask("/part") == ["-- you left tea and are in no room now; /join lobby"]
    for line in ("hello", "/me waves", "/who", "/history"):
        assert alice.ask(line) == ["-- you are in no room; /join lobby"]
    assert alice.ask("/part") == ["-- you are in no room"]
    assert alice.ask("/who lobby") == ["-- 0 users in lobby"]
    assert alice.ask("/rooms") == ["-- 1 room", "-- lobby: 0"]


def test_an_empty_room_is_gone_with_its_history(enter: Enter) -> None:
    alice = enter("alice")
    alice.type("/join tea", "secret", "/part", "/join tea")
    assert "[tea] <alice> secret" not in alice.read()[3:]
    assert alice.ask("/history") == ["-- nothing was said in tea yet"]


def test_rooms_are_listed_with_how_many_are_in_them(enter: Enter) -> None:
    alice, bob = enter("alice"), enter("bob")
    bob.type("/join tea")
    alice.type("/join Beer", "/join tea")
    assert alice.ask("/rooms") == ["-- 3 rooms", "-- Beer: 1", "-- lobby: 2", "-- tea: 2"]


def test_who_lists_names_and_bounds_the_list(enter: Enter) -> None:
    people = [enter(f"user{number:03}") for number in range(LISTED + 5)]
    answer = people[0].ask("/who")
    assert answer[0] == f"-- {LISTED + 5} users in lobby"
    assert answer[-1] == "-- and 5 more"
    assert all(len(line) <= 80 for line in answer)
    listed = " ".join(line.removeprefix("-- ") for line in answer[1:-1]).split()
    assert listed == [f"user{number:03}" for number in range(LISTED)]
    people[7].type("/join tea")
    assert people[0].ask("/who TEA") == ["-- 1 user in tea", "-- user007"]


# --- words -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "said"), [("//help", "/help"), ("//", "/"), ("///", "//"), (" /help", " /help")]
)
def test_two_slashes_say_one(enter: Enter, line: str, said: str) -> None:
    alice, bob = enter("alice"), enter("bob")
    bob.read()
    alice.type(line)
    assert bob.read() == [f"<alice> {said}"]


def test_me(enter: Enter) -> None:
    alice, bob = enter("alice"), enter("bob")
    alice.read()
    alice.type("/me waves  at bob ", "/ME nods")
    assert alice.read() == bob.read() == ["* alice waves  at bob", "* alice nods"]


def test_msg_reaches_one_alone(enter: Enter) -> None:
    alice, bob, carol = enter("alice"), enter("bob"), enter("carol")
    bob.read()
    assert alice.ask("/msg BOB  psst,  you") == ["[you -> bob] psst,  you"]
    assert bob.read() == ["[alice -> you] psst,  you"]
    assert carol.read() == []
    alice.type("/join tea")  # in whatever rooms they are
    bob.type("/part")
    bob.read()
    alice.type("/msg bob still there?")
    assert bob.read() == ["[alice -> you] still there?"]


def test_msg_is_in_its_place_among_what_the_room_says(enter: Enter) -> None:
    alice, bob = enter("alice"), enter("bob")
    bob.read()
    alice.send(b"one\n/msg bob two\nthree\n")
    assert bob.read() == ["<alice> one", "[alice -> you] two", "<alice> three"]


def test_msg_to_who_ignores_looks_sent(enter: Enter) -> None:
    alice, bob = enter("alice"), enter("bob")
    bob.type("/ignore alice")
    bob.read()
    assert alice.ask("/msg bob hello?") == ["[you -> bob] hello?"]
    assert bob.read() == []


def test_msg_to_who_does_not_read_is_refused_and_takes_no_memory(enter: Enter) -> None:
    alice, bob = enter("alice"), enter("bob")
    bob.read()
    bob.transport.waiting = limits.LAG_SOFT + 1
    assert alice.ask("/msg bob hello?") == ["-- bob is not reading at the moment; nothing was sent"]
    assert bob.read() == []


# --- ignoring --------------------------------------------------------------------------------


def test_ignore_hides_words_deeds_and_messages_but_not_coming_and_going(enter: Enter) -> None:
    alice, troll, bob = enter("alice"), enter("troll"), enter("bob")
    assert alice.ask("/ignore TROLL") == ["-- you ignore troll from now on"]
    bob.read()
    troll.type("buy!", "/me dances", "/msg alice buy!", "/part")
    assert alice.read() == ["-- troll left lobby"]
    assert bob.read() == ["<troll> buy!", "* troll dances", "-- troll left lobby"]


def test_ignore_is_of_a_person_not_of_a_name(enter: Enter) -> None:
    alice, troll = enter("alice"), enter("troll")
    alice.type("/ignore troll")
    troll.type("/nick angel", "buy!")
    assert alice.read()[-1] == "-- troll is now angel"
    assert alice.ask("/ignore") == ["-- you ignore angel"]
    newcomer = enter("troll")
    alice.read()
    newcomer.type("I am somebody else")
    assert alice.read() == ["<troll> I am somebody else"]


def test_ignore_holds_in_rooms_joined_later(enter: Enter) -> None:
    alice, troll = enter("alice"), enter("troll")
    alice.type("/ignore troll")
    troll.type("/join tea", "before")
    alice.type("/join tea")
    troll.type("after")
    assert not [line for line in alice.read() if "<troll>" in line]
    assert alice.ask("/history") == ["-- nothing was said in tea yet"]


def test_ignore_twice_hears_again(enter: Enter) -> None:
    alice, bob = enter("alice"), enter("bob")
    alice.type("/ignore bob")
    bob.type("unheard")
    assert alice.ask("/ignore bob") == ["-- you hear bob again"]
    bob.type("heard")
    assert alice.read() == ["<bob> heard"]
    assert alice.ask("/ignore") == ["-- you ignore nobody"]


@pytest.mark.parametrize("others", [[], ["/ignore carol"]])
def test_ignore_begins_and_ends_between_two_words_of_one_tick(
    enter: Enter, others: list[str]
) -> None:
    alice, bob, _carol = enter("alice"), enter("bob"), enter("carol")
    alice.type(*others)
    alice.read()
    bob.send(b"one\n")
    alice.send(b"/ignore bob\n")
    bob.send(b"two\n")
    alice.send(b"/ignore bob\n")
    bob.send(b"three\n")
    assert alice.read() == [
        "<bob> one",
        "-- you ignore bob from now on",
        "-- you hear bob again",
        "<bob> three",
    ]


# --- history ---------------------------------------------------------------------------------


def test_who_joins_reads_the_last_words_and_no_notices(enter: Enter, connect: t.Any) -> None:
    alice = enter("alice")
    for number in range(limits.CHAT_HISTORY + 3):
        alice.type(f"line {number}")
    alice.type("/nick alicia", "/me waves")
    bob = enter()
    bob.type("/join tea", "/part lobby", "/join lobby")
    lines = bob.read()
    replay = lines[lines.index("-- you left lobby; what you type goes to tea") + 1 :]
    assert replay == [
        *(f"<alice> line {number}" for number in range(4, limits.CHAT_HISTORY + 3)),
        "* alicia waves",
        "-- guest-2 joined lobby",
        "-- you are in lobby with 1 other; what you type goes there",
    ]


def test_history_counts_back_from_the_last(enter: Enter) -> None:
    alice = enter("alice")
    assert alice.ask("/history") == ["-- nothing was said in lobby yet"]
    alice.type("one", "two", "three")
    assert alice.ask("/history 2") == [
        "<alice> two",
        "<alice> three",
        "-- that was the last of lobby",
    ]
    everything = ["<alice> one", "<alice> two", "<alice> three", "-- that was the last of lobby"]
    assert alice.ask("/history") == alice.ask("/history 999999999") == everything


def test_history_leaves_out_who_is_ignored_and_still_counts_right(enter: Enter) -> None:
    alice, troll = enter("alice"), enter("troll")
    alice.type("one", "two", "/ignore troll")
    troll.type("buy!", "buy!")
    assert alice.ask("/history 2") == [
        "<alice> one",
        "<alice> two",
        "-- that was the last of lobby",
    ]


# --- help and the end ------------------------------------------------------------------------


def test_help_shows_every_command_in_eighty_columns(enter: Enter) -> None:
    answer = enter("alice").ask("/help")
    for command in COMMANDS.values():
        assert any(line.startswith(f"-- {command.usage} ") for line in answer)
        assert any(line.endswith(f"  {command.help}") for line in answer)
    assert any("//text" in line for line in answer)
    assert all(line.startswith("-- ") and len(line) <= 80 for line in answer)


@pytest.mark.parametrize("line", ["/quit", "/QUIT", "/quit bye all"])
def test_quit(enter: Enter, line: str) -> None:
    alice, bob = enter("alice"), enter("bob")
    alice.type("/join tea")
    bob.read()
    assert alice.ask(line) == ["-- goodbye"]
    assert alice.transport.closing
    assert bob.read() == ["-- alice left lobby"]
    alice.door.connection_lost(None)
    assert bob.read() == []


def test_what_follows_quit_in_the_same_block_is_not_obeyed(enter: Enter) -> None:
    alice, bob = enter("alice"), enter("bob")
    bob.read()
    alice.send(b"/quit\r\nI am still here\r\n/join tea\r\n")
    assert bob.read() == ["-- alice left lobby"]
    assert bob.ask("/rooms") == ["-- 1 room", "-- lobby: 1"]
