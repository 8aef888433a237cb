"""The fuzzer runs, finds nothing in a few cases, and would say so if there were something."""

from __future__ import annotations

import random
import runpy
import typing as t
from pathlib import Path

import pytest

from jackfield.capture import decode
from jackfield.errors import PacketError

FUZZER = Path(__file__).parents[2] / "fuzz" / "fuzz_capture.py"


@pytest.fixture(scope="module")
def fuzzer() -> dict[str, t.Any]:
    return runpy.run_path(str(FUZZER), run_name="fuzz_capture")


def test_a_few_cases_are_well(fuzzer: dict[str, t.Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert fuzzer["main"](["--seed", "1", "--count", "150"]) == 0
    printed = capsys.readouterr().out
    assert printed == "seed 1: 150 cases each of packets and files: all is well\n"


def test_a_decoder_that_raises_is_found(
    fuzzer: dict[str, t.Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fragile(_frame: object) -> object:
        raise IndexError("out of range")

    monkeypatch.setattr(decode, "decode", fragile)
    assert "out of range" in fuzzer["fuzz_packets"](random.Random(1), 1)


def test_its_packets_are_mostly_good(fuzzer: dict[str, t.Any]) -> None:
    """Else it would fuzz the first check alone."""
    rng = random.Random(1)
    good = 0
    for _ in range(500):
        try:
            good += isinstance(decode.decode(fuzzer["random_frame"](rng)), decode.Segment)
        except PacketError:
            pass
    assert good > 100
