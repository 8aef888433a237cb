"""Run what a verb of ``jackfield bench`` has chosen: progress bar, tables, JSON, picture.

The progress bar goes to standard error, and only to a terminal; the tables or the JSON go to
standard output. Must not know a case's options.
"""

from __future__ import annotations

import contextlib
import re
import typing as t
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from jackfield.bench import cases, cores, growth, load, machine, plot, report, runner, servers
from jackfield.cli.bench_options import Axis

RESULTS: t.Final = Path("bench") / "results"
"""Where --save keeps results, below the current directory."""

COLUMNS_SHOWN: t.Final = 2
"""So many results have a table each; more are shown as they grow, a table each figure."""

ALSO_PLOTTED: t.Final = ("p99_us",)
"""Beside the headline and the costs, where a case has them."""

OUTPUT: t.Final = ("json_file", "save_name", "picture")
"""Options that do not change what is measured."""


class Show(t.NamedTuple):
    """What becomes of results: tables to print; a picture drawn to a path, with a caption."""

    tables: Callable[[Sequence[runner.Result]], list[Table]]
    draw: Callable[[Sequence[runner.Result], str, str], None]


def measure(
    chosen: Sequence[cases.Case],
    absent: Sequence[servers.Absent],
    connections: int,
    options: dict[str, t.Any],
    axis: Axis | None = None,
) -> None:
    """Run the cases one after the other, one for each value of ``axis``; show the results."""

    grows = axis or Axis("", ())

    def draw(results: Sequence[runner.Result], path: str, caption: str) -> None:
        _draw(results, grows, path, caption)

    show = Show(lambda results: _tables(results, grows), draw)
    measure_and_show(chosen, absent, connections, options, show)


def measure_and_show(
    chosen: Sequence[cases.Case],
    absent: Sequence[servers.Absent],
    connections: int,
    options: dict[str, t.Any],
    show: Show,
) -> None:
    """As ``measure``, for who has tables and pictures of its own."""
    json_file, target, picture = options["json_file"], _save_path(options), options["picture"]
    if picture:
        plot.check(picture)
    if not any(case.contenders for case in chosen):
        raise click.UsageError("nothing is left to measure")
    cores.check_system()
    cores.raise_descriptor_limit(connections)
    load.program()
    turns = options["rounds"] * sum(len(case.contenders) for case in chosen)
    with _progress(turns) as step:
        results = [runner.run(case, options["rounds"], step) for case in chosen]
    text = report.as_json(results, command=_command(), machine=machine.facts(), absent=absent)
    if json_file != "-":
        _print(results, absent, show.tables(results))
    if json_file:
        with click.open_file(json_file, "w") as file:
            file.write(text)
    if target:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    if picture:
        show.draw(results, picture, _caption(results[0].case))


def _tables(results: Sequence[runner.Result], axis: Axis) -> list[Table]:
    if len(results) <= COLUMNS_SHOWN:
        return [
            table
            for result in results
            for table in (report.table(result), *report.ratio_tables(result))
        ]
    case = results[0].case
    return [
        *growth.tables(results, axis.name, axis.values, case.metrics),
        *[growth.ratio_table(results, axis.name, axis.values, key) for key in case.compared],
    ]


def _draw(results: Sequence[runner.Result], axis: Axis, path: str, caption: str) -> None:
    case = results[0].case
    keys = (case.headline, *case.costs, *ALSO_PLOTTED)
    metrics = [metric for metric in case.metrics if metric.key in keys]
    titles = [", ".join(word for word in (one.title, one.unit) if word) for one in metrics]
    if len(results) == 1:
        spreads = {one.name: results[0].spreads(one.name) for one in case.contenders}
        bars = [
            plot.Bars(title, {name: found[metric.key] for name, found in spreads.items()})
            for title, metric in zip(titles, metrics, strict=True)
        ]
        plot.draw_bars(path, bars, f"{case.title}\n{caption}")
        return
    panels = [
        plot.Panel(title, growth.lines(results, metric))
        for title, metric in zip(titles, metrics, strict=True)
    ]
    plot.draw(path, axis.name, axis.values, panels, caption)


def _caption(case: cases.Case) -> str:
    facts = machine.facts()
    return f"{case.name}, server on one core: {facts['cpu']}, Linux {facts['kernel']}, " + str(
        facts["python"]
    )


def _print(
    results: Sequence[runner.Result], absent: Sequence[servers.Absent], tables: Sequence[Table]
) -> None:
    console = Console()
    console.width = max(console.width, report.WIDTH)  # a narrow terminal wraps, nothing is cut
    facts = machine.facts()
    where = "one core each" if facts["pinned"] else "ONE core for both: figures are too low"
    console.print(
        f"{facts['cpu']}, Linux {facts['kernel']}, {facts['python']}; server and load: {where}",
        highlight=False,
    )
    for table in tables:
        console.print(table)
    for line in report.warning_lines(results):
        console.print(f"warning: {line}", style="yellow", highlight=False, soft_wrap=True)
    for peer in absent:
        console.print(f"left out: {peer.name}: {peer.reason}", highlight=False, markup=False)


@contextlib.contextmanager
def _progress(total: int) -> Iterator[Callable[[str], None]]:
    """A bar that moves one step per server and round; nothing where stderr is no terminal."""
    console = Console(stderr=True)
    # Twice a second: the bar shares the machine with what is being measured.
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:.0f}/{task.total:.0f}"),
        TimeElapsedColumn(),
        console=console,
        disable=not console.is_terminal,
        refresh_per_second=2,
        transient=True,
    ) as bar:
        task = bar.add_task("", total=total)
        turns = iter(range(total))

        def step(name: str) -> None:
            bar.update(task, description=name, completed=next(turns))

        yield step


def _save_path(options: dict[str, t.Any]) -> Path | None:
    name = options["save_name"]
    if name is None:
        return None
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise click.UsageError(f"--save {name!r}: a name of letters, digits and . _ - is needed")
    return RESULTS / f"{name.removesuffix('.json')}.json"


def _command() -> str:
    """The command that repeats this measurement: every option, those of output left out."""
    context = click.get_current_context()
    words = [f"jackfield bench {context.info_name}"]
    for option in context.command.params:
        value = context.params.get(option.name or "")
        if value is None or option.name in OUTPUT:
            continue
        values = value if isinstance(value, tuple) else (value,)
        words += [f"{option.opts[0]} {one}" for one in values]
    return " ".join(words)
