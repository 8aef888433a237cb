"""Facts of the machine: judged by, not named by."""

from __future__ import annotations

import json
import socket
from pathlib import Path

from jackfield.bench import machine


def test_facts_are_plain_and_name_nobody() -> None:
    facts = machine.facts()
    text = json.dumps(facts)
    assert {"cpu", "cores", "kernel", "python", "jackfield"} <= set(facts)
    assert str(Path.home()) not in text
    assert socket.gethostname() not in text


def test_cpu_model(tmp_path: Path) -> None:
    path = tmp_path / "cpuinfo"
    path.write_text("processor\t: 0\nmodel name\t: Fast 9000\n\nmodel name\t: Other\n")
    assert machine.cpu_model(path) == "Fast 9000"
    path.write_text("processor: 0\n")
    assert machine.cpu_model(path) == "unknown"
    assert machine.cpu_model(tmp_path / "missing") == "unknown"
