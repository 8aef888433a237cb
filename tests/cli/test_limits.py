"""``jackfield limits`` as a person runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from tests.cli.process import JACKFIELD, run
from tests.support import PATIENCE

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's /proc")


def test_rows_and_answers() -> None:
    said = run("limits")
    assert (said.returncode, said.stderr) == (0, "")
    for word in ("RLIMIT_NOFILE  ", "net.core.somaxconn  ", "raise:  ", "set by: "):
        assert word in said.stdout
    assert "As many sockets as ports? " in said.stdout
    assert "As many threads as sockets? " in said.stdout


def test_json_of_another_process() -> None:
    said = json.loads(run("limits", str(os.getpid()), "--json").stdout)
    found = {limit["name"]: limit for limit in said["limits"]}
    assert found["RLIMIT_NOFILE"]["used"] >= 3
    assert [answer["question"] for answer in said["answers"]] == [
        "As many sockets as ports?",
        "As many threads as sockets?",
    ]


@pytest.mark.parametrize("columns", [60, 120])
def test_fits_the_terminal(columns: int) -> None:
    said = subprocess.run(
        [*JACKFIELD, "limits"],
        env=os.environ | {"COLUMNS": str(columns)},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
    )
    # A single word, the path of a cgroup say, may be longer than a line.
    long = [line for line in said.stdout.splitlines() if len(line) > columns]
    assert all(" " not in line.strip() for line in long)


def test_head() -> None:
    command = ["sh", "-c", '"$0" -m jackfield limits | head -n 1', sys.executable]
    said = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=True)
    assert said.stdout.startswith("RLIMIT_NOFILE")
    assert said.stderr == ""


def test_probe() -> None:
    said = run("limits", "--probe", "threads", "--ceiling", "120")
    assert (said.returncode, said.stderr) == (0, "")
    assert said.stdout.startswith("120 threads in ")
    words = " ".join(said.stdout.split())
    assert "stopped by the ceiling that was set; a higher one: --ceiling each took " in words
    assert " memory of the process that made them, each: " in words


def test_probe_names_the_limit_and_what_raises_it() -> None:
    command = ["sh", "-c", 'ulimit -n 64; "$0" -m jackfield limits --probe sockets', sys.executable]
    said = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=True)
    assert "stopped by RLIMIT_NOFILE (EMFILE)" in said.stdout
    assert "raise:  prlimit --pid $$ --nofile=128:128" in said.stdout
    assert said.stderr == ""


def test_probe_as_json() -> None:
    said = json.loads(run("limits", "--probe", "processes", "--ceiling", "3", "--json").stdout)
    assert (said["kind"], said["made"], said["stopped_by"]) == ("processes", 3, "ceiling")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("999999999",), "no process 999999999 is here"),
        (("0",), "0 is not in the range"),
        (("--ceiling", "3"), "belong to --probe"),
        (("1", "--probe", "threads"), "leave the PID out"),
        (("--probe", "wishes"), "'wishes' is not one of"),
    ],
)
def test_mistakes(arguments: tuple[str, ...], words: str) -> None:
    said = run("limits", *arguments)
    assert (said.returncode, said.stdout) == (2, "")
    assert said.stderr.startswith("jackfield: ")
    assert words in said.stderr
    assert said.stderr.count("\n") == 1
