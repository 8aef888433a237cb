"""Results over a growing number (connections, bytes, members): tables and curves.

A row is a contender, a column one result; it must not know what grows.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.table import Table

from jackfield.bench.cases import Metric
from jackfield.bench.runner import Result


def lines(results: Sequence[Result], metric: Metric) -> dict[str, list[float | None]]:
    """The medians of ``metric``: a contender's name -> one for each result, None where it was
    left out."""
    names = dict.fromkeys(name for result in results for name in result.samples)
    return {
        name: [
            result.spreads(name)[metric.key].median if name in result.samples else None
            for result in results
        ]
        for name in names
    }


def tables(
    results: Sequence[Result], axis: str, values: Sequence[int], metrics: Sequence[Metric]
) -> list[Table]:
    """A table for each figure that is shown: ``values`` of ``axis`` are the columns' titles."""
    return [_table(results, axis, values, metric) for metric in metrics if metric.shown]


def _table(results: Sequence[Result], axis: str, values: Sequence[int], metric: Metric) -> Table:
    title = ", ".join(word for word in (metric.title, metric.unit) if word)
    drawn = Table(title=title, title_justify="left", box=box.SIMPLE, pad_edge=False)
    drawn.add_column(axis, no_wrap=True, min_width=12)
    for value in values:
        drawn.add_column(f"{value:,}", justify="right", no_wrap=True, min_width=10)
    for name, medians in lines(results, metric).items():
        shown = ["-" if value is None else f"{value:,.{metric.digits}f}" for value in medians]
        drawn.add_row(name, *shown)
    return drawn


def ratio_table(results: Sequence[Result], axis: str, values: Sequence[int], key: str) -> Table:
    """A row for each of ours and each peer or limit: the median ratio of metric ``key``."""
    case = results[0].case
    drawn = Table(title=f"{case.metric(key).title}: ratio", title_justify="left", box=box.SIMPLE)
    drawn.pad_edge = False
    drawn.add_column(axis, no_wrap=True, min_width=12)
    for value in values:
        drawn.add_column(f"{value:,}", justify="right", no_wrap=True, min_width=10)
    names = {one.name: one for result in results for one in result.case.contenders}
    for ours in (one for one in names.values() if one.ours):
        for other in (one for one in names.values() if not one.ours):
            ratios = [_ratio(result, ours.name, other.name, key) for result in results]
            drawn.add_row(f"{ours.name} / {other.name}", *ratios)
    return drawn


def _ratio(result: Result, name: str, other: str, key: str) -> str:
    if name not in result.samples or other not in result.samples:
        return "-"
    ratio = result.ratio(name, other, key)
    return "-" if ratio is None else f"{ratio.median:.2f}"
