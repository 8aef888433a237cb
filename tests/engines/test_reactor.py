"""The reactor on every poller, against the contracts of engines and of its transports."""

from __future__ import annotations

import typing as t

import pytest
from tests.contracts.datagram import DatagramContract
from tests.contracts.engine import EngineContract
from tests.contracts.kqueue_double import install
from tests.contracts.stream import StreamContract
from tests.contracts.unix import UnixContract

from jackfield import engines


class ReactorSuite(EngineContract, StreamContract, DatagramContract, UnixContract):
    name = ""
    __test__ = False

    def __init_subclass__(cls) -> None:
        cls.__test__ = engines.missing(cls.name) is None

    def make(self, options: t.Any, instruments: list[t.Any]) -> t.Any:
        return engines.make(self.name, options, instruments)


class TestSelect(ReactorSuite):
    name = "select"


class TestPoll(ReactorSuite):
    name = "poll"


class TestKqueue(ReactorSuite):
    name = "kqueue"


class TestKqueueOverADouble(ReactorSuite):
    name = "poll"  # what the double stands on

    @pytest.fixture(autouse=True)
    def _double(self, monkeypatch: pytest.MonkeyPatch) -> None:
        install(monkeypatch)

    def make(self, options: t.Any, instruments: list[t.Any]) -> t.Any:
        return engines.make("kqueue", options, instruments)


class TestEpoll(ReactorSuite):
    name = "epoll"


class TestNative(ReactorSuite):
    name = "native"


@pytest.mark.parametrize("name", engines.NAMES)
def test_which_were_tested(name: str) -> None:
    """A line for each that this system lacks, instead of a hundred."""
    why = engines.missing(name)
    if why is not None:
        pytest.skip(f"no test ran on {name}: {why}")
