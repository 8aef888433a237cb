"""Operations in frames, there and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jackfield.bus import messages
from jackfield.bus.messages import LOSS, NUMBER, decode, encode, encode_loss
from jackfield.errors import ProtocolViolation, TooLong

operations = st.lists(st.tuples(st.integers(-(2**31), 2**31 - 1), st.binary(max_size=40)))


def test_the_bytes() -> None:
    assert encode(1, b"ab") == b"\0\0\0\1\0\0\0\2ab"
    assert encode_loss(5) == b"\xff\xff\xff\xff\0\0\0\4\0\0\0\5"


@given(operations)
def test_what_went_in_comes_out(several: list[tuple[int, bytes]]) -> None:
    assert decode(b"".join(encode(*one) for one in several)) == several


@given(operations.filter(bool), st.data())
def test_of_a_frame_that_is_cut_nothing_comes_out(
    several: list[tuple[int, bytes]], data: st.DataObject
) -> None:
    """Except where the cut is between two operations."""
    encoded = [encode(*one) for one in several]
    frame = b"".join(encoded)
    ends = {sum(map(len, encoded[:count])) for count in range(len(encoded) + 1)}
    cut = data.draw(st.integers(0, len(frame)))
    if cut in ends:
        assert decode(frame[:cut]) == several[: sorted(ends).index(cut)]
    else:
        with pytest.raises(ProtocolViolation, match="ends within"):
            decode(frame[:cut])


@given(st.binary(max_size=64))
def test_any_bytes_are_operations_or_a_violation(frame: bytes) -> None:
    try:
        several = decode(frame)
    except ProtocolViolation:
        return
    assert b"".join(encode(*one) for one in several) == frame


def test_a_loss() -> None:
    [(topic, operation)] = decode(encode_loss(4_000_000_000))
    assert topic == LOSS
    assert NUMBER.unpack(operation) == (4_000_000_000,)


def test_the_largest_operation_fits_behind_an_almost_full_frame(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    largest = messages.FRAME_FULL - 1 + messages.HEADER.size + messages.OPERATION_LIMIT
    assert largest < messages.FRAME_LIMIT
    monkeypatch.setattr(messages, "OPERATION_LIMIT", 10)
    assert len(encode(0, bytes(10))) == 18
    with pytest.raises(TooLong, match="11 bytes; between processes it has at most 10"):
        encode(0, bytes(11))


numbers = st.integers(0, 2**32 - 1)


@given(numbers, numbers, numbers, st.binary(max_size=40))
def test_a_question_and_its_answer(number: int, topic: int, part: int, data: bytes) -> None:
    question = messages.Question(number, topic, part)
    frame = messages.encode_question(question)
    assert frame.startswith(messages.QUESTION)
    assert messages.decode_question(frame) == question
    answer = messages.encode_answer(number, data)
    assert answer.startswith(messages.QUESTION)
    assert messages.decode_answer(answer) == (number, data)


def test_a_question_or_an_answer_that_is_cut() -> None:
    frame = messages.encode_question(messages.Question(1, 2, 3))
    for cut in range(len(messages.QUESTION), len(frame)):
        with pytest.raises(ProtocolViolation, match="a question"):
            messages.decode_question(frame[:cut])
    answer = messages.encode_answer(1, b"")
    for cut in range(len(messages.QUESTION), len(answer)):
        with pytest.raises(ProtocolViolation, match="an answer"):
            messages.decode_answer(answer[:cut])
