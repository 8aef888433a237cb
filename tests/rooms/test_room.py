"""Rooms, over an engine and transports that take as many bytes as the test says."""

from __future__ import annotations

import typing as t
from collections.abc import Callable, Iterable

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from jackfield.errors import JackfieldError, LagError, UsageError
from jackfield.protocol import Gatherer
from jackfield.rooms import room as room_module
from jackfield.rooms.room import Room


class FakeEngine:
    """Ends a tick when it is told to."""

    def __init__(self) -> None:
        self.ends: list[Callable[[], object]] = []
        self.fan_outs: list[tuple[bytes, int]] = []

    def at_tick_end(self, callback: Callable[[], object]) -> None:
        self.ends.append(callback)

    def end_tick(self) -> None:
        """As an engine does: what the callbacks add belongs to the next tick."""
        ends, self.ends = self.ends, []
        for callback in ends:
            callback()

    def end_all(self) -> None:
        while self.ends:
            self.end_tick()

    def fan_out(self, data: bytes, transports: Iterable[FakeTransport]) -> list[FakeTransport]:
        several = list(transports)
        self.fan_outs.append((data, len(several)))
        return [transport for transport in several if transport.push(data)]


class FakeTransport:
    """``sent`` is its stream. While ``reads`` is False its bytes wait in an outbox."""

    def __init__(self, engine: FakeEngine, closing: Callable[[], object] | None = None) -> None:
        self.engine = engine
        self.stream = b""
        self.outbox: list[bytes] = []
        self.reads = True
        self.evicted: list[JackfieldError] = []
        self.closed = False
        self._closing = closing
        self.gatherers: list[Gatherer] = []

    def push(self, data: bytes) -> bool:
        if not self.closed:
            self.stream += data
            if not self.reads:
                self.outbox.append(data)
        return bool(self.outbox)

    def write(self, data: bytes) -> None:
        for gatherer in tuple(self.gatherers):
            gatherer.catch_up(self)
        self.push(data)

    def read_on(self) -> None:
        self.outbox.clear()
        self.reads = True

    def get_write_buffer_size(self) -> int:
        return sum(map(len, self.outbox))

    def is_closing(self) -> bool:
        return self.closed

    def attach(self, gatherer: Gatherer) -> None:
        assert gatherer not in self.gatherers
        self.gatherers.append(gatherer)

    def detach(self, gatherer: Gatherer) -> None:
        self.gatherers.remove(gatherer)

    def evict(self, reason: JackfieldError) -> None:
        if self.closed:
            return
        self.evicted.append(reason)
        self.outbox.clear()
        if self._closing is not None:
            self._closing()
        self.closed = True

    def __repr__(self) -> str:
        return f"<{self.stream!r}>"


def a_room(count: int = 0, **options: t.Any) -> tuple[Room, FakeEngine, list[t.Any]]:
    engine = FakeEngine()
    room = Room(**options)
    members: list[t.Any] = [FakeTransport(engine) for _ in range(count)]
    for member in members:
        room.join(member)
    return room, engine, members


def streams(members: list[t.Any]) -> list[bytes]:
    return [member.stream for member in members]


# --- gathering ---------------------------------------------------------------------------------


def test_a_tick_is_one_send_to_each() -> None:
    room, engine, members = a_room(3)
    for number in range(5):
        room.publish(b"%d;" % number)
    assert streams(members) == [b""] * 3
    assert len(engine.ends) == 1
    engine.end_all()
    assert streams(members) == [b"0;1;2;3;4;"] * 3
    assert engine.fan_outs == [(b"0;1;2;3;4;", 3)]
    room.publish(b"next")
    engine.end_all()
    assert engine.fan_outs[1:] == [(b"next", 3)]


def test_everybody_gets_the_same_object() -> None:
    room, engine, members = a_room(2)
    for member in members:
        member.reads = False
    room.publish(b"one;")
    room.publish(b"two;")
    engine.end_all()
    assert members[0].outbox[0] is members[1].outbox[0]


def test_an_empty_room() -> None:
    room, engine, _ = a_room()
    room.publish(b"to nobody")
    engine.end_all()
    room.flush()
    assert engine.fan_outs == []
    assert len(room) == 0


