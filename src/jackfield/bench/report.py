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
from jackfield.bench.servers import Absent
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


def ratio_lines(result: Result) -> list[str]:
    """A line for each of ours and each peer: the headline's ratio, median and spread."""
    case = result.case
    title = next(metric.title for metric in case.metrics if metric.key == case.headline)
    better = "more" if case.more_is_better else "less"
    return [
        f"{title}: {ours.name} / {peer.name} = {value.median:.2f} "
        f"({value.low:.2f}..{value.high:.2f}; {better} is better)"
        for ours in case.contenders
        if ours.ours
        for peer in case.contenders
        if not peer.ours
        for value in [result.ratio(ours.name, peer.name)]
    ]


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
    peers = [contender.name for contender in case.contenders if not contender.ours]
    servers = {}
    for contender in case.contenders:
        name = contender.name
        servers[name] = {
            "version": contender.version,
            "metrics": {key: value._asdict() for key, value in result.spreads(name).items()},
            "ratios": {peer: result.ratio(name, peer)._asdict() for peer in peers if peer != name},
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
