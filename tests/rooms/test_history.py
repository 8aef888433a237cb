"""A room's history: bounded in count and in bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jackfield import limits
from jackfield.rooms.history import History


def test_the_newest_are_kept_oldest_first() -> None:
    history = History(3)
    for number in range(5):
        history.add(b"%d" % number, number)
    assert history.last() == [(b"2", 2), (b"3", 3), (b"4", 4)]
    assert len(history) == 3


@pytest.mark.parametrize(("count", "kept"), [(0, 0), (1, 1), (2, 2), (3, 3), (99, 3), (-1, 0)])
def test_the_last_few(count: int, kept: int) -> None:
    history = History(3)
    for number in range(5):
        history.add(b"%d" % number)
    assert history.last(count) == history.last()[3 - kept :]


def test_one_message_larger_than_everything() -> None:
    history = History(10, 100)
    history.add(b"small")
    history.add(bytes(101))
    assert history.last() == []
    assert history.size == 0
    history.add(b"again")
    assert history.last() == [(b"again", None)]
    assert history.size == 5


def test_what_is_kept_by_default_is_bounded() -> None:
    history = History(1000)
    for _ in range(1000):
        history.add(bytes(limits.CHAT_LINE))
    assert sum(len(data) for data, _ in history.last()) <= limits.HISTORY_BYTES


@given(st.integers(1, 10), st.integers(0, 60), st.lists(st.binary(max_size=30), max_size=40))
def test_like_a_list_cut_at_both_bounds(count: int, size: int, messages: list[bytes]) -> None:
    history = History(count, size)
    model: list[bytes] = []
    for message in messages:
        history.add(message)
        model.append(message)
        while len(model) > count or sum(map(len, model)) > size:
            model.pop(0)
        assert [data for data, _ in history.last()] == model
        assert len(history) == len(model)
