from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jackfield import limits
from jackfield.errors import UsageError
from jackfield.rooms.flood import FloodControl, TokenBucket, Verdict

ADMIT, WARN, KICK = Verdict.ADMIT, Verdict.WARN, Verdict.KICK

gaps = st.floats(0, 5, allow_nan=False)
"""Seconds between two events."""


def test_a_burst_passes_then_the_rate() -> None:
    bucket = TokenBucket(rate=4, burst=3)
    assert [bucket.take(1, 100.0) for _ in range(4)] == [True, True, True, False]
    assert bucket.take(1, 100.25)
    assert not bucket.take(1, 100.25)
    assert [bucket.take(1, 200.0) for _ in range(4)] == [True, True, True, False]


def test_a_refusal_costs_nothing() -> None:
    bucket = TokenBucket(rate=1, burst=2)
    assert bucket.take(2, 0.0)
    assert not any(bucket.take(1, 0.5) for _ in range(100))
    assert bucket.take(1, 1.0)


def test_a_clock_that_goes_back_gives_nothing() -> None:
    bucket = TokenBucket(rate=1, burst=1)
    assert bucket.take(1, 10.0)
    assert not bucket.take(1, 5.0)
    assert not bucket.take(1, 10.5)
    assert bucket.take(1, 11.0)


@pytest.mark.parametrize(("rate", "burst"), [(0, 1), (-1, 1), (1, 0)])
def test_nonsense_is_refused(rate: float, burst: float) -> None:
    with pytest.raises(UsageError):
        TokenBucket(rate, burst)
    with pytest.raises(UsageError):
        FloodControl(rate, burst)


def test_a_burst_below_one_line_is_refused() -> None:
    with pytest.raises(UsageError, match=r"burst 0\.5"):
        FloodControl(1, 0.5)


@given(
    st.floats(0.1, 50),
    st.integers(1, 30),
    st.lists(st.tuples(gaps, st.integers(0, 2000)), max_size=80),
)
def test_never_more_than_burst_and_rate_in_any_window(
    rate: float, burst: int, events: list[tuple[float, int]]
) -> None:
    flood = FloodControl(rate, burst, bytes_per_line=100, strikes=5)
    now = 1000.0
    admitted: list[tuple[float, int]] = []
    for gap, size in events:
        now += gap
        cost = min(size, burst * 100)
        if flood.admit(cost, now) is ADMIT:
            admitted.append((now, cost))
    for first in range(len(admitted)):
        octets = 0
        for last in range(first, len(admitted)):
            octets += admitted[last][1]
            allowed = burst + rate * (admitted[last][0] - admitted[first][0])
            assert last - first + 1 <= allowed + 1e-6
            assert octets <= 100 * allowed + 1e-4


@given(st.lists(gaps, max_size=40), st.integers(1, 10))
def test_waiting_for_one_token_always_helps(gaps: list[float], burst: int) -> None:
    flood = FloodControl(rate=2, burst=burst, bytes_per_line=100, strikes=3)
    now = 0.0
    for gap in gaps:
        now += gap
        flood.admit(10, now)
    assert flood.admit(10, now + 0.5 + 1e-6) is ADMIT


def test_the_defaults_let_a_stanza_pass_and_warn_before_the_kick() -> None:
    flood = FloodControl()
    verdicts = [flood.admit(40, 7.0) for _ in range(limits.FLOOD_BURST)]
    assert set(verdicts) == {ADMIT}
    left = []
    for _ in range(limits.FLOOD_STRIKES):
        assert flood.admit(40, 7.0) is WARN
        left.append(flood.strikes_left)
    assert left == list(range(limits.FLOOD_STRIKES - 1, -1, -1))
    assert flood.admit(40, 7.0) is KICK
    assert flood.admit(40, 7.0) is KICK


def test_long_lines_are_bounded_by_their_bytes() -> None:
    flood = FloodControl(rate=1, burst=10, bytes_per_line=100, strikes=3)
    assert flood.admit(600, 0.0) is ADMIT
    assert flood.admit(400, 0.0) is ADMIT
    assert flood.admit(1, 0.0) is WARN
    assert flood.admit(0, 0.0) is ADMIT, "the line bucket has eight left: nothing was spent"
    assert flood.admit(100, 1.0) is ADMIT
    assert flood.admit(100, 1.5) is WARN


def test_a_line_larger_than_the_bucket_passes_when_it_is_full() -> None:
    flood = FloodControl(rate=1, burst=1, bytes_per_line=100, strikes=3)
    assert flood.admit(1000, 0.0) is ADMIT
    assert flood.admit(1000, 0.5) is WARN
    assert flood.admit(1000, 1.0) is ADMIT


def test_strikes_are_kept_until_both_buckets_are_full_again() -> None:
    flood = FloodControl(rate=1, burst=2, bytes_per_line=100, strikes=2)
    assert [flood.admit(50, 0.0) for _ in range(3)] == [ADMIT, ADMIT, WARN]
    assert flood.strikes_left == 1
    assert flood.admit(150, 1.0) is ADMIT
    assert flood.admit(160, 2.0) is WARN, "50 bytes are not regained yet"
    assert flood.strikes_left == 0
    assert flood.admit(0, 2.5) is ADMIT
    assert flood.strikes_left == 0
    assert flood.admit(10, 10.0) is ADMIT
    assert flood.strikes_left == 2


def test_a_slow_flood_is_one_episode() -> None:
    flood = FloodControl(rate=1, burst=2, bytes_per_line=100, strikes=3)
    verdicts = [flood.admit(10, i * 0.5) for i in range(12)]
    assert KICK in verdicts
    assert verdicts.count(WARN) == 3


def test_it_is_one_small_object() -> None:
    assert not hasattr(FloodControl(), "__dict__")
    assert sys.getsizeof(FloodControl()) <= 128
