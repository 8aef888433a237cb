"""``jackfield engines``."""

from __future__ import annotations

import os
import shlex
import subprocess

import pytest
from tests.cli.process import JACKFIELD, run

from jackfield import engines


def test_every_engine_has_a_line_and_auto_takes_one_that_works() -> None:
    ended = run("engines")
    assert ended.returncode == 0
    assert ended.stderr == ""
    lines = ended.stdout.splitlines()
    assert [line.split()[0] for line in lines] == list(engines.NAMES)
    (taken,) = [line for line in lines if line.endswith(" (auto takes this one)")]
    assert taken.split()[:2] == [engines.choose("auto"), "available:"]
    for name, line in zip(engines.NAMES, lines, strict=True):
        why = engines.missing(name)
        assert (f"missing: {why}" if why else f"available: {engines.ABOUT[name]}") in line


@pytest.mark.parametrize("name", engines.NAMES)
def test_what_is_listed_as_available_serves(name: str) -> None:
    if engines.missing(name) is None:
        assert engines.choose(name) == name


def test_head_has_seen_enough() -> None:
    command = f"{shlex.join(JACKFIELD)} engines | head -1"
    ended = subprocess.run(
        ["sh", "-c", command], check=False, capture_output=True, text=True, timeout=20
    )
    assert ended.stderr == ""
    assert ended.stdout.startswith(engines.NAMES[0])


def test_nobody_reads_at_all() -> None:
    read, write = os.pipe()
    os.close(read)
    try:
        ended = subprocess.run(
            [*JACKFIELD, "engines"], check=False, stdout=write, stderr=subprocess.PIPE, timeout=20
        )
    finally:
        os.close(write)
    assert ended.stderr == b""
    assert ended.returncode == 1


def test_standard_output_is_closed() -> None:
    ended = subprocess.run(
        ["sh", "-c", f"{shlex.join(JACKFIELD)} engines >&-"],
        check=False,
        stderr=subprocess.PIPE,
        timeout=20,
    )
    assert ended.stderr == b""
