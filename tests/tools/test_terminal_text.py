"""What a peer can make a terminal do: nothing but show text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jackfield.tools.terminal_text import UNSAFE, TerminalText


def whole(data: bytes) -> bytes:
    return TerminalText().escape(data, final=True)


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (b"plain\n", b"plain\n"),
        (b"telnet\r\n", b"telnet\r\n"),
        (b"a\tb", b"a\tb"),
        (b"\x1b[2J", b"\\x1b[2J"),
        (b"\x00\x07\x08\x7f", b"\\x00\\x07\\x08\\x7f"),
        (b"over\rwritten\n", b"over\\rwritten\n"),
        (b"last\r", b"last\\r"),
        (b"\r\r\n", b"\\r\r\n"),
        ("\x9b31m".encode(), b"\\x9b31m"),  # C1 CSI as a character
        (b"\x9b31m", b"\\x9b31m"),  # and as a bare byte
        (b"caf\xe9", b"caf\\xe9"),
        (b"\xff\xfd\x18", b"\\xff\\xfd\\x18"),
        (b"\xed\xa0\x80", b"\\xed\\xa0\\x80"),  # a surrogate is no UTF-8
        ("\u202egnp.exe".encode(), b"\\u202egnp.exe"),
        ("\u2066\u200f\u2028".encode(), b"\\u2066\\u200f\\u2028"),
        ("Größe 東京 👩\u200d💻\u00a0!".encode(), "Größe 東京 👩\u200d💻\u00a0!".encode()),
    ],
)
def test_only_text_reaches_the_terminal(data: bytes, shown: bytes) -> None:
    assert whole(data) == shown


def test_a_character_split_between_two_reads_is_shown_whole() -> None:
    escaper = TerminalText()
    assert escaper.escape("é".encode()[:1]) == b""
    assert escaper.escape("é".encode()[1:] + b"\r") == "é".encode()
    assert escaper.escape(b"\n\xe2\x82") == b"\r\n"
    assert escaper.escape(b"", final=True) == b"\\xe2\\x82"


@given(st.lists(st.binary(max_size=8), max_size=8))
def test_how_the_stream_is_cut_changes_nothing(pieces: list[bytes]) -> None:
    escaper = TerminalText()
    cut = b"".join([escaper.escape(piece) for piece in pieces] + [escaper.escape(b"", final=True)])
    assert cut == whole(b"".join(pieces))


@given(st.binary() | st.text().map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_nothing_unsafe_comes_out(data: bytes) -> None:
    assert UNSAFE.search(whole(data).decode()) is None


@given(st.text(st.characters(exclude_categories=["Cc", "Cf", "Cs", "Zl", "Zp"])))
def test_text_is_not_changed(text: str) -> None:
    assert whole(text.encode()) == text.encode()
