"""How chat looks."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from jackfield.services.chat import format as looks
from jackfield.services.chat.names import refusal
from jackfield.services.chat.text import refusal as text_refusal

NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,23}", fullmatch=True).filter(
    lambda name: refusal(name) is None
)
WORDS = st.text(max_size=30).filter(
    lambda words: text_refusal(words.encode("utf-8", "replace")) is None and words.isprintable()
)


def test_each_kind_of_line() -> None:
    assert looks.speech_prefix("alice", "lobby") + b"hi" == b"<alice> hi"
    assert looks.speech_prefix("alice", "tea") + b"hi" == b"[tea] <alice> hi"
    assert looks.action("alice", "lobby", "waves") == b"* alice waves\r\n"
    assert looks.action("alice", "tea", "waves") == b"[tea] * alice waves\r\n"
    assert looks.private("alice", "you", "psst") == b"[alice -> you] psst\r\n"
    assert looks.notice("alice joined tea") == b"-- alice joined tea\r\n"


def test_several_lines_become_several_notices() -> None:
    assert looks.notice("one\ntwo") == b"-- one\r\n-- two\r\n"


@given(name=NAMES, room=NAMES, words=WORDS)
def test_nobody_but_the_server_can_say_a_notice_and_nobody_another_kind(
    name: str, room: str, words: str
) -> None:
    """Whatever the names and the words: who reads the line's beginning knows what it is."""
    said = (looks.speech_prefix(name, room) + words.encode() + looks.END).decode()
    done = looks.action(name, room, words).decode()
    told = looks.private(name, "you", words).decode()
    label = r"(\[[^ \]]+\] )?"
    assert re.match(label + "<[^ ]+> ", said)
    assert re.match(label + r"\* [^ ]+ ", done)
    assert re.match(r"\[[^ ]+ -> [^ ]+\] ", told)
    for line in (said, done, told):
        assert not line.startswith("--")
        assert line.count("\r\n") == 1