def test_a_large_tick_is_fanned_out_early(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room_module, "GATHER_BYTES", 10)
    room, engine, members = a_room(2)
    room.publish(b"12345")
    assert engine.fan_outs == []
    room.publish(b"67890")
    assert engine.fan_outs == [(b"1234567890", 2)]
    room.publish(b"rest")
    engine.end_all()
    assert streams(members) == [b"1234567890rest"] * 2
    assert len(engine.fan_outs) == 2


def test_flush_by_hand_is_in_order() -> None:
    room, engine, members = a_room(1)
    room.publish(b"a")
    room.flush()
    room.flush()
    members[0].write(b"b")
    room.publish(b"c")
    engine.end_all()
    assert streams(members) == [b"abc"]


# --- members -----------------------------------------------------------------------------------


def test_joining_and_leaving() -> None:
    room, _, (member, other) = a_room(2)
    room.join(member)
    assert (len(room), member in room, list(room)) == (2, True, [member, other])
    room.leave(member)
    room.leave(member)
    assert (len(room), member in room, list(room)) == (1, False, [other])
    assert member.gatherers == []
    room.join(member)
    assert list(room) == [other, member]


def test_joining_in_mid_tick_hears_from_then_on() -> None:
    room, engine, members = a_room(1)
    late = FakeTransport(engine)
    room.publish(b"before;")
    room.join(late)  # type: ignore[arg-type]
    room.publish(b"after;")
    engine.end_all()
    assert streams([*members, late]) == [b"before;after;", b"after;"]


def test_leaving_in_mid_tick_hears_until_then() -> None:
    room, engine, (member, other) = a_room(2)
    room.publish(b"before;")
    room.leave(member)
    room.publish(b"after;")
    engine.end_all()
    assert streams([member, other]) == [b"before;", b"before;after;"]


def test_leaving_and_joining_again_in_one_tick() -> None:
    room, engine, (member, _) = a_room(2)
    room.publish(b"1;")
    room.leave(member)
    room.publish(b"2;")
    room.join(member)
    room.publish(b"3;")
    engine.end_all()
    assert member.stream == b"1;3;"


def test_everybody_leaves_and_another_joins_in_one_tick() -> None:
    room, engine, (member,) = a_room(1)
    room.publish(b"1;")
    room.leave(member)
    room.publish(b"to nobody;")
    late = FakeTransport(engine)
    room.join(late)  # type: ignore[arg-type]
    room.publish(b"2;")
    engine.end_all()
    assert streams([member, late]) == [b"1;", b"2;"]


def test_one_that_is_closing_does_not_join() -> None:
    room, engine, _ = a_room(1)
    gone = FakeTransport(engine)
    gone.closed = True
    room.join(gone)  # type: ignore[arg-type]
    assert gone not in room
    assert gone.gatherers == []


def test_another_engine_is_refused() -> None:
    room, _, (member,) = a_room(1)
    with pytest.raises(UsageError, match="another engine"):
        room.join(FakeTransport(FakeEngine()))  # type: ignore[arg-type]
    room.leave(member)
    room.join(FakeTransport(FakeEngine()))  # type: ignore[arg-type]


@pytest.mark.parametrize(("soft", "hard"), [(2, 1), (-1, 5)])
def test_impossible_limits(soft: int, hard: int) -> None:
    with pytest.raises(UsageError, match="soft limit"):
        Room(soft_limit=soft, hard_limit=hard)


# --- order ---------------------------------------------------------------------------------------


def test_direct_writes_stand_where_they_were_said() -> None:
    room, engine, (member, other) = a_room(2)
    room.publish(b"1;")
    member.write(b"(to you)")
    room.publish(b"2;")
    room.publish(b"3;")
    member.write(b"(again)")
    engine.end_all()
    assert streams([member, other]) == [b"1;(to you)2;3;(again)", b"1;2;3;"]


