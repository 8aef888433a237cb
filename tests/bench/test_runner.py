"""Rounds are interleaved; figures that are not to be trusted are named."""

from __future__ import annotations

import pytest

from jackfield.bench.cases import Case, Metric
from jackfield.bench.runner import Result, run
from jackfield.bench.servers import Contender
from jackfield.bench.summary import Sample, Spread

RATE = (Metric("rate", "requests", "/s", 0),)


def contenders(*names: str) -> list[Contender]:
    return [Contender(name, (), "1") for name in names]


def test_rounds_are_interleaved() -> None:
    turns: list[str] = []
    told: list[str] = []

    def measure(contender: Contender) -> Sample:
        turns.append(contender.name)
        return {"rate": float(len(turns))}

    case = Case("echo", "echo", contenders("a", "b", "c"), measure, RATE, "rate")
    result = run(case, 2, told.append)
    assert turns == told == ["a", "b", "c", "a", "b", "c"]
    assert result.samples["b"] == [{"rate": 2.0}, {"rate": 5.0}]
    assert result.spreads("c")["rate"] == Spread(4.5, 3.0, 6.0)
    assert result.ratio("c", "a") == Spread(2.25, 1.5, 3.0)


@pytest.mark.parametrize(
    ("load", "server", "disturbed", "expected"),
    [
        (50.0, 99.0, 0.0, []),
        (95.0, 99.0, 0.0, []),
        (95.0, 60.0, 0.0, ["load generator used 95 % of its core and the server 60 %"]),
        (50.0, 99.0, 9.0, ["for 9 % of the time"]),
        (95.0, 60.0, 9.0, ["load generator", "quiet machine"]),
    ],
)
def test_doubtful_figures_are_named(
    load: float, server: float, disturbed: float, expected: list[str]
) -> None:
    sample = {"rate": 1.0, "load_core": load, "server_core": server, "disturbed": disturbed}
    case = Case("echo", "echo", contenders("a"), lambda _: sample, RATE, "rate")
    lines = run(case, 3).warnings()
    assert len(lines) == len(expected)
    for line, words in zip(lines, expected, strict=True):
        assert line.startswith("a: ")
        assert words in line


def test_a_case_without_cpu_figures_is_not_doubted() -> None:
    case = Case("idle", "idle", contenders("a"), lambda _: {"rate": 1.0}, RATE, "rate")
    assert Result(case, {"a": [{"rate": 1.0}]}).warnings() == []
