"""``jackfield bench``: its options, what it prints, what it writes and where."""

from __future__ import annotations

import dataclasses
import json
import typing as t
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from jackfield import engines
from jackfield.bench import c_limits, compiler, models, plot, servers
from jackfield.cli import bench_options
from jackfield.cli.bench import command
from jackfield.errors import SystemRefused, UsageError

TIMED: t.Final = ("--rounds", "1", "--seconds", "0.1", "--warmup", "0")


@pytest.fixture(autouse=True)
def _asyncio_in_our_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command's own work is tested here: any echo server will do."""

    def stand_in(service: str, engine: str, scheme: str = "tcp") -> servers.Contender:
        assert (service, scheme) == ("echo", "tcp")
        (peer,), _ = servers.find_peers("echo", ["asyncio"])
        return dataclasses.replace(peer, name=f"jackfield {engine}", ours=True)

    monkeypatch.setattr(servers, "jackfield", stand_in)


def bench(*arguments: str) -> Result:
    return CliRunner().invoke(command, arguments)


def test_a_table_for_each_number_of_connections() -> None:
    result = bench("echo", *TIMED, "--connections", "2", "--connections", "3", "--peer", "asyncio")
    assert result.exit_code == 0, result.output
    assert "echo, 64 bytes, 2 connections" in result.stdout
    assert "echo, 64 bytes, 3 connections" in result.stdout
    assert "jackfield auto" in result.stdout
    assert result.stdout.count("jackfield auto / ") == 2
    assert result.stderr == ""


