"""The hub: one order for all, whoever comes, goes or does not keep up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.bus.wires import House, Process

from jackfield import replicated
from jackfield.bus.hub import Hub
from jackfield.bus.messages import LOSS, NUMBER, Question, encode
from jackfield.errors import LagError, ProtocolViolation, UsageError
from jackfield.wire.frames import encode_frame

steps = st.lists(
    st.one_of(
        st.tuples(st.just("say"), st.integers(0, 9), st.integers(1, 3)),
        st.tuples(st.just("up"), st.integers(0, 9), st.integers(1, 60)),
        st.tuples(st.just("down"), st.integers(0, 9), st.integers(1, 60)),
        st.tuples(st.just("bear"), st.just(0), st.just(0)),
        st.tuples(st.just("die"), st.integers(0, 9), st.just(0)),
    ),
    max_size=80,
)


def loss(process: int) -> tuple[int, bytes]:
    return LOSS, NUMBER.pack(process)


@given(steps)
def test_one_order_for_all_whatever_happens_in_between(script: list[tuple[str, int, int]]) -> None:
    """Bytes travel in pieces of any size, processes come late, and die: each is told exactly what
    the hub's process was told since the fork."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        house = House(monkeypatch)
        try:
            play(house, script)
        finally:
            house.close()


def play(house: House, script: list[tuple[str, int, int]]) -> None:
    living = [house.bear(), house.bear()]
    said: dict[int, list[bytes]] = {}
    dead: list[Process] = []
    for verb, index, count in script:
        if verb == "bear":
            living.append(house.bear())
            continue
        if not living:
            continue
        process = living[index % len(living)]
        if verb == "say":
            mine = said.setdefault(process.number, [])
            words = [b"%d" % (len(mine) + number) for number in range(count)]
            mine += words
            process.say(*words)
        elif verb == "die":
            process.die()
            living.remove(process)
            dead.append(process)
        elif verb == "up":
            process.up(count)
        else:
            process.down(count)
    for process in living:
        process.up()
    for process in living:
        process.down()
    order = house.told
    for process in living:
        assert process.told == order[process.began_at :]
        assert [words for topic, words in order if topic == process.number] == said.get(
            process.number, []
        )
    for process in dead:
        assert process.told == order[process.began_at :][: len(process.told)]
        own = [words for topic, words in order if topic == process.number]
        assert own == said.get(process.number, [])[: len(own)]
        end = order.index(loss(process.number))
        assert order.count(loss(process.number)) == 1
        assert not [topic for topic, _ in order[end:] if topic == process.number]
    assert house.lost == [process.number for process in dead]


def test_who_comes_in_the_midst_of_a_tick_is_told_the_rest_of_it(house: House) -> None:
    first = house.bear()
    first.link.publish(1, b"before")
    first.near.engine.settle()
    first.hub_link.data_received(first.near.take())  # and the hub's tick goes on
    second = house.bear()
    first.link.publish(1, b"after")
    first.near.engine.settle()
    first.hub_link.data_received(first.near.take())
    house.engine.settle()
    first.down()
    second.down()
    assert first.told == [(1, b"before"), (1, b"after")]
    assert second.told == [(1, b"after")]


def test_what_the_parent_says_is_told_to_all_and_done_by_itself(house: House) -> None:
    worker = house.bear()
    house.hub.publish(4, b"hello")
    assert house.told == [(4, b"hello")]
    house.engine.settle()
    worker.down()
    assert worker.told == [(4, b"hello")]


def test_the_operations_of_a_tick_are_one_write_to_each_worker(house: House) -> None:
    first, second = house.bear(), house.bear()
    for number in range(5):
        first.link.publish(0, b"%d" % number)
    first.near.engine.settle()
    second.say(b"x")
    for process in (first, second):
        process.hub_link.data_received(process.near.take())
    assert first.far.written == second.far.written == b""
    assert len(house.engine.ends) == 1
    house.engine.settle()
    assert first.far.written == second.far.written != b""