def test_in_several_rooms() -> None:
    """What one room says behind the other leaves in that order where a write lies between."""
    first, engine, (member,) = a_room(1)
    second = Room()
    second.join(member)
    first.publish(b"first;")
    second.publish(b"second;")
    member.write(b"direct;")
    first.publish(b"more;")
    engine.end_all()
    assert member.stream == b"first;second;direct;more;"


# --- wants and history ---------------------------------------------------------------------------


def test_wants_selects_by_author() -> None:
    room, engine, (everything,) = a_room(1)
    choosy = FakeTransport(engine)
    room.join(choosy, wants=lambda author: author != "bore")  # type: ignore[arg-type]
    room.publish(b"a", author="bore")
    room.publish(b"b", author="friend")
    room.publish(b"c")
    engine.end_all()
    assert streams([everything, choosy]) == [b"abc", b"bc"]


def test_changed_wants_hold_from_the_next_message_on() -> None:
    room, engine, (member,) = a_room(1)
    room.publish(b"1", author="x")
    room.set_wants(member, lambda author: author != "x")
    room.publish(b"2", author="x")
    room.set_wants(member, None)
    room.publish(b"3", author="x")
    engine.end_all()
    assert member.stream == b"13"


def test_who_wants_nothing_is_sent_nothing() -> None:
    room, engine, (member,) = a_room(1)
    room.set_wants(member, lambda _: False)
    room.publish(b"x")
    engine.end_all()
    assert engine.fan_outs == [(b"x", 0)]


def test_wants_of_strangers_are_not_kept() -> None:
    room, engine, (member,) = a_room(1, hard_limit=10, soft_limit=5)
    room.set_wants(FakeTransport(engine), lambda _: True)  # type: ignore[arg-type]
    member.reads = False
    room.publish(b"x" * 20)
    room.set_wants(member, lambda _: True)  # finds that it lags too far
    assert member.evicted
    assert room._wants == {}


def test_who_lags_now_and_by_how_much() -> None:
    room, engine, (quick, slow) = a_room(2, soft_limit=3, name="lobby")
    slow.reads = False
    room.publish(b"four")
    engine.end_all()
    assert (room.name, room.lagging()) == ("lobby", {slow: 4})
    slow.read_on()
    assert room.lagging() == {}
    assert quick.stream == slow.stream


def test_the_rooms_of_an_engine() -> None:
    room, engine, members = a_room(1)
    other, elsewhere, _ = a_room(1)
    unused = Room()
    assert room_module.of_engine(engine) == [room]
    assert room_module.of_engine(elsewhere) == [other]
    room.leave(members[0])
    assert room_module.of_engine(engine) == [room]  # it had some
    number = id(unused)
    assert number in room_module._rooms
    del unused
    assert number not in room_module._rooms


def test_history_for_who_joins() -> None:
    room, engine, (member,) = a_room(1, history=2)
    for number in range(3):
        room.publish(b"%d;" % number)
    room.publish(b"noise;", noise=True)
    late = FakeTransport(engine)
    room.join(late)  # type: ignore[arg-type]
    room.publish(b"3;")
    engine.end_all()
    assert streams([member, late]) == [b"0;1;2;noise;3;", b"1;2;3;"]
    choosy = FakeTransport(engine)
    room.publish(b"4;", author="bore")
    room.join(choosy, wants=lambda author: author != "bore")  # type: ignore[arg-type]
    assert choosy.stream == b"3;"


def test_history_is_kept_while_nobody_is_there() -> None:
    room, engine, _ = a_room(history=5)
    room.publish(b"said to nobody")
    late = FakeTransport(engine)
    room.join(late)  # type: ignore[arg-type]
    assert late.stream == b"said to nobody"


# --- lag ---------------------------------------------------------------------------------------


def test_noise_is_spared_only_while_lagging() -> None:
    room, engine, (slow, quick) = a_room(2, soft_limit=5)
    slow.reads = False
    for data in (b"12345678;", b"join;", b"words;"):
        room.publish(data, noise=data == b"join;")
        engine.end_all()
    assert slow.stream == b"12345678;words;"
    assert quick.stream == b"12345678;join;words;"
    slow.read_on()
    room.publish(b"part;", noise=True)
    engine.end_all()
    assert slow.stream == b"12345678;words;part;"


