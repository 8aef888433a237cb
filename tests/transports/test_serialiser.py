"""One call at a time, none lost, nobody waits for anybody."""

from __future__ import annotations

import threading

import pytest
from tests.support import PATIENCE

from jackfield.transports.serialiser import Serialiser, serving


def begun(owner: object = None) -> Serialiser:
    serial = Serialiser(owner)
    serial.begin(lambda: None)
    return serial


def test_nothing_runs_before_it_has_begun() -> None:
    serial = Serialiser(self := object())
    order: list[str] = []
    serial.post(order.append, "posted early")
    assert not serial.run_posted()
    assert not serial.try_run(order.append, "tried early")
    serial.begin(order.append, "begun")
    serial.run_round()
    assert order == ["begun", "posted early"]
    assert self is not serving()


def test_in_order_and_what_a_call_posts_waits_for_the_next_round() -> None:
    serial = begun()
    order: list[int] = []

    def call(number: int) -> None:
        order.append(number)
        serial.post(call, number + 10)

    serial.post(call, 1)
    serial.post(call, 2)
    assert serial.run_posted()  # and there is more
    assert order == [1, 2]
    assert serial.pending
    serial.run_round()
    assert order == [1, 2, 11, 12]


def test_who_is_served_where() -> None:
    first, second = begun("first"), begun("second")
    seen: list[object] = []

    def outer() -> None:
        seen.append(serving())
        assert first.mine
        assert not second.mine
        second.run(lambda: seen.append(serving()))
        seen.append(serving())

    first.run(outer)
    assert seen == ["first", "second", "first"]
    assert serving() is None
    assert not first.mine


def test_a_failing_call_does_not_stop_the_others(caplog: pytest.LogCaptureFixture) -> None:
    serial = begun()
    order: list[int] = []
    serial.post(int, "nonsense")
    serial.post(order.append, 1)
    serial.run_posted()
    assert order == [1]
    assert "ValueError" in caplog.text


def test_the_lock_is_let_go_of_whatever_is_raised() -> None:
    serial = begun()
    with pytest.raises(SystemExit):
        serial.run(exit_now)
    assert serial.try_run(int)
    assert serving() is None


def exit_now() -> None:
    raise SystemExit


def test_nobody_waits_for_who_holds_it_and_the_holder_runs_what_was_posted() -> None:
    serial = begun()
    order: list[str] = []
    inside, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        inside.set()
        assert go_on.wait(PATIENCE)
        order.append("held")

    def own_thread() -> None:
        serial.run(hold)
        while serial.pending:
            serial.run_round()

    thread = threading.Thread(target=own_thread)
    thread.start()
    assert inside.wait(PATIENCE)
    serial.post(order.append, "posted")
    assert not serial.run_posted()  # at once
    assert not serial.try_run(order.append, "tried")
    assert order == []
    go_on.set()
    thread.join(PATIENCE)
    assert order == ["held", "posted"]


def test_many_threads_post_and_run() -> None:
    """Each thread's calls in its order, one at a time, every one of them."""
    serial = begun()
    order: list[tuple[int, int]] = []
    inside: list[int] = []

    def call(number: int, i: int) -> None:
        inside.append(number)
        order.append((number, i))
        assert inside == [number]
        inside.clear()

    def work(number: int) -> None:
        for i in range(500):
            serial.post(call, number, i)
            while serial.run_posted():
                pass

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    serial.run_round()  # who could not run its last ones left them to the holder, who had looked
    assert len(order) == 2000
    for number in range(4):
        assert [i for n, i in order if n == number] == list(range(500))
