"""The models: each measured tiny, then the tables and lines of figures that are known."""

from __future__ import annotations

import io
import typing as t
from pathlib import Path

import pytest
from rich.console import Console

from jackfield import engines
from jackfield.bench import growth, models, plot, runner
from jackfield.bench.cases import Case
from jackfield.errors import SystemRefused, UsageError

SHORT: t.Final = {"seconds": 0.1, "warmup": 0.0}


def made_up() -> list[runner.Result]:
    """Three models at 1 and 10 clients; iterative at 1 only."""
    found = []
    for case in models.make_cases(["iterative", "fork", "epoll"], (1, 10), **SHORT):
        samples = {
            contender.name: [{metric.key: 1234.5 + n for metric in case.metrics}]
            for n, contender in enumerate(case.contenders)
        }
        found.append(runner.Result(case, t.cast(t.Any, samples)))
    return found


@pytest.mark.parametrize("model", models.MODELS)
def test_every_model_is_measured(model: str) -> None:
    why = engines.missing(models.engine_of(model))
    if why:
        pytest.skip(why)
    clients = 1 if model == models.ALONE else 3
    (case,) = models.make_cases([model], [clients], **SHORT)
    result = runner.run(case, 1)
    (name,) = result.samples
    measured = {key: value.median for key, value in result.spreads(name).items()}
    assert {metric.key for metric in case.metrics} <= set(measured)
    assert measured["processes"] == {"fork": 1 + clients, models.WORKERS: 3}.get(model, 1)
    assert measured["rate"] > 0
    assert 1 < measured["memory_mib"] < 1000
    assert 0 < measured["switches"] < 100_000
    assert 0 < measured["cpu_us"] < 100_000


def test_iterative_is_left_out_where_it_would_keep_others_waiting() -> None:
    one, ten = models.make_cases(["iterative", "epoll"], (1, 10), **SHORT)
    assert names(one) == ["iterative", "epoll"]
    assert names(ten) == ["epoll"]


def names(case: Case) -> list[str]:
    return [contender.name for contender in case.contenders]


def test_the_models_are_all_engines_there_are() -> None:
    ours = {models.engine_of(model) for model in models.MODELS}
    assert set(engines.NAMES) - ours <= {"kqueue"}  # never on Linux, and bench is for Linux


def test_a_table_has_a_column_for_each_number_of_clients() -> None:
    tables = models.tables(made_up(), (1, 10))
    assert len(tables) == 6
    output = io.StringIO()
    Console(file=output, width=80).print(tables[0])
    rows = [line.split() for line in output.getvalue().splitlines()]
    assert ["clients", "1", "10"] in rows
    assert ["iterative", "1,234", "-"] in rows
    assert ["epoll", "1,236", "1,236"] in rows


def test_no_two_models_have_the_same_line() -> None:
    assert len(set(plot.MARKERS)) >= len(models.MODELS)
    assert len(set(plot.COLOURS)) >= len(models.MODELS)


def test_a_picture_is_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    path = tmp_path / "drawn.png"
    results = made_up()
    panels = [plot.Panel(m.title, growth.lines(results, m)) for m in models.PLOTTED]
    panels.append(plot.Panel("nothing above zero", {"fork": [0.0, None]}))
    plot.check(str(path))
    plot.draw(str(path), "clients", (1, 10), panels, "made up")
    assert path.read_bytes().startswith(b"\x89PNG\r\n")


def test_what_no_picture_can_be_drawn_to_is_said_first(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=r"ends in \.png"):
        plot.check("figures.svg")
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(SystemRefused, match=r"--plot needs matplotlib.*jackfield\[bench\]"):
        plot.check("figures.png")
