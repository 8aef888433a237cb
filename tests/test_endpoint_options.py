"""The options at the end of an endpoint's text: what is taken, and what is said instead."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jackfield import endpoint_options as options
from jackfield.endpoint_options import Check

KNOWN: dict[str, Check] = {"ttl": options.byte, "on": options.flag}


def test_split_and_join() -> None:
    assert options.split("on=1&ttl=007", KNOWN) == (("on", "1"), ("ttl", "007"))
    assert options.join((("on", "1"), ("ttl", "007"))) == "?on=1&ttl=007"
    assert options.join(()) == ""


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("", "unknown option ''; known: ttl on"),
        ("on=1&", "unknown option ''; known: ttl on"),
        ("of=1", "unknown option 'of'"),
        ("on", "option 'on': on wants 0 or 1"),
        ("on=", "option 'on=': on wants 0 or 1"),
        ("on=2", "option 'on=2': on wants 0 or 1"),
        ("on=1&on=1", "option 'on' is given twice"),
    ],
)
def test_what_is_wrong_is_said(query: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        options.split(query, KNOWN)


@given(st.text(max_size=2000))
def test_any_text_round_trips_or_is_refused_in_a_short_line(query: str) -> None:
    said = ""
    try:
        parsed = options.split(query, KNOWN)
    except ValueError as exc:
        said = str(exc)
    else:
        assert options.join(parsed) == "?" + query
    assert len(said) < 200


GOOD = [
    (options.flag, "0 1"),
    (options.byte, "0 1 255 007"),
    (options.mode, "0660 660 0777 000"),
    (options.ids, "0 0,1000 4294967294 " + ",".join(["7"] * options.IDS)),
    (options.interface, "lo eth0.5 127.0.0.1 ::1 fe80::1%eth0 wlan0:1"),
    (options.ip, "127.0.0.1 ::1 2001:db8::7"),
]

BAD = [
    (options.flag, "yes 2 01 \u0661"),
    (options.byte, "256 -1 x 1.5 \u0661 99999999999"),
    (options.mode, "66 01777 0888 rw 00660 0o660 1000"),
    (options.ids, "root 1, ,1 -1 4294967295 1;2 \u0661 " + ",".join(["7"] * (options.IDS + 1))),
    (options.interface, "a/b a\\b " + "x" * 65),
    (options.ip, "localhost 1.2.3 fe80::1%eth0 127.0.0.1:5"),
]


@pytest.mark.parametrize(("check", "values"), GOOD)
def test_right_values(check: Check, values: str) -> None:
    assert [check(value) for value in values.split(" ")] == [None] * len(values.split(" "))


@pytest.mark.parametrize(("check", "values"), BAD)
def test_wrong_values(check: Check, values: str) -> None:
    assert all(check(value) for value in ["", "a b", *values.split(" ")])
