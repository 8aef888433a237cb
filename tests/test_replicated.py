"""Replicated objects: who applies what, when there is a bus and when there is none."""

from __future__ import annotations

import gc
import logging
import threading
import typing as t
from collections.abc import Iterator

import pytest

from jackfield import replicated
from jackfield.replicated import Replicated


class Register(Replicated):
    """Remembers what was applied; some of it fails."""

    def __init__(self, *, shared: bool = True) -> None:
        super().__init__(shared=shared)
        self.applied: list[bytes] = []
        self.lost: list[int] = []

    def apply(self, operation: bytes) -> None:
        self.applied.append(operation)
        if operation == b"fail":
            raise RuntimeError("told to")

    def process_lost(self, process: int) -> None:
        self.lost.append(process)
        if process == 13:
            raise RuntimeError("told to")


class RecordingBus:
    def __init__(self) -> None:
        self.published: list[tuple[int, bytes]] = []

    def publish(self, topic: int, operation: bytes) -> None:
        self.published.append((topic, operation))


@pytest.fixture(autouse=True)
def _disconnected() -> Iterator[None]:
    yield
    replicated.disconnect()


def test_alone_an_operation_is_applied_at_once() -> None:
    register = Register()
    register.submit(b"one")
    assert register.applied == [b"one"]
    assert (replicated.process_number(), replicated.connected()) == (0, False)


def test_with_a_bus_it_is_applied_when_its_turn_comes() -> None:
    first, second, bus = Register(), Register(), RecordingBus()
    replicated.connect(bus, 7)
    assert (replicated.process_number(), replicated.connected()) == (7, True)
    second.submit(b"two")
    first.submit(b"one")
    assert bus.published == [(second.topic, b"two"), (first.topic, b"one")]
    assert first.applied == second.applied == []
    for topic, operation in bus.published:
        replicated.deliver(topic, operation)
    assert (first.applied, second.applied) == ([b"one"], [b"two"])


def test_what_is_made_after_the_processes_parted_is_this_one_s_alone() -> None:
    bus = RecordingBus()
    replicated.connect(bus, 1)
    late = Register()
    late.submit(b"mine")
    assert (late.applied, bus.published) == ([b"mine"], [])
    replicated.deliver(late.topic, b"not for it")
    replicated.deliver_loss(3)
    assert (late.applied, late.lost) == ([b"mine"], [])


def test_what_is_not_shared_is_this_process_s_alone() -> None:
    private, bus = Register(shared=False), RecordingBus()
    replicated.connect(bus, 1)
    private.submit(b"mine")
    assert (private.applied, bus.published) == ([b"mine"], [])


def test_after_the_bus_everything_is_as_before_it() -> None:
    register, bus = Register(), RecordingBus()
    replicated.connect(bus, 4)
    replicated.disconnect()
    register.submit(b"one")
    assert (register.applied, bus.published) == ([b"one"], [])
    assert (replicated.process_number(), replicated.connected()) == (0, False)


def test_numbers_are_kept_when_others_are_gone() -> None:
    kept, gone = Register(), Register()
    number = gone.topic
    del gone
    gc.collect()
    newer = Register()
    assert newer.topic > number > kept.topic
    assert number not in {made.topic for made in replicated.living()}
    replicated.deliver(number, b"for nobody")
    replicated.deliver(kept.topic, b"one")
    assert (kept.applied, newer.applied) == ([b"one"], [])


@pytest.mark.parametrize("topic", [-2, -1, 1 << 30])
def test_an_operation_for_nobody_is_nothing(topic: int) -> None:
    register = Register()
    replicated.deliver(topic, b"x")
    assert register.applied == []


def test_an_operation_that_fails_is_logged_and_the_next_one_applied(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It fails in every process: if each ended over it, one message would end the server."""
    register = Register()
    with caplog.at_level(logging.ERROR, "jackfield"):
        replicated.deliver(register.topic, b"fail")
        replicated.deliver(register.topic, b"next")
    assert register.applied == [b"fail", b"next"]
    assert [record.exc_info is not None for record in caplog.records] == [True]


def test_a_loss_is_told_to_everybody_whoever_fails(caplog: pytest.LogCaptureFixture) -> None:
    first, second = Register(), Register()
    replicated.deliver_loss(13)
    replicated.deliver_loss(14)
    assert first.lost == second.lost == [13, 14]
    assert "told to" in caplog.text


def test_threads_apply_one_at_a_time() -> None:
    class Counter(Replicated):
        inside = 0
        most = 0
        total = 0

        def apply(self, operation: bytes) -> None:
            self.inside += 1
            self.most = max(self.most, self.inside)
            total = self.total
            sum(range(50))  # time for another thread to come in between
            self.total = total + 1
            self.inside -= 1

    counter = Counter()

    def work() -> None:
        for _ in range(2000):
            counter.submit(b"")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (counter.most, counter.total) == (1, 8000)


def test_a_lock_that_a_thread_holds_does_not_stop_the_process_that_left_it_behind() -> None:
    """``connect`` is what a forked process begins with: the thread is not in it."""
    register, bus = Register(), RecordingBus()
    held, let_go = threading.Event(), threading.Event()

    def hold() -> None:
        with register._lock:
            held.set()
            let_go.wait(20)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(20)
    replicated.connect(bus, 1)
    taken: t.Any = register._lock.acquire(blocking=False)
    let_go.set()
    thread.join()
    assert taken


def test_numbers_of_objects_made_by_several_threads_differ() -> None:
    made: list[Register] = []

    def make() -> None:
        made.extend(Register() for _ in range(500))

    threads = [threading.Thread(target=make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({register.topic for register in made}) == 2000
