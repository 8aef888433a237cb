"""What a nickname or a room name may be."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jackfield import limits
from jackfield.services.chat.names import fold, nickname_refusal, refusal
from jackfield.services.chat.text import CONTROL, REORDERING


@pytest.mark.parametrize(
    "name", ["a", "alice", "Alice-2", "a_b.c", "7", "Zoë", "Пётр", "太郎", "x" * limits.NAME_LENGTH]
)
def test_good_names(name: str) -> None:
    assert refusal(name) is None
    assert nickname_refusal(name) is None


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", "missing"),
        ("x" * (limits.NAME_LENGTH + 1), f"at most {limits.NAME_LENGTH} characters"),
        ("two words", "letters, digits"),
        ("-dash", "begins with a letter"),
        (".dot", "begins with a letter"),
        ("<alice>", "letters, digits"),
        ("[tea]", "letters, digits"),
        ("a\x1b[2J", "letters, digits"),
        ("a\nb", "letters, digits"),
        ("a\u202eb", "letters, digits"),  # right-to-left override
        ("a\u200bb", "letters, digits"),  # zero width space
        ("\uff41lice", "plain letters"),  # full width
        ("alic\u212f", "plain letters"),  # script small e
        ("*", "letters, digits"),
        ("--", "letters, digits"),
    ],
)
def test_bad_names_and_why(name: str, why: str) -> None:
    assert why in (refusal(name) or "accepted")
    assert nickname_refusal(name) is not None


@pytest.mark.parametrize(
    "name", ["guest-7", "Guest-7", "GUEST-0", "guest-123456", "guest-٣", "You"]
)
def test_what_the_server_gives_or_says_itself_is_reserved(name: str) -> None:
    assert nickname_refusal(name) == f"{name} is reserved"
    assert refusal(name) is None  # a room may be called so


@pytest.mark.parametrize("name", ["guest", "guest-", "guests-7", "guest-7a", "yours"])
def test_what_only_looks_a_little_like_it_is_not(name: str) -> None:
    assert nickname_refusal(name) is None


@pytest.mark.parametrize(
    ("one", "other"),
    [("Alice", "aLICE"), ("straße", "STRASSE"), ("tea", "\uff54\uff45\uff41"), ("K", "\u212a")],
)
def test_case_and_width_do_not_tell_names_apart(one: str, other: str) -> None:
    assert fold(one) == fold(other)


@given(st.text(max_size=limits.NAME_LENGTH + 3))
def test_no_accepted_name_can_frame_break_or_hide(name: str) -> None:
    if refusal(name) is not None:
        return
    assert 0 < len(name) <= limits.NAME_LENGTH
    assert name.isprintable()
    assert not set(name) & set(" <>[]*\t\r\n")
    assert not CONTROL.search(name)
    assert not REORDERING.search(name)
    assert unicodedata.normalize("NFKC", name) == name
    assert fold(fold(name)) == fold(name)
