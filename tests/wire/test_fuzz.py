"""The fuzzer runs, finds nothing in a few cases, and would say so if there were something."""

from __future__ import annotations

import random
import runpy
import typing as t
from pathlib import Path

import pytest

FUZZER = Path(__file__).parents[2] / "fuzz" / "fuzz_wire.py"


@pytest.fixture(scope="module")
def fuzzer() -> dict[str, t.Any]:
    return runpy.run_path(str(FUZZER), run_name="fuzz_wire")


def test_a_few_cases_agree(fuzzer: dict[str, t.Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert fuzzer["main"](["--seed", "1", "--count", "150"]) == 0
    printed = capsys.readouterr().out
    assert printed == "seed 1: 150 cases each for lines, frames, telnet, proxy: all agree\n"


def test_a_parser_that_forgets_is_found(fuzzer: dict[str, t.Any]) -> None:
    def forgetful(chunks: t.Iterable[bytes], size: int) -> object:
        return [line for chunk in chunks for line in chunk.split(b"\n")]

    failure = fuzzer["fuzz"]("lines", forgetful, random.Random(1), 20)
    assert failure.startswith("lines: another result when cut")


def test_a_parser_that_raises_is_found(fuzzer: dict[str, t.Any]) -> None:
    def fragile(chunks: t.Iterable[bytes], size: int) -> object:
        raise ValueError("not UTF-8")

    failure = fuzzer["fuzz"]("telnet", fragile, random.Random(1), 1)
    assert "not UTF-8" in failure


def test_the_same_seed_gives_the_same_cases(fuzzer: dict[str, t.Any]) -> None:
    def cases(seed: int) -> list[bytes]:
        rng = random.Random(seed)
        return [fuzzer["random_bytes"](rng, b"\r\n") for _ in range(5)]

    assert cases(3) == cases(3)
    assert cases(3) != cases(4)
