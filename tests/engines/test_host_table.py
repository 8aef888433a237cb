"""The shared table of hosts, against a Counter."""

from __future__ import annotations

import struct
import typing as t
from collections import Counter
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jackfield import limits
from jackfield.engines.host_table import CELL, LEAST, USED, HostTable, packed

steps = st.lists(
    st.tuples(st.integers(0, 45), st.integers(1, 3), st.sampled_from((1, 1, -1))), max_size=300
)


def host(number: int) -> bytes:
    return struct.pack(">16s", b"%d" % number)


def check(table: HostTable, counted: Counter[tuple[int, int]]) -> None:
    for number in {number for number, _ in counted}:
        total = sum(counted[number, owner] for owner in range(1, 4))
        assert table.of(host(number)) == total


@given(steps, st.integers(1, 3))
def test_a_table_counts_as_a_counter_does(changes: list[tuple[int, int, int]], dead: int) -> None:
    """A small one, nearly full: runs are long, wrap around, and have holes filled."""
    table = HostTable(1)
    counted: Counter[tuple[int, int]] = Counter()
    for number, owner, change in changes:
        if counted[number, owner] + change < 0 or len(+counted) > LEAST - LEAST // 8 - 2:
            continue
        table.add(host(number), owner, change)
        counted[number, owner] += change
        check(table, counted)
    table.forget(dead)
    for number, owner in counted:
        if owner == dead:
            counted[number, owner] = 0
    check(table, counted)
    assert table._head[USED] == len(+counted)


def test_emptied_it_is_empty() -> None:
    table = HostTable(200)
    for change in (1, -1):
        for number in range(200):
            table.add(host(number), 1, change)
    assert not any(table._memory[:])


def test_a_full_table_goes_on_without_the_rest() -> None:
    table = HostTable(1)
    for number in range(LEAST):
        table.add(host(number), 1, 1)
    counted = [number for number in range(LEAST) if table.of(host(number))]
    assert counted == list(range(LEAST - LEAST // 8))
    for number in range(LEAST):
        table.add(host(number), 1, -1)
    assert not any(table._memory[:])


class Killed(BaseException):
    """In the midst of a change."""


@given(st.data())
def test_a_change_cut_short_is_put_right_by_who_comes_next(data: st.DataObject) -> None:
    """Killed before any write of a cell: one may be there twice, or cut off from its run."""
    table = HostTable(1)
    numbers = range(50)  # so many that removing moves others
    for number in numbers:
        table.add(host(number), 1 + number % 2, 1)
    put, left = table._put, data.draw(st.integers(0, 5))

    def put_or_die(*cell: t.Any) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise Killed
        put(*cell)

    victim = data.draw(st.sampled_from(numbers))
    with mock.patch.object(HostTable, "_put", lambda _, *cell: put_or_die(*cell)):
        try:
            table.add(host(victim), 1 + victim % 2, -1)
        except Killed:
            pass
    for number in numbers:
        if number != victim:
            assert table.of(host(number)) == 1
    assert table.of(host(victim)) == table._head[USED] - len(numbers) + 1


def test_how_large_it_is() -> None:
    assert len(HostTable(1000)._memory) == 2048 * CELL.size
    assert len(HostTable(10**9)._memory) == limits.SHARED_HOSTS * CELL.size


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("192.0.2.7", bytes(10) + b"\xff\xff\xc0\x00\x02\x07"),
        ("::ffff:192.0.2.7", bytes(10) + b"\xff\xff\xc0\x00\x02\x07"),
        ("::1", bytes(15) + b"\x01"),
        ("fe80::1%lo", b"\xfe\x80" + bytes(13) + b"\x01"),
    ],
)
def test_addresses_as_16_bytes(text: str, address: bytes) -> None:
    assert packed(text) == address
