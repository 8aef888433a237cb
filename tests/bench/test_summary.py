"""Medians, spreads and ratios, on figures whose results are known."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jackfield.bench.summary import Spread, ratio, spread, spreads

FIGURES = st.lists(st.floats(0.001, 1e9), min_size=1, max_size=20)


def test_spread_of_an_odd_number_of_values_is_the_middle_one() -> None:
    assert spread([5.0, 1.0, 9.0]) == Spread(5.0, 1.0, 9.0)


def test_spread_of_an_even_number_of_values_is_between_the_middle_two() -> None:
    assert spread([4.0, 1.0, 2.0, 9.0]) == Spread(3.0, 1.0, 9.0)


def test_no_values_have_no_spread() -> None:
    with pytest.raises(ValueError, match="no values"):
        spread([])


@given(FIGURES)
def test_the_median_lies_within_the_spread(values: list[float]) -> None:
    found = spread(values)
    assert found.low <= found.median <= found.high
    assert {found.low, found.high} <= set(values)


def test_spreads_are_taken_for_each_metric() -> None:
    found = spreads([{"rate": 1.0, "cpu": 7.0}, {"rate": 3.0, "cpu": 5.0}])
    assert found == {"rate": Spread(2.0, 1.0, 3.0), "cpu": Spread(6.0, 5.0, 7.0)}


def test_a_ratio_is_taken_in_each_round_before_the_median() -> None:
    # A machine that is ten times slower in the second round slows both: the ratios stay.
    ours = [{"rate": 200.0}, {"rate": 20.0}, {"rate": 300.0}]
    theirs = [{"rate": 100.0}, {"rate": 10.0}, {"rate": 100.0}]
    assert ratio(ours, theirs, "rate") == Spread(2.0, 2.0, 3.0)


@pytest.mark.parametrize("nothing", [0.0, -3.0])
def test_there_is_no_ratio_to_nothing(nothing: float) -> None:
    ours, theirs = [{"rate": 1.0}] * 2, [{"rate": 5.0}, {"rate": nothing}]
    assert ratio(ours, theirs, "rate") is None


def test_a_ratio_needs_as_many_rounds_on_both_sides() -> None:
    with pytest.raises(ValueError):
        ratio([{"rate": 1.0}], [{"rate": 1.0}, {"rate": 1.0}], "rate")


@given(FIGURES)
def test_the_ratio_to_oneself_is_one(values: list[float]) -> None:
    samples = [{"rate": value} for value in values]
    assert ratio(samples, samples, "rate") == Spread(1.0, 1.0, 1.0)