def test_ready_and_retire(house: House) -> None:
    first, second = house.bear(), house.bear()
    retired: list[int] = []
    first.link._retired = lambda: retired.append(1)
    second.link._retired = lambda: retired.append(2)
    second.link.say_ready()
    second.up()
    assert house.ready == [2]
    house.hub.retire(2)
    house.hub.retire(77)  # gone already
    for process in (first, second):
        process.down()
    assert retired == [2]
    assert first.told == second.told == []


def test_what_is_said_before_retire_is_told_before_it(house: House) -> None:
    worker = house.bear()
    house.hub.publish(0, b"before")
    house.hub.retire(1)
    order: list[object] = worker.told  # type: ignore[assignment]
    worker.link._retired = lambda: order.append("retired")
    house.engine.settle()
    worker.down()
    assert order == [(0, b"before"), "retired"]


def test_a_broken_frame_of_one_worker_reaches_nobody(house: House) -> None:
    first, second = house.bear(), house.bear()
    with pytest.raises(ProtocolViolation):
        first.hub_link.data_received(encode_frame(encode(0, b"whole") + b"\0\0\0\0\0\0\0\7cut"))
    house.engine.settle()
    second.down()
    assert house.told == second.told == []


def test_two_hubs_in_one_process_are_refused(house: House) -> None:
    with pytest.raises(UsageError, match="already"):
        Hub(print, print)
    house.close()
    assert not replicated.connected()
    Hub(print, print).close()


# --- who does not keep up ------------------------------------------------------------------------


def reading(house: House) -> list[bool]:
    return [process.far.reading for process in house.processes]


def test_one_that_is_behind_holds_all_back_until_it_has_caught_up(house: House) -> None:
    first, _, _ = house.bear(), house.bear(), house.bear()
    first.hub_link.pause_writing()
    assert reading(house) == [False] * 3
    late = house.bear()
    assert not late.far.reading
    first.hub_link.resume_writing()
    assert reading(house) == [True] * 4


def test_one_that_does_not_catch_up_holds_itself_back_alone(house: House) -> None:
    first, _, third = house.bear(), house.bear(), house.bear()
    first.hub_link.pause_writing()
    house.engine.timers[-1].fire()
    assert reading(house) == [False, True, True]
    third.hub_link.pause_writing()
    assert reading(house) == [False, False, False]
    third.hub_link.resume_writing()
    assert reading(house) == [False, True, True]
    first.hub_link.resume_writing()
    assert reading(house) == [True] * 3
    for timer in house.engine.timers:
        timer.fire()  # those that are over mean nothing any more
    assert reading(house) == [True] * 3


def test_one_that_dies_holds_nobody_back(house: House) -> None:
    first, second = house.bear(), house.bear()
    first.hub_link.pause_writing()
    first.die()
    assert second.far.reading
    assert house.lost == [1]


def test_one_that_is_too_far_behind_is_given_up_at_once(house: House) -> None:
    """Not after its last bytes were flushed to it, which it may never read."""
    worker = house.bear()
    worker.hub_link.closing(LagError("64 MiB behind"))
    assert worker.far.aborted


def test_a_question_is_answered_beside_the_order(monkeypatch: pytest.MonkeyPatch) -> None:
    house = House(monkeypatch)
    try:
        first, second = house.bear(), house.bear()
        heard: list[tuple[int, bytes]] = []
        monkeypatch.setattr(house.hub, "_answered", lambda *answer: heard.append(answer))
        for process in (first, second):
            answer = b"%d has " % process.number
            monkeypatch.setattr(
                process.link, "_asked", lambda asked, answer=answer: answer + b"%d %d" % asked[1:]
            )
        house.hub.ask(second.number, Question(7, 1, 5))
        house.hub.ask(99, Question(8, 1, 5))  # nobody
        for process in (first, second):
            process.down()
            process.up()
        assert heard == [(7, b"%d has 1 5" % second.number)]
        assert house.told == first.told == second.told == []
    finally:
        house.close()
