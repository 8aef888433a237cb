"""What a line may say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jackfield.services.chat.text import is_http_request, refusal


@pytest.mark.parametrize(
    "line", ["", " ", "hello", "naïve café", "日本語", "👍🏽", "a\u00a0b", "שלום", "e\u0301"]
)
def test_what_people_write_is_allowed(line: str) -> None:
    assert refusal(line.encode()) is None


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"\xff\xfe", "UTF-8"),
        (b"caf\xe9", "UTF-8"),
        (b"\xc0\xaf", "UTF-8"),  # an overlong form of "/"
        (b"\xed\xa0\x80", "UTF-8"),  # a surrogate
        (b"\xf4\x90\x80\x80", "UTF-8"),  # beyond U+10FFFF
        (b"\xe2\x82", "UTF-8"),  # cut short
        (b"\x1b[2J", "control"),
        (b"tab\there", "control"),
        (b"a\rb", "control"),
        (b"a\0b", "control"),
        (b"\x7f", "control"),
        ("\x85".encode(), "control"),  # next line
        ("\x9b2J".encode(), "control"),  # the one-byte CSI
        ("a\u202eb".encode(), "reorder"),
        ("a\u2066b".encode(), "reorder"),
        ("a\u200fb".encode(), "reorder"),
        ("a\u2028b".encode(), "break lines"),
    ],
)
def test_what_is_refused_and_why(line: bytes, why: str) -> None:
    assert why in (refusal(line) or "accepted")


@given(st.binary(max_size=40) | st.text(max_size=40).map(str.encode))
def test_an_allowed_line_is_one_line_of_text_to_every_terminal(line: bytes) -> None:
    if refusal(line) is None:
        text = line.decode()
        assert len(text.splitlines()) <= 1
        assert not any(ord(c) < 32 or 127 <= ord(c) < 160 for c in text)


@pytest.mark.parametrize(
    "line",
    [
        b"GET / HTTP/1.1",
        b"POST /chat?x=%20 HTTP/1.0",
        b"OPTIONS * HTTP/1.1",
        b"CONNECT 127.0.0.1:8888 HTTP/1.1",
        b"PRI * HTTP/2.0",
        b"GET /\xff HTTP/1.1",
        b"Host: 127.0.0.1:8888",
        b"host:example.org",
    ],
)
def test_an_http_request_is_recognised(line: bytes) -> None:
    assert is_http_request(line)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"hello",
        b"I speak HTTP/1.1",
        b"GET your HTTP/1.1 here",
        b"see GET / HTTP/1.1",
        b"Host: who is the host?",
        b"Hosts: two",
    ],
)
def test_talk_about_http_is_not(line: bytes) -> None:
    assert not is_http_request(line)
