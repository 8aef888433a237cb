"""The table and the JSON of a result whose figures are known."""

from __future__ import annotations

import dataclasses
import datetime
import io
import json
import typing as t

from rich.console import Console
from rich.table import Table

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
        Contender("C epoll", (), "cc", limit=True),
    ]
    case = Case(
        "echo", "echo, 64 bytes", contenders, lambda _: {}, METRICS, "rate", costs=("cpu_us",)
    )
    samples = {
        "jackfield epoll": [{"rate": 1000.0 * n, "cpu_us": 5.0, "hidden": 1.0} for n in (3, 2, 4)],
        "asyncio": [{"rate": 1000.0 * n, "cpu_us": 9.0, "hidden": 1.0} for n in (2, 1, 2)],
        "C epoll": [{"rate": 4000.0, "cpu_us": 4.0, "hidden": 1.0}] * 3,
    }
    return Result(case, t.cast(t.Any, samples))


def drawn(*tables: Table) -> str:
    output = io.StringIO()
    for table in tables or (report.table(result()),):
        Console(file=output, width=120).print(table)
    return output.getvalue()


def test_the_table_shows_medians_and_the_headlines_spread() -> None:
    text = drawn()
    for words in ("echo, 64 bytes", "jackfield epoll", "3,000", "2,000..4,000", "5.00", "us/op"):
        assert words in text
    assert "secret" not in text


def test_ratios_are_of_ours_to_the_peers_and_limits() -> None:
    rows = [line.split() for line in drawn(*report.ratio_tables(result())).splitlines()]
    assert ["jackfield", "epoll", "/", "more", "is", "better", "less", "is", "better"] in rows
    assert ["asyncio", "2.00", "(1.50..2.00)", "0.56", "(0.56..0.56)"] in rows
    assert [row[:3] for row in rows if "C" in row] == [["C", "epoll", "(limit)"]]


def test_a_headline_that_is_a_ratio_is_not_divided() -> None:
    found = result()
    case = dataclasses.replace(found.case, is_ratio=True)
    text = drawn(*report.ratio_tables(Result(case, found.samples)))
    assert "requests" not in text
    assert "0.56 (0.56..0.56)" in text


def test_there_is_no_ratio_to_nothing() -> None:
    found = result()
    found.samples["C epoll"][1] = {"rate": 4000.0, "cpu_us": 0.0, "hidden": 1.0}
    rows = [line.split() for line in drawn(*report.ratio_tables(found)).splitlines()]
    assert ["C", "epoll", "(limit)", "0.75", "(0.50..1.00)", "-"] in rows
    document = json.loads(report.as_json([found], command="", machine={}))
    ours = document["results"][0]["servers"]["jackfield epoll"]["ratios"]
    assert set(ours["cpu_us"]) == {"asyncio"}


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
    assert list(ours["ratios"]) == ["rate", "cpu_us"]
    assert ours["ratios"]["rate"]["asyncio"] == {"median": 2.0, "low": 1.5, "high": 2.0}
    assert ours["ratios"]["cpu_us"]["C epoll"]["median"] == 1.25
    assert [sample["rate"] for sample in ours["rounds"]] == [3000.0, 2000.0, 4000.0]
    assert list(case["servers"]["asyncio"]["ratios"]["rate"]) == ["C epoll"]
    assert case["servers"]["C epoll"]["limit"]
    assert "never" not in text
