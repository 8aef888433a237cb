"""Lines over numbers of clients, as a PNG. matplotlib is imported when it is asked for only."""

from __future__ import annotations

import importlib
import importlib.util
import typing as t
from collections.abc import Mapping, Sequence
from pathlib import Path

from jackfield.errors import SystemRefused, UsageError

MARKERS: t.Final = "os^vD*XPd"
"""One for each line: colours alone are not told apart by everybody, nor on paper."""

COLOURS: t.Final = (
    "#555555", "#d55e00", "#cc3399", "#e69f00", "#56b4e9", "#0072b2", "#009e73", "#8c564b",
    "#111111",
)  # fmt: skip
"""After Okabe and Ito, who chose them so that colour-blind people tell them apart."""


class Panel(t.NamedTuple):
    """A figure: its title, and a value for each number of clients, None where there is none."""

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


def draw(path: str, clients: Sequence[int], panels: Sequence[Panel], caption: str) -> None:
    """Write the panels side by side to ``path``; both axes are logarithmic."""
    figure = importlib.import_module("matplotlib.figure").Figure(
        figsize=(4.6 * len(panels), 5.2), dpi=110, layout="constrained"
    )
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for area, panel in zip(axes, panels, strict=True):
        _draw_panel(area, clients, panel)
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=len(names), frameon=False)
    figure.suptitle(caption, fontsize=10)
    figure.savefig(path, metadata={"Software": None})


def _draw_panel(area: t.Any, clients: Sequence[int], panel: Panel) -> None:
    highest = 0.0
    for number, (name, values) in enumerate(panel.lines.items()):
        points = [
            (count, value)
            for count, value in zip(clients, values, strict=True)
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
    area.set(title=panel.title, xlabel="clients", xscale="log", yscale=scale)
    area.set_xticks(clients, [f"{count:,}" for count in clients])
    area.minorticks_off()
    area.yaxis.set_major_formatter(lambda value, _: f"{value:,.10g}")
    area.grid(True, alpha=0.3)
