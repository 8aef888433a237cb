"""docs/engines.md: every engine has its section, refusals read so, figures are the JSON's."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest

from jackfield import engines

ROOT: t.Final = Path(__file__).parent.parent
PAGE: t.Final = (ROOT / "docs" / "engines.md").read_text()
RESULTS: t.Final = ROOT / "bench" / "results" / "models.json"

SHOWN: t.Final = (
    ("rate", "requests/s", 0),
    ("cpu_us", "CPU, us/request", 1),
    ("memory_mib", "memory, MiB", 1),
    ("switches", "switches/1,000 requests", 0),
)
REFUSALS: t.Final = re.findall(r"^\$ jackfield (serve .*)\n(jackfield: .*)$", PAGE, re.MULTILINE)


def figures() -> str:
    """The table that the page must have: of each model its medians at each number of clients."""
    results = json.loads(RESULTS.read_text())["results"]
    counts = [re.findall(r"(\d+) clients?$", result["title"])[0] for result in results]
    columns = [f"{int(count):,}" for count in counts]
    rows = []
    for key, title, digits in SHOWN:
        rows.append(f"| **{title}** at | {' | '.join(columns)} |")
        for name in results[0]["servers"]:
            medians = [
                result["servers"][name]["metrics"][key]["median"]
                if name in result["servers"]
                else None
                for result in results
            ]
            cells = ["" if median is None else f"{median:,.{digits}f}" for median in medians]
            rows.append(f"| {name} | {' | '.join(cells)} |")
    rule = "| --- |" + " ---: |" * len(columns)
    return "\n".join([f"| clients |{'  |' * len(columns)}", rule, *rows]) + "\n"


def test_the_figures_are_those_that_were_measured() -> None:
    assert figures() in PAGE


def test_every_engine_has_a_section_with_what_when_and_refusals() -> None:
    sections = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))
    assert set(engines.NAMES) < set(sections)
    for name in (*engines.NAMES, "Workers"):
        for part in ("What it is: ", "When: ", "Refuses: "):
            assert part in sections[name], (name, part)


@pytest.mark.parametrize(("command", "output"), REFUSALS)
def test_refusals_are_as_shown(command: str, output: str) -> None:
    if "kqueue" in command and engines.missing("kqueue") is None:
        pytest.skip("this system has it")
    said = subprocess.run(
        [sys.executable, "-m", "jackfield", *shlex.split(command)],
        cwd=ROOT / "examples",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (said.stderr.rstrip("\n"), said.stdout, said.returncode) == (output, "", 2)


def test_each_engine_that_refuses_something_is_shown_to() -> None:
    assert len(REFUSALS) == 8