def test_at_the_soft_limit_it_does_not_lag_yet() -> None:
    room, engine, (slow,) = a_room(1, soft_limit=5)
    slow.reads = False
    room.publish(b"12345")
    engine.end_all()
    room.publish(b"noise", noise=True)
    engine.end_all()
    assert slow.stream == b"12345noise"


def test_over_the_hard_limit_it_is_evicted_and_says_why() -> None:
    room, engine, (slow, quick) = a_room(2, soft_limit=5, hard_limit=20)
    slow.reads = False
    for _ in range(2):
        room.publish(b"1234567890")
        engine.end_all()
    assert slow.evicted == []
    room.publish(b"x")
    engine.end_all()
    (reason,) = slow.evicted
    assert isinstance(reason, LagError)
    assert reason.reason == "lag"
    assert "21 bytes behind" in str(reason)
    assert "20" in str(reason)
    assert list(room) == [quick]
    assert slow.gatherers == []
    room.publish(b"y")
    engine.end_all()
    assert quick.stream == b"12345678901234567890xy"


def test_evicted_by_its_own_reply() -> None:
    """``catch_up`` finds it, from within ``write``."""
    room, engine, (slow, quick) = a_room(2, soft_limit=5, hard_limit=20)
    slow.reads = False
    room.publish(b"x" * 30)
    slow.write(b"reply")
    assert len(slow.evicted) == 1
    assert slow not in room
    engine.end_all()
    assert quick.stream == b"x" * 30


def test_evicted_while_leaving() -> None:
    room, engine, (slow, quick) = a_room(2, soft_limit=5, hard_limit=20)
    slow.reads = False
    room.publish(b"x" * 30)
    room.leave(slow)
    assert len(slow.evicted) == 1
    engine.end_all()
    assert quick.stream == b"x" * 30
    assert (room._lagging, room._ahead, list(room)) == (set(), {}, [quick])


def test_evicted_by_another_room_while_joining() -> None:
    """The replay lets the other room catch up, which finds that it lags too far."""
    other, _, (slow,) = a_room(1, soft_limit=5, hard_limit=20)
    slow.reads = False
    other.publish(b"x" * 30)
    room = Room(history=1)
    room.publish(b"kept")
    room.join(slow)
    assert len(slow.evicted) == 1
    assert slow not in room
    assert slow.gatherers == []


@pytest.mark.parametrize("wants", [None, lambda _: True])
def test_last_words_do_not_overtake_what_was_said_before(wants: t.Any) -> None:
    """An evicted member's protocol speaks to the room and to its neighbours, in the midst of the
    fan-out that found it lagging."""
    engine = FakeEngine()
    room = Room(soft_limit=5, hard_limit=20)
    before, after = FakeTransport(engine), FakeTransport(engine)

    def last_words() -> None:
        for neighbour in (before, after):
            neighbour.write(b"(direct)")
        room.publish(b"left;")

    slow = FakeTransport(engine, last_words)
    room.join(before)  # type: ignore[arg-type]
    room.join(slow, wants=wants)  # type: ignore[arg-type]
    room.join(after)  # type: ignore[arg-type]
    slow.reads = False
    room.publish(b"x" * 30 + b";")
    engine.end_all()
    expected = b"x" * 30 + b";(direct)left;"
    assert streams([before, after]) == [expected, expected]
    assert len(slow.evicted) == 1


def test_one_eviction_sets_off_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each evicted member's last words push the next one over, and flush early."""
    monkeypatch.setattr(room_module, "GATHER_BYTES", 8)
    engine = FakeEngine()
    room = Room(soft_limit=5, hard_limit=20)
    slow = [FakeTransport(engine, lambda: room.publish(b"farewell;")) for _ in range(4)]
    quick = FakeTransport(engine)
    for index, member in enumerate(slow):
        room.join(member)  # type: ignore[arg-type]
        member.reads = False
        member.write(b"x" * 6 * (4 - index - 1))
    room.join(quick)  # type: ignore[arg-type]
    room.publish(b"hi")
    engine.end_all()
    for _ in range(4):
        room.publish(b"and on;")
        engine.end_all()
    assert [len(member.evicted) for member in slow] == [1] * 4
    assert len(room) == 1
    assert quick.stream.count(b"farewell;") == 4
    assert quick.stream.startswith(b"hi")


