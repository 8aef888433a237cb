"""Timers, with time handed in."""

from __future__ import annotations

import gc
import weakref

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from jackfield.engines.timers import SWEEP_AT, Timer, Timers

times = st.floats(0, 100, allow_nan=False) | st.integers(0, 5).map(float)


def fire(timers: Timers, now: float) -> None:
    for callback, args in timers.due(now):
        callback(*args)


def test_not_before_its_time_and_only_once() -> None:
    timers, fired = Timers(), list[str]()
    timer = timers.add(5.0, fired.append, "x")
    assert timers.next_at() == 5.0
    fire(timers, 4.999)
    assert (fired, timer.pending, len(timers)) == ([], True, 1)
    fire(timers, 5.0)
    fire(timers, 6.0)
    assert (fired, timer.pending, len(timers)) == (["x"], False, 0)
    assert timers.next_at() is None


@given(st.lists(times, max_size=50), times)
def test_in_order_of_time_then_of_adding(whens: list[float], now: float) -> None:
    timers, fired = Timers(), list[int]()
    for index, when in enumerate(whens):
        timers.add(when, fired.append, index)
    fire(timers, now)
    expected = [i for i, when in sorted(enumerate(whens), key=lambda e: e[1]) if when <= now]
    assert fired == expected
    assert timers.next_at() == min((when for when in whens if when > now), default=None)


def test_added_meanwhile_waits_for_the_next_turn() -> None:
    timers, fired = Timers(), list[float]()

    def again() -> None:
        fired.append(0)
        timers.add(1.0, again)

    timers.add(1.0, again)
    fire(timers, 1.0)
    assert fired == [0]
    fire(timers, 1.0)
    assert fired == [0, 0]


def test_cancelled_by_one_that_fires_before() -> None:
    timers, fired = Timers(), list[str]()
    victims: list[Timer] = []
    timers.add(1.0, lambda: victims.pop().cancel())
    victims.append(timers.add(1.0, fired.append, "victim"))
    timers.add(1.0, fired.append, "next")
    fire(timers, 2.0)
    assert fired == ["next"]
    assert len(timers) == 0


def test_cancel_twice_and_too_late() -> None:
    timers = Timers()
    timer = timers.add(1.0, print)
    timer.cancel()
    timer.cancel()
    assert len(timers) == 0

    def cancel_myself() -> None:
        late.cancel()

    late = timers.add(1.0, cancel_myself)
    fire(timers, 1.0)
    late.cancel()
    assert (len(timers), timers.next_at()) == (0, None)


def test_a_cancelled_timer_lets_go_of_what_it_would_have_called() -> None:
    class Big:
        pass

    timers, big = Timers(), Big()
    gone = weakref.ref(big)
    timer = timers.add(1e9, print, big)
    timer.cancel()
    del big
    gc.collect()
    assert gone() is None


def test_the_heap_does_not_fill_with_cancelled_ones() -> None:
    """Twenty thousand connections whose deadline is set anew again and again."""
    timers = Timers()
    kept = [timers.add(1e9 + i, print) for i in range(10)]
    for i in range(20_000):
        timers.add(1e6 + i, print).cancel()
    assert len(timers._heap) <= 2 * SWEEP_AT + len(kept)
    assert len(timers) == len(kept)
    assert timers.next_at() == 1e9


def test_a_callback_that_raises_leaves_the_others() -> None:
    timers, fired = Timers(), list[str]()
    timers.add(1.0, int, "no number")
    timers.add(1.0, fired.append, "next")
    with pytest.raises(ValueError):
        fire(timers, 1.0)
    fire(timers, 1.0)
    assert fired == ["next"]


class TimersMachine(RuleBasedStateMachine):
    """Against a model: a plain list, searched."""

    def __init__(self) -> None:
        super().__init__()
        self.timers = Timers()
        self.model: list[tuple[float, int, Timer]] = []
        self.now = 0.0
        self.count = 0
        self.fired: list[int] = []

    @rule(delay=times)
    def add(self, delay: float) -> None:
        self.count += 1
        when = self.now + delay
        timer = self.timers.add(when, self.fired.append, self.count)
        self.model.append((when, self.count, timer))

    @rule()
    def add_and_cancel_many(self) -> None:
        """Enough to sweep the heap."""
        for _ in range(SWEEP_AT + 2):
            self.timers.add(self.now + 50, self.fired.append, -1).cancel()

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        index = data.draw(st.integers(0, len(self.model) - 1))
        self.model.pop(index)[2].cancel()

    @rule(step=times)
    def let_time_pass(self, step: float) -> None:
        self.now += step
        due = sorted(entry[:2] for entry in self.model if entry[0] <= self.now)
        self.model = [entry for entry in self.model if entry[0] > self.now]
        self.fired.clear()
        fire(self.timers, self.now)
        assert self.fired == [number for _, number in due]

    @invariant()
    def agree(self) -> None:
        assert len(self.timers) == len(self.model)
        assert self.timers.next_at() == min((entry[0] for entry in self.model), default=None)


TestTimersMachine = TimersMachine.TestCase
