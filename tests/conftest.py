"""What every test of the tree shares: hypothesis' profile, a watchdog, the way to the suites."""

from __future__ import annotations

import signal
import sys
import tempfile
import types
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

# pytest's importlib mode leaves sys.path alone; suites are imported as tests.contracts.poller.
sys.path.insert(0, str(Path(__file__).parent.parent))
pytest.register_assert_rewrite("tests.contracts", "tests.support")

# A deadline measures the machine's other work too; derandomized, a run repeats exactly.
hypothesis.settings.register_profile("jackfield", deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("jackfield")

HANGS = 120.0
"""Seconds after which a test is taken to hang: many times what the slowest one needs."""


@pytest.fixture(autouse=True)
def watchdog() -> Iterator[None]:
    """A test that hangs fails, and shows where: the alarm ends the system call it waits in."""
    if not hasattr(signal, "setitimer"):
        yield
        return

    def bark(_number: int, frame: types.FrameType | None) -> None:
        raise TimeoutError(f"the test hangs: {HANGS:g} s")

    before = signal.signal(signal.SIGALRM, bark)
    signal.setitimer(signal.ITIMER_REAL, HANGS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.fixture
def short_directory() -> Iterator[Path]:
    """A directory whose path leaves room for a Unix socket's name (108 bytes in all)."""
    with tempfile.TemporaryDirectory(prefix="jf") as name:
        yield Path(name)
