"""The engines on asyncio's loop and uvloop's, against the contracts."""

from __future__ import annotations

import importlib.util
import typing as t

import pytest
from tests.contracts.datagram import DatagramContract
from tests.contracts.engine import EngineContract
from tests.contracts.stream import StreamContract
from tests.contracts.unix import UnixContract

from jackfield import engines, pollers
from jackfield.errors import UsageError


class LoopSuite(EngineContract, StreamContract, DatagramContract, UnixContract):
    name = ""
    __test__ = False

    def __init_subclass__(cls) -> None:
        cls.__test__ = engines.missing(cls.name) is None

    def make(self, options: t.Any, instruments: list[t.Any]) -> t.Any:
        return engines.make(self.name, options, instruments)


class TestAsyncio(LoopSuite):
    name = "asyncio"


class TestUvloop(LoopSuite):
    name = "uvloop"


def test_why_one_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert engines.missing("asyncio") is None or "epoll" in str(engines.missing("asyncio"))
    with pytest.raises(UsageError, match="uvloop is not available here: it is not installed"):
        engines.choose("uvloop")
    monkeypatch.setattr(pollers, "best", lambda: "poll")
    for name in engines.COROUTINES:
        with pytest.raises(UsageError, match=f"{name} is not available here: .* epoll"):
            engines.choose(name)
