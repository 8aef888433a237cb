"""The soak: a short one finds nothing, and what is left behind is found."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest
from tests.support import TOGETHER

SCRIPT: t.Final = Path(__file__).parent.parent.parent / "bench" / "soak.py"

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="soak needs Linux: it reads /proc"
)


def load_script() -> t.Any:
    spec = importlib.util.spec_from_file_location("soak", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_short_soak_leaves_nothing() -> None:
    """Of the best engine here. Ten minutes of each are for a quiet machine."""
    command = [sys.executable, str(SCRIPT), "--engine", TOGETHER[0], "--seed", "1"]
    done = subprocess.run(
        [*command, "--seconds", "3", "--players", "20"],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "descriptors " in done.stdout
    assert "WRONG" not in done.stdout
    connections = int(done.stdout.partition(" connections;")[0].splitlines()[-1].replace(",", ""))
    assert connections > 50


@pytest.mark.parametrize(
    ("what", "change"),
    [
        ("descriptors", {"descriptors": 11}),
        ("threads", {"threads": 3}),
        ("connections", {"connections": 1}),
        ("uncollectable", {"uncollectable": 1}),
        ("objects", {"objects": 11_000}),
        ("blocks", {"blocks": 52_000}),
        ("MiB malloc, 2nd", {"allocated": 6 << 20}),
        ("MiB at rest", {"memory": 30 << 20}),
        ("MiB, 2nd half", {"memory": 29 << 20}),
    ],
)
def test_what_is_left_is_found(what: str, change: dict[str, int]) -> None:
    soak = load_script()

    def held(descriptors: int = 10, threads: int = 2, memory: int = 20 << 20, **own: int) -> t.Any:
        told = {"connections": 0, "uncollectable": 0, "objects": 10_000, "blocks": 50_000}
        told["allocated"] = 5 << 20
        return soak.Held(descriptors, threads, memory, {**told, "references": None, **own})

    usual = [[30 << 20] * 9] * 2
    assert all(row.well for row in soak.compare([held()] * 3, usual, 60))
    rows = soak.compare([held(), held(), held(**change)], usual, 60)
    assert what in [row.what for row in rows if not row.well]


def test_memory_that_grows_under_load_is_found() -> None:
    soak = load_script()
    own = {"connections": 0, "uncollectable": 0, "objects": 1, "blocks": 1, "references": 1}
    own["allocated"] = 1
    rows = soak.compare([soak.Held(1, 1, 1, own)] * 3, [[30 << 20] * 9, [40 << 20] * 9], 60)
    assert [row.what for row in rows if not row.well] == ["MiB under load"]


def test_the_types_that_grew_are_named() -> None:
    soak = load_script()
    before = soak.Held(1, 1, 1, {"types": {"Echo": 5, "tuple": 100}})
    after = soak.Held(1, 1, 1, {"types": {"Echo": 505, "tuple": 105, "Timer": 50}})
    assert soak.grown(before, after) == {"Echo": 500, "Timer": 50}
