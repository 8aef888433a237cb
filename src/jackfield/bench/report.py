"""What a person reads (a table) and what a program reads (JSON) of results."""

from __future__ import annotations

import datetime
import json
import typing as t
from collections.abc import Sequence

from rich import box
from rich.table import Table

from jackfield.bench.cases import Metric
from jackfield.bench.runner import Result
from jackfield.bench.servers import Absent, Contender
from jackfield.bench.summary import Spread

WIDTH: t.Final = 110
"""Columns of a terminal that the widest table needs."""

WARNINGS_SHOWN: t.Final = 4
"""A busy machine is a reason to doubt every figure, and one is enough to say so."""


def tables(results: Sequence[Result]) -> list[Table]:
    """A table a result."""
    return [table(result) for result in results]


def table(result: Result) -> Table:
    """One row a contender: medians, and below the headline's its lowest and highest."""
    case = result.case
    shown = [metric for metric in case.metrics if metric.shown]
    drawn = Table(title=case.title, title_justify="left", box=box.SIMPLE, pad_edge=False)
    drawn.add_column("server", no_wrap=True)
    for metric in shown:
        drawn.add_column(f"{metric.title}\n{metric.unit}", justify="right", no_wrap=True)
    for contender in case.contenders:
        measured = result.spreads(contender.name)
        figures = [_figure(metric, measured, case.headline) for metric in shown]
        style = "bold" if contender.ours else None
        drawn.add_row(f"{contender.name}\n{contender.version}", *figures, style=style)
    return drawn


def _figure(metric: Metric, measured: dict[str, Spread], headline: str) -> str:
    value = measured[metric.key]
    text = f"{value.median:,.{metric.digits}f}"
    if metric.key == headline:
        text += f"\n{value.low:,.{metric.digits}f}..{value.high:,.{metric.digits}f}"
    return text


def ratio_tables(result: Result) -> list[Table]:
    """One for each of ours: a row a peer or limit, a column for the headline and each cost."""
    ours = [contender for contender in result.case.contenders if contender.ours]
    others = [contender for contender in result.case.contenders if not contender.ours]
    return [_ratio_table(result, one, others) for one in ours if others]


def _ratio_table(result: Result, ours: Contender, others: Sequence[Contender]) -> Table:
    case = result.case
    drawn = Table(box=box.SIMPLE, pad_edge=False)
    drawn.add_column(f"{ours.name} /", no_wrap=True)
    for key in case.compared:
        better = "more" if case.more_is_better and key == case.headline else "less"
        metric = case.metric(key)
        of = f" {metric.unit}" if case.is_ratio else ""
        title = f"{metric.title}{of}\n{better} is better"
        drawn.add_column(title, justify="right", no_wrap=True)
    for other in others:
        ratios = [result.ratio(ours.name, other.name, key) for key in case.compared]
        name = f"{other.name} (limit)" if other.limit else other.name
        drawn.add_row(name, *map(_shown, ratios))
    return drawn


def _shown(ratio: Spread | None) -> str:
    return "-" if ratio is None else f"{ratio.median:.2f} ({ratio.low:.2f}..{ratio.high:.2f})"


def warning_lines(results: Sequence[Result]) -> list[str]:
    """The first few warnings, and how many more there are; the JSON has them all."""
    found = [f"{result.case.title}: {line}" for result in results for line in result.warnings()]
    more = len(found) - WARNINGS_SHOWN
    return [*found[:WARNINGS_SHOWN], *([f"and {more} more like these"] if more > 0 else [])]


def as_json(
    results: Sequence[Result],
    *,
    command: str,
    machine: dict[str, object],
    absent: Sequence[Absent] = (),
    when: datetime.datetime | None = None,
) -> str:
    """All of it as JSON text: medians, spreads, every round's samples, ratios, the machine."""
    moment = when or datetime.datetime.now(datetime.UTC)
    document = {
        "command": command,
        "when": moment.isoformat(timespec="seconds"),
        "machine": machine,
        "absent": {peer.name: peer.reason for peer in absent},
        "results": [_result(result) for result in results],
    }
    return json.dumps(document, indent=2) + "\n"


def _result(result: Result) -> dict[str, t.Any]:
    case = result.case
    servers = {}
    for contender in case.contenders:
        name = contender.name
        servers[name] = {
            "version": contender.version,
            "limit": contender.limit,
            "metrics": {key: value._asdict() for key, value in result.spreads(name).items()},
            "ratios": {key: _ratios(result, name, key) for key in case.compared},
            "rounds": result.samples[name],
        }
    return {
        "case": case.name,
        "title": case.title,
        "headline": case.headline,
        "more_is_better": case.more_is_better,
        "units": {metric.key: metric.unit for metric in case.metrics},
        "servers": servers,
        "warnings": result.warnings(),
    }


def _ratios(result: Result, name: str, metric: str) -> dict[str, dict[str, float]]:
    others = [one.name for one in result.case.contenders if not one.ours and one.name != name]
    ratios = {other: result.ratio(name, other, metric) for other in others}
    return {other: ratio._asdict() for other, ratio in ratios.items() if ratio is not None}
