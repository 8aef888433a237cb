"""The engines on asyncio's loop and uvloop's, against the contracts."""

from __future__ import annotations

import typing as t

from tests.contracts.datagram import DatagramContract
from tests.contracts.engine import EngineContract
from tests.contracts.stream import StreamContract
from tests.contracts.unix import UnixContract

from jackfield import engines


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