def test_a_table_for_each_figure_where_connections_grow(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    picture = tmp_path / "growth.png"
    options = ("--connections", "1,4", "--connections", "2", "--peer", "c-epoll")
    result = bench("echo", *TIMED, *options, "--plot", str(picture))
    assert result.exit_code == 0, result.output
    rows = [line.split() for line in result.stdout.splitlines()]
    assert rows.count(["connections", "1", "2", "4"]) == 10
    assert ["requests:", "ratio"] in rows
    assert ["C", "epoll"] in [row[:2] for row in rows]
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_bars_where_nothing_grows(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    picture = tmp_path / "bars.png"
    options = ("--in-flight", "2", "--peer", "c-epoll", "--plot", str(picture))
    result = bench("accept", *TIMED, *options)
    assert result.exit_code == 0, result.output
    assert "C epoll (limit)" in result.stdout
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("verb", "options", "case"),
    [
        ("accept", ("--in-flight", "2", *TIMED), "accept"),
        ("start", ("--starts", "1", "--rounds", "1"), "start"),
    ],
)
def test_json_of_the_other_cases(verb: str, options: tuple[str, ...], case: str) -> None:
    result = bench(verb, *options, "--peer", "none", "--json", "-")
    assert result.exit_code == 0, result.output
    (found,) = json.loads(result.stdout)["results"]
    assert found["case"] == case
    assert found["servers"]["jackfield auto"]["metrics"][found["headline"]]["median"] > 0


def test_datagrams_and_stalled_members_of_the_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of ours: the limits alone are quick."""
    no_engine: t.Any = lambda case, services, options, scheme="tcp": (  # noqa: E731
        c_limits.find(case, c_limits.names(case)),
        [],
    )
    monkeypatch.setattr(bench_options, "contenders", no_engine)
    result = bench("udp", *TIMED, "--size", "16,64")
    assert result.exit_code == 0, result.output
    assert "UDP echo, 16 bytes, 64 in flight" in result.stdout
    result = bench("latency", *TIMED, "--members", "4", "--stalled", "1")
    assert result.exit_code == 0, result.output
    assert "4 members, 1 stalled, 100 messages of 1000 bytes/s" in result.stdout


def test_json_to_standard_output_is_nothing_but_json() -> None:
    options = ("--connections", "2", "--peer", "none", "--engine", "poll", "--json", "-")
    result = bench("echo", *TIMED, *options)
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert list(document["results"][0]["servers"]) == ["jackfield poll"]
    words = document["command"]
    for option in ("jackfield bench echo", "--connections 2", "--engine poll", "--rounds 1"):
        assert option in words
    assert "--json" not in words


def test_save_writes_below_the_current_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    own = tmp_path / "own.json"
    options = ("--connections", "70", "--peer", "none", "--rounds", "1")
    result = bench("idle", *options, "--save", "first", "--json", str(own))
    assert result.exit_code == 0, result.output
    saved = (tmp_path / "bench" / "results" / "first.json").read_text()
    assert saved == own.read_text()
    assert json.loads(saved)["results"][0]["case"] == "idle"
    assert str(tmp_path) not in saved


def test_an_absent_peer_is_named_and_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(case: str, names: t.Iterable[str]) -> t.Any:
        return [], [servers.Absent(name, "not installed") for name in names]

    ours = servers.jackfield("echo", "auto")
    monkeypatch.setattr(servers, "jackfield", lambda *_: ours)
    monkeypatch.setattr(servers, "find_peers", nobody)
    result = bench("echo", *TIMED, "--connections", "2")
    assert result.exit_code == 0, result.output
    assert "left out: asyncio: not installed" in result.stdout
    assert "left out: uvloop: not installed" in result.stdout


def test_models_in_tables_json_and_a_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(engines, "missing", lambda name: "not today" if name == "poll" else None)
    picture = tmp_path / "models.png"
    monkeypatch.setattr(models, "jackfield", servers.jackfield)
    options = ("--model", "iterative", "--model", "select", "--model", "poll", "--clients", "2")
    result = bench("models", *TIMED, *options, "--clients", "1", "--plot", str(picture))
    assert result.exit_code == 0, result.output
    rows = [line.split() for line in result.stdout.splitlines()]
    assert rows.count(["clients", "1", "2"]) == 6
    assert [row[2] for row in rows if row[:1] == ["iterative"]] == ["-"] * 6
    assert "left out: poll: not today" in result.stdout
    assert picture.stat().st_size > 10_000


def test_models_json_has_the_figures_of_every_number_of_clients() -> None:
    options = ("--model", "select", "--clients", "1", "--clients", "2", "--json", "-")
    result = bench("models", *TIMED, *options)
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert [one["title"][-9:] for one in document["results"]] == [" 1 client", "2 clients"]
    assert "switches" in document["results"][0]["servers"]["select"]["metrics"]


def test_models_without_matplotlib_measures_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str) -> None:
        raise SystemRefused(f"{path}: no matplotlib")

    monkeypatch.setattr(plot, "check", refuse)
    result = bench("models", "--plot", "x.png")
    assert isinstance(result.exception, SystemRefused)
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("fanout", "--senders", "9", "--members", "8"), "which are 8 of 8 members"),
        (("fanout", "--in-flight", "499"), "must be a multiple"),
        (("fanout", "--grow", "members", "--in-flight", "499"), "which are 10 of 10 members"),
        (("echo", "--connections", "1,x"), "'x' is not a valid integer"),
        (("echo", "--connections", "1,0"), "0 is not in the range"),
        (
            ("echo", "--connections", "1,2", "--size", "3,4"),
            "--connections and --size have several",
        ),
        (
            ("echo", "--grow", "size", "--connections", "1,2"),
            "--size and --connections have several",
        ),
        (("echo", "--plot", "x.svg"), "ends in .png"),
        (("latency", "--stalled", "500"), "--stalled 500 must be less than --members 500"),
        (("udp", "--size", "15"), "15 is not in the range"),
        (("echo", "--peer", "nginx"), "'nginx' is not one of"),
        (("echo", "--save", "../up"), "a name of letters, digits"),
        (("models", "--model", "iterative"), "--clients 1000: none of these models"),
        (("models", "--model", "redis"), "'redis' is not one of"),
        (("echo", "--rounds", "0"), "0 is not in the range"),
    ],
)
def test_wrong_options_are_refused(arguments: tuple[str, ...], message: str) -> None:
    result = bench(*arguments)
    refused = isinstance(result.exception, UsageError)  # which the program shows in one line
    assert refused or result.exit_code == 2
    assert message in (str(result.exception) if refused else result.stderr)


def test_without_a_compiler_nothing_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> str:
        raise SystemRefused("found no C compiler")

    monkeypatch.setattr(compiler, "find_compiler", refuse)
    result = bench("idle", "--connections", "1")
    assert isinstance(result.exception, SystemRefused)
    assert result.stdout == ""
