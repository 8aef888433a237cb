"""kqueue against the contract: the kernel's where there is one, and a double everywhere."""

from __future__ import annotations

import pytest
from tests.contracts.kqueue_double import (
    EV_ERROR,
    FILTER_READ,
    FILTER_WRITE,
    FakeKqueue,
    Kevent,
    install,
)
from tests.contracts.poller import Pair, PollerContract
from tests.support import fill, lowest_free

from jackfield import pollers
from jackfield.pollers.base import ERROR, HANGUP, READ, WRITE, Poller

if pollers.missing("kqueue") is None:

    class TestKqueue(PollerContract):
        def make(self) -> Poller:
            return pollers.make("kqueue")

else:

    def test_kqueue_itself() -> None:
        pytest.skip(f"{pollers.missing('kqueue')}: only its translation is tested, over a double")


class TestKqueueOverADouble(PollerContract):
    @pytest.fixture(autouse=True)
    def _double(self, monkeypatch: pytest.MonkeyPatch) -> None:
        install(monkeypatch)

    def make(self) -> Poller:
        return pollers.make("kqueue")

    @staticmethod
    def queue(poller: Poller) -> FakeKqueue:
        queue = poller._kqueue  # type: ignore[attr-defined]
        assert isinstance(queue, FakeKqueue)
        return queue

    def test_one_filter_per_direction_and_none_left(self, poller: Poller, pair: Pair) -> None:
        fd, filters = pair[0].fileno(), self.queue(poller).filters
        poller.register(fd, READ | WRITE)
        assert set(filters) == {(fd, FILTER_READ), (fd, FILTER_WRITE)}
        poller.modify(fd, WRITE)
        assert set(filters) == {(fd, FILTER_WRITE)}
        poller.modify(fd, READ)
        assert set(filters) == {(fd, FILTER_READ)}
        poller.unregister(fd)
        assert not filters

    def test_a_descriptor_closed_too_early_took_its_filters_with_it(
        self, poller: Poller, pair: Pair
    ) -> None:
        fd = pair[0].fileno()
        poller.register(fd, READ)
        pair[0].close()
        poller.unregister(fd)
        with pytest.raises(KeyError):
            poller.unregister(fd)

    def test_a_reader_that_is_gone_hangs_up_the_writer(self, poller: Poller, pair: Pair) -> None:
        fill(pair[0])
        poller.register(pair[0].fileno(), WRITE)
        pair[1].close()
        assert dict(poller.poll(1)) == {pair[0].fileno(): WRITE | HANGUP}

    def test_an_error_event(self, poller: Poller) -> None:
        self.queue(poller).errors = [Kevent(7, FILTER_READ, EV_ERROR)]
        assert dict(poller.poll(0)) == {7: ERROR}

    def test_close_returns_its_descriptor(self) -> None:
        before = lowest_free()
        poller = self.make()
        poller.close()
        assert self.queue(poller).closed
        assert lowest_free() == before
