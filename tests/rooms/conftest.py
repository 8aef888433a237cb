"""Rooms are tested twice: as engines of one thread have them, and with the lock that threads need."""

from __future__ import annotations

import pytest

from jackfield.rooms import room


@pytest.fixture(autouse=True, params=[False, True], ids=["one-thread", "threads"])
def _locking(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "_locking", request.param)
