"""The table and the JSON of a result whose figures are known."""

from __future__ import annotations

import datetime
import io
import json
import typing as t

from rich.console import Console

from jackfield.bench import report
from jackfield.bench.cases import Case, Metric
from jackfield.bench.runner import Result
from jackfield.bench.servers import Absent, Contender

METRICS = (
    Metric("rate", "requests", "/s", 0),
    Metric("cpu_us", "CPU", "us/op", 2),
    Metric("hidden", "secret", "s", 0, shown=False),
)


def result() -> Result:
    contenders = [
        Contender("jackfield epoll", ("never", "shown"), "0.1", ours=True),
        Contender("asyncio", (), "3.11"),
    ]
    case = Case("echo", "echo, 64 bytes", contenders, lambda _: {}, METRICS, "rate")
    samples = {
        "jackfield epoll": [{"rate": 1000.0 * n, "cpu_us": 5.0, "hidden": 1.0} for n in (3, 2, 4)],
        "asyncio": [{"rate": 1000.0 * n, "cpu_us": 9.0, "hidden": 1.0} for n in (2, 1, 2)],
    }
    return Result(case, t.cast(t.Any, samples))


def drawn() -> str:
    output = io.StringIO()
    Console(file=output, width=120).print(report.table(result()))
    return output.getvalue()


def test_the_table_shows_medians_and_the_headlines_spread() -> None:
    text = drawn()
    for words in ("echo, 64 bytes", "jackfield epoll", "3,000", "2,000..4,000", "5.00", "us/op"):
        assert words in text
    assert "secret" not in text


def test_ratios_are_of_ours_to_the_peers() -> None:
    assert report.ratio_lines(result()) == [
        "requests: jackfield epoll / asyncio = 2.00 (1.50..2.00; more is better)"
    ]


def test_json_holds_every_round_and_the_machine() -> None:
    text = report.as_json(
        [result()],
        command="jackfield bench echo --rounds 3",
        machine={"cpu": "made up", "cores": 2},
        absent=[Absent("uvloop", "not installed")],
        when=datetime.datetime(2030, 1, 2, 3, 4, 5, tzinfo=datetime.UTC),
    )
    document = json.loads(text)
    assert document["command"] == "jackfield bench echo --rounds 3"
    assert document["when"] == "2030-01-02T03:04:05+00:00"
    assert document["machine"] == {"cpu": "made up", "cores": 2}
    assert document["absent"] == {"uvloop": "not installed"}
    (case,) = document["results"]
    assert (case["case"], case["headline"], case["more_is_better"]) == ("echo", "rate", True)
    assert case["units"] == {"rate": "/s", "cpu_us": "us/op", "hidden": "s"}
    ours = case["servers"]["jackfield epoll"]
    assert ours["metrics"]["rate"] == {"median": 3000.0, "low": 2000.0, "high": 4000.0}
    assert ours["ratios"] == {"asyncio": {"median": 2.0, "low": 1.5, "high": 2.0}}
    assert [sample["rate"] for sample in ours["rounds"]] == [3000.0, 2000.0, 4000.0]
    assert case["servers"]["asyncio"]["ratios"] == {}
    assert "never" not in text
