"""Rooms are tested twice: as engines of one thread have them, and with the lock of threads."""

from __future__ import annotations

import pytest

from jackfield.rooms import room


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Not a parametrized fixture: those have no way into a ``TestCase`` of hypothesis'."""
    metafunc.parametrize("_locking", [False, True], ids=["one-thread", "threads"], indirect=True)


@pytest.fixture(autouse=True)
def _locking(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "_locking", getattr(request, "param", False))