def test_somebody_who_leaves_because_another_is_evicted() -> None:
    engine = FakeEngine()
    room = Room(soft_limit=5, hard_limit=20)
    friend = FakeTransport(engine)
    slow = FakeTransport(engine, lambda: room.leave(friend))  # type: ignore[arg-type]
    for member in (slow, friend):
        room.join(member)  # type: ignore[arg-type]
    slow.reads = False
    room.publish(b"x" * 30)
    engine.end_all()
    assert friend.stream == b"x" * 30
    assert list(room) == []


# --- a model -----------------------------------------------------------------------------------


class RoomMachine(RuleBasedStateMachine):
    """Every member's stream is the interleaving of what it was told and what it wanted to hear
    while it was a member, in the order in which it was said."""

    AUTHORS = ("a", "b", None)

    @initialize(gather=st.sampled_from([1, 7, 40, 1000]), history=st.integers(0, 3))
    def begin(self, gather: int, history: int) -> None:
        self.gather_before = room_module.GATHER_BYTES
        room_module.GATHER_BYTES = gather  # type: ignore[misc]
        self.engine = FakeEngine()
        self.room = Room(history=history)
        self.transports: list[t.Any] = [FakeTransport(self.engine) for _ in range(4)]
        self.expected = [b""] * 4
        self.inside: dict[int, str | None] = {}  # who is a member, and whom it ignores
        self.kept: list[tuple[bytes, str | None]] = []
        self.history = history
        self.count = 0

    def teardown(self) -> None:
        if hasattr(self, "gather_before"):
            self.engine.end_all()
            assert streams(self.transports) == self.expected
            room_module.GATHER_BYTES = self.gather_before  # type: ignore[misc]

    def _words(self) -> bytes:
        self.count += 1
        return b"%d;" % self.count

    @staticmethod
    def _wants(ignored: str | None) -> Callable[[object], bool] | None:
        return None if ignored is None else lambda author: author != ignored

    @rule(author=st.sampled_from(AUTHORS), noise=st.booleans())
    def publish(self, author: str | None, noise: bool) -> None:
        data = self._words()
        self.room.publish(data, author=author, noise=noise)
        for index, ignored in self.inside.items():
            if ignored is None or author != ignored:
                self.expected[index] += data
        if not noise and self.history:
            self.kept = [*self.kept, (data, author)][-self.history :]

    @rule(index=st.integers(0, 3))
    def write(self, index: int) -> None:
        data = self._words()
        self.transports[index].write(data)
        self.expected[index] += data

    @rule(index=st.integers(0, 3), ignored=st.sampled_from(["a", "b", None]))
    def join(self, index: int, ignored: str | None) -> None:
        self.room.join(self.transports[index], wants=self._wants(ignored))
        if index not in self.inside:
            self.inside[index] = ignored
            for data, author in self.kept:
                if ignored is None or author != ignored:
                    self.expected[index] += data

    @rule(index=st.integers(0, 3))
    def leave(self, index: int) -> None:
        self.room.leave(self.transports[index])
        self.inside.pop(index, None)

    @rule(index=st.integers(0, 3), ignored=st.sampled_from(["a", "b", None]))
    def set_wants(self, index: int, ignored: str | None) -> None:
        self.room.set_wants(self.transports[index], self._wants(ignored))
        if index in self.inside:
            self.inside[index] = ignored

    @rule()
    def end_of_tick(self) -> None:
        self.engine.end_all()
        assert streams(self.transports) == self.expected

    @invariant()
    def never_ahead_of_the_model(self) -> None:
        if not hasattr(self, "expected"):
            return
        for transport, expected in zip(self.transports, self.expected, strict=True):
            assert expected.startswith(transport.stream)
        assert {self.transports.index(member) for member in self.room} == set(self.inside)


TestRoomMachine = RoomMachine.TestCase
TestRoomMachine.settings = settings(max_examples=150, stateful_step_count=40)
