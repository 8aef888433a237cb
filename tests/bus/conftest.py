"""A hub and workers without sockets."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.bus.wires import House


@pytest.fixture
def house(monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    house = House(monkeypatch)
    yield house
    house.close()
