"""Lines over a growing number, or bars, as a PNG. matplotlib is imported only when asked for."""

from __future__ import annotations

import importlib
import importlib.util
import typing as t
from collections.abc import Mapping, Sequence
from pathlib import Path

from jackfield.bench.summary import Spread
from jackfield.errors import SystemRefused, UsageError

MARKERS: t.Final = "os^vD*XPd<>"
"""One for each line: colours alone are not told apart by everybody, nor on paper."""

COLOURS: t.Final = (
    "#555555", "#d55e00", "#cc3399", "#e69f00", "#56b4e9", "#0072b2", "#009e73", "#8c564b",
    "#111111", "#882255", "#999933",
)  # fmt: skip
"""After Okabe and Ito, the last two after Paul Tol, who chose them so that colour-blind people tell
them apart."""

NARROWEST: t.Final = 7.5
"""Inches: in less, the caption and a line of four names are cut off."""


class Panel(t.NamedTuple):
    """A figure: its title, and a value for each number that grows, None where there is none."""

    title: str
    lines: Mapping[str, Sequence[float | None]]


def check(path: str) -> None:
    """Raises ``UsageError`` for a file that is no PNG, ``SystemRefused`` without matplotlib."""
    if Path(path).suffix.lower() != ".png":
        raise UsageError(f"--plot {path}: the picture is a PNG; give a name that ends in .png")
    if importlib.util.find_spec("matplotlib") is None:
        raise SystemRefused(
            "--plot needs matplotlib, which is not installed (pip install 'jackfield[bench]')"
        )


class Bars(t.NamedTuple):
    """A figure: its title, and each contender's median with its lowest and highest."""

    title: str
    spreads: Mapping[str, Spread]


def draw(
    path: str, axis: str, numbers: Sequence[int], panels: Sequence[Panel], caption: str
) -> None:
    """Write the panels side by side to ``path``: lines over ``numbers`` of ``axis``.

    Both axes are logarithmic.
    """
    figure, areas = _figure(len(panels), 5.2)
    for area, panel in zip(areas, panels, strict=True):
        _draw_panel(area, axis, numbers, panel)
    handles, names = areas[0].get_legend_handles_labels()
    # A line holds as many names as there is room for below the panels.
    columns = min(len(names), 4 * len(panels))
    figure.legend(handles, names, loc="outside lower center", ncols=columns, frameon=False)
    _save(figure, path, caption)


def draw_bars(path: str, panels: Sequence[Bars], caption: str) -> None:
    """Write the panels side by side to ``path``: a bar for each contender, and its spread."""
    rows = max(len(panel.spreads) for panel in panels)
    figure, areas = _figure(len(panels), 1.6 + 0.4 * rows)
    for area, panel in zip(areas, panels, strict=True):
        _draw_bars(area, panel)
    _save(figure, path, caption)


def _figure(panels: int, height: float) -> tuple[t.Any, t.Any]:
    figure = importlib.import_module("matplotlib.figure").Figure(
        figsize=(max(4.6 * panels, NARROWEST), height), dpi=110, layout="constrained"
    )
    return figure, figure.subplots(1, panels, squeeze=False)[0]


def _save(figure: t.Any, path: str, caption: str) -> None:
    figure.suptitle(caption, fontsize=10)
    figure.savefig(path, metadata={"Software": None})


def _draw_bars(area: t.Any, panel: Bars) -> None:
    for number, (name, spread) in enumerate(panel.spreads.items()):
        below, above = spread.median - spread.low, spread.high - spread.median
        colour = COLOURS[number % len(COLOURS)]
        area.barh(name, spread.median, xerr=[[below], [above]], color=colour, capsize=3)
    area.set(title=panel.title)
    area.invert_yaxis()  # the first on top, as in the table
    area.xaxis.set_major_formatter(lambda value, _: f"{value:,.10g}")
    area.tick_params(axis="x", labelrotation=30)
    area.grid(True, axis="x", alpha=0.3)


def _draw_panel(area: t.Any, axis: str, numbers: Sequence[int], panel: Panel) -> None:
    highest = 0.0
    for number, (name, values) in enumerate(panel.lines.items()):
        points = [
            (count, value)
            for count, value in zip(numbers, values, strict=True)
            if value is not None and value > 0  # 0 has no place on a logarithmic axis
        ]
        highest = max([highest, *(value for _, value in points)])
        area.plot(
            [count for count, _ in points],
            [value for _, value in points],
            label=name,
            marker=MARKERS[number % len(MARKERS)],
            color=COLOURS[number % len(COLOURS)],
            linewidth=1.4,
            markersize=6,
        )
    scale = "log" if highest else "linear"  # a logarithmic axis needs something to show
    area.set(title=panel.title, xlabel=axis, xscale="log", yscale=scale)
    area.set_xticks(numbers, [f"{number:,}" for number in numbers], rotation=45)
    area.minorticks_off()
    if highest:
        ticks = importlib.import_module("matplotlib.ticker")
        # Within a decade there would be no number on the axis but one.
        area.yaxis.set_major_locator(ticks.LogLocator(subs=(1.0, 2.0, 5.0)))
    area.yaxis.set_major_formatter(lambda value, _: f"{value:,.10g}")
    area.grid(True, alpha=0.3)
