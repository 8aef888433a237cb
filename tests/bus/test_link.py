"""The worker's end of a link: a tick's operations in one frame, and what comes back applied."""

from __future__ import annotations

import typing as t

import pytest
from tests.bus.wires import House, LinkEnd, LinkEngine

from jackfield.bus import link as link_module
from jackfield.bus.link import HIGH_WATER, HubLink, Link
from jackfield.bus.messages import FRAME_FULL, OPERATION_LIMIT, decode, encode, encode_loss
from jackfield.errors import ProtocolViolation, ServerStopping, TooLong
from jackfield.wire.frames import FrameSplitter, encode_frame


class Told:
    """A link, and everything it calls."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[t.Any] = []
        monkeypatch.setattr(link_module, "deliver", self.calls.extend)
        self.link = Link(
            lambda: self.calls.append("lost"),
            lambda: self.calls.append("retired"),
            lambda full: self.calls.append("full" if full else "empty"),
        )
        self.engine = LinkEngine()
        self.transport = LinkEnd(self.engine, self.link)

    def frames(self) -> list[list[tuple[int, bytes]]]:
        """What was written, by frame."""
        splitter = FrameSplitter(limit=1 << 30)
        return [decode(frame) for frame in splitter.feed(self.transport.take())]


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Told:
    return Told(monkeypatch)


def test_a_tick_is_one_frame(told: Told) -> None:
    told.link.publish(1, b"a")
    told.link.publish(2, b"")
    assert told.frames() == []
    told.engine.tick()
    told.link.publish(1, b"b")
    told.engine.tick()
    assert told.frames() == [[(1, b"a"), (2, b"")], [(1, b"b")]]
    told.engine.tick()
    told.link.flush()
    assert told.transport.written == b""


def test_a_frame_that_is_full_leaves_before_the_tick_ends(told: Told) -> None:
    told.link.publish(0, bytes(FRAME_FULL // 2))
    assert not told.transport.written
    told.link.publish(0, bytes(FRAME_FULL // 2))
    assert [len(frame) for frame in told.frames()] == [2]
    told.link.publish(0, b"next")
    told.engine.settle()
    assert told.frames() == [[(0, b"next")]]


def test_operations_without_a_byte_fill_a_frame_too(told: Told) -> None:
    for _ in range(FRAME_FULL // 8):
        told.link.publish(0, b"")
    assert len(told.frames()) == 1


def test_an_operation_that_is_too_large_leaves_the_others_alone(told: Told) -> None:
    told.link.publish(0, b"before")
    with pytest.raises(TooLong):
        told.link.publish(0, bytes(OPERATION_LIMIT + 1))
    told.link.publish(0, b"after")
    told.engine.settle()
    assert told.frames() == [[(0, b"before"), (0, b"after")]]


def test_what_comes_back_is_applied_however_it_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    frames = [encode(1, b"a") + encode(0, b"xyz"), b"", encode(2, b""), encode_loss(3)]
    stream = b"".join(map(encode_frame, frames))
    expected = [(1, b"a"), (0, b"xyz"), "retired", (2, b""), (-1, b"\0\0\0\3")]
    for step in (len(stream), 1, 3):
        told = Told(monkeypatch)
        for at in range(0, len(stream), step):
            told.link.data_received(stream[at : at + step])
        told.link.data_received(encode_frame(encode(9, b"cut"))[:-1])  # not all of it: nothing
        assert told.calls == expected


def test_a_broken_frame_is_a_violation_and_none_of_it_is_applied(told: Told) -> None:
    with pytest.raises(ProtocolViolation):
        told.link.data_received(encode_frame(encode(1, b"whole") + b"tail"))
    assert told.calls == []


def test_ready_is_an_empty_frame(told: Told) -> None:
    told.link.say_ready()
    assert told.transport.take() == bytes(4)


def test_the_hub_is_lost_once(told: Told) -> None:
    told.link.connection_lost(ConnectionResetError())
    assert told.calls == ["lost"]


def test_our_own_end_is_no_loss_of_the_hub(told: Told) -> None:
    told.link.closing(ServerStopping("done"))
    told.link.connection_lost(None)
    assert told.calls == []


def test_a_full_outbox_stops_the_clients_and_not_what_comes_back(told: Told) -> None:
    """If it did, the hub would wait for us to read, and we for it."""
    assert told.transport.limits == HIGH_WATER
    told.link.pause_writing()
    told.link.data_received(encode_frame(encode(1, b"a")))
    assert told.calls == ["full", (1, b"a")]
    assert told.transport.reading
    told.link.resume_writing()
    assert told.calls[-1] == "empty"


def test_the_hub_s_end_handles_what_it_has_read_whatever_waits(house: House) -> None:
    worker = house.bear()
    worker.say(b"a")
    worker.hub_link.pause_writing()
    worker.up()
    assert house.told == [(1, b"a")]
    assert isinstance(worker.hub_link, HubLink)
