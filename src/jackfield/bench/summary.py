"""Medians, spreads and ratios of what the rounds measured. Pure arithmetic."""

from __future__ import annotations

import statistics
import typing as t
from collections.abc import Mapping, Sequence

Sample: t.TypeAlias = Mapping[str, float]
"""What one round measured of one server: metric -> value."""


class Spread(t.NamedTuple):
    """The median of some values, the lowest and the highest."""

    median: float
    low: float
    high: float


def spread(values: Sequence[float]) -> Spread:
    """Median, lowest and highest. Raises ``ValueError`` for no values."""
    if not values:
        raise ValueError("no values, no median")
    return Spread(statistics.median(values), min(values), max(values))


def spreads(samples: Sequence[Sample]) -> dict[str, Spread]:
    """The spread of each metric over ``samples``, which all have the same metrics."""
    return {key: spread([sample[key] for sample in samples]) for key in samples[0]}


def ratio(ours: Sequence[Sample], theirs: Sequence[Sample], metric: str) -> Spread | None:
    """``ours`` divided by ``theirs`` in each round; the median of that, not of the medians.

    None where theirs is nothing, or less by what the measurement errs: memory, say, of a server
    that keeps none. Raises ``ValueError`` when the numbers of rounds differ.
    """
    pairs = [(mine[metric], other[metric]) for mine, other in zip(ours, theirs, strict=True)]
    if any(other <= 0 for _, other in pairs):
        return None
    return spread([mine / other for mine, other in pairs])
