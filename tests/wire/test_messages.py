"""Backpressure, closing and EOF, which lines and frames share."""

from __future__ import annotations

import typing as t

import pytest

from jackfield.wire.frames import FrameProtocol, encode_frame
from jackfield.wire.lines import LineProtocol
from jackfield.wire.messages import MessageProtocol


class Hooks:
    """Does what a test asks for when a message arrives, as an outbox would in ``write``."""

    def __init__(self) -> None:
        self.seen: list[bytes] = []
        self.then: dict[bytes, t.Callable[[], object]] = {}

    def see(self, message: bytes) -> None:
        self.seen.append(message)
        self.then.get(message, lambda: None)()


class Lines(Hooks, LineProtocol):
    def line_received(self, line: bytes) -> None:
        self.see(line)

    @staticmethod
    def encode(*messages: bytes) -> bytes:
        return b"".join(message + b"\n" for message in messages)


class Frames(Hooks, FrameProtocol):
    def frame_received(self, payload: bytes) -> None:
        self.see(payload)

    @staticmethod
    def encode(*messages: bytes) -> bytes:
        return b"".join(map(encode_frame, messages))


Either = Lines | Frames


@pytest.fixture(params=[Lines, Frames])
def protocol(request: pytest.FixtureRequest) -> Either:
    made: Either = request.param()
    return made


def test_closing_stops_within_a_block(protocol: Either, native: t.Any) -> None:
    protocol.connection_made(native)
    protocol.then[b"quit"] = native.close
    protocol.data_received(protocol.encode(b"a", b"quit", b"b"))
    assert protocol.seen == [b"a", b"quit"]
    protocol.resume_writing()
    assert protocol.seen == [b"a", b"quit"]


def test_a_full_outbox_holds_the_rest_of_the_block(protocol: Either, native: t.Any) -> None:
    protocol.connection_made(native)
    protocol.then[b"b"] = protocol.pause_writing
    protocol.data_received(protocol.encode(b"a", b"b", b"c", b"d"))
    assert protocol.seen == [b"a", b"b"]
    protocol.resume_writing()
    assert protocol.seen == [b"a", b"b", b"c", b"d"]
    protocol.data_received(protocol.encode(b"e"))
    assert protocol.seen[-1] == b"e"


def test_every_message_may_fill_the_outbox_again(protocol: Either, native: t.Any) -> None:
    protocol.connection_made(native)
    messages = [b"%d" % i for i in range(5)]
    protocol.then = dict.fromkeys(messages, protocol.pause_writing)
    protocol.data_received(protocol.encode(*messages))
    for count in range(1, 6):
        assert protocol.seen == messages[:count]
        protocol.resume_writing()
    assert protocol.seen == messages


def test_data_that_comes_although_messages_are_held_waits_behind_them(
    protocol: Either, native: t.Any
) -> None:
    protocol.connection_made(native)
    protocol.then[b"a"] = protocol.pause_writing
    protocol.data_received(protocol.encode(b"a", b"b"))
    protocol.data_received(protocol.encode(b"c"))
    assert protocol.seen == [b"a"]
    protocol.resume_writing()
    assert protocol.seen == [b"a", b"b", b"c"]


def test_data_that_comes_while_paused_waits(protocol: Either, native: t.Any) -> None:
    protocol.connection_made(native)
    protocol.pause_writing()
    protocol.data_received(protocol.encode(b"a"))
    assert protocol.seen == []
    protocol.resume_writing()
    assert protocol.seen == [b"a"]


def test_an_outbox_drained_within_a_callback_changes_no_order(
    protocol: Either, native: t.Any
) -> None:
    protocol.connection_made(native)
    depth = 0

    def fill_and_drain() -> None:
        nonlocal depth
        depth += 1
        assert depth == 1, "a message was handled before the previous one was done"
        protocol.pause_writing()
        protocol.resume_writing()
        depth -= 1

    protocol.then = {b"a": fill_and_drain, b"b": protocol.pause_writing, b"c": fill_and_drain}
    protocol.data_received(protocol.encode(b"a", b"b", b"c", b"d"))
    assert protocol.seen == [b"a", b"b"]
    protocol.eof_received()
    protocol.resume_writing()
    assert protocol.seen == [b"a", b"b", b"c", b"d"]
    assert native.calls == ["close"]


def test_held_messages_survive_eof_and_then_it_closes(protocol: Either, native: t.Any) -> None:
    protocol.connection_made(native)
    protocol.then[b"a"] = protocol.pause_writing
    protocol.then[b"b"] = protocol.pause_writing
    protocol.data_received(protocol.encode(b"a", b"b", b"c"))
    assert protocol.eof_received() is True
    protocol.resume_writing()
    assert protocol.seen == [b"a", b"b"]
    assert native.calls == []
    protocol.resume_writing()
    assert protocol.seen == [b"a", b"b", b"c"]
    assert native.calls == ["close"]


def test_a_last_line_without_an_end_waits_its_turn(native: t.Any) -> None:
    protocol = Lines()
    protocol.connection_made(native)
    protocol.then[b"a"] = protocol.pause_writing
    protocol.data_received(b"a\nb\nlast")
    assert protocol.eof_received() is True
    protocol.resume_writing()
    assert protocol.seen == [b"a", b"b", b"last"]
    assert native.calls == ["close"]


def test_eof_with_nothing_held_closes_at_once(protocol: Either, native: t.Any) -> None:
    protocol.connection_made(native)
    protocol.then[b"a"] = protocol.pause_writing
    protocol.data_received(protocol.encode(b"a"))
    assert not protocol.eof_received()


def test_closed_while_held_handles_no_more(protocol: Either, native: t.Any) -> None:
    protocol.connection_made(native)
    protocol.then[b"a"] = protocol.pause_writing
    protocol.data_received(protocol.encode(b"a", b"b"))
    native.closing = True
    protocol.resume_writing()
    assert protocol.seen == [b"a"]
    protocol.connection_lost(None)
    assert native.calls == []


def test_a_native_transport_stops_reading_by_itself(protocol: Either, native: t.Any) -> None:
    protocol.connection_made(native)
    protocol.pause_writing()
    protocol.resume_writing()
    assert native.calls == []


def test_a_foreign_transport_is_told_to_stop_reading(protocol: Either, foreign: t.Any) -> None:
    protocol.connection_made(foreign)
    protocol.then = {b"a": protocol.pause_writing, b"b": protocol.pause_writing}
    protocol.data_received(protocol.encode(b"a", b"b", b"c"))
    assert foreign.calls == ["pause_reading"]
    protocol.resume_writing()
    assert protocol.seen == [b"a", b"b"]
    assert foreign.calls == ["pause_reading"], "still full: reading stays stopped"
    protocol.resume_writing()
    assert protocol.seen == [b"a", b"b", b"c"]
    assert foreign.calls == ["pause_reading", "resume_reading"]


def test_a_pause_of_the_users_own_is_not_undone(protocol: Either, foreign: t.Any) -> None:
    protocol.connection_made(foreign)
    foreign.pause_reading()
    protocol.pause_writing()
    protocol.resume_writing()
    assert not foreign.reading


def test_after_eof_a_foreign_transport_is_not_asked_to_read_again(
    protocol: Either, foreign: t.Any
) -> None:
    protocol.connection_made(foreign)
    protocol.eof_received()
    protocol.pause_writing()
    protocol.resume_writing()
    assert foreign.calls == []


def test_a_closed_foreign_transport_is_not_asked_to_read(protocol: Either, foreign: t.Any) -> None:
    protocol.connection_made(foreign)
    protocol.pause_writing()
    foreign.close()
    protocol.resume_writing()
    assert foreign.calls == ["pause_reading", "close"]


def test_the_base_alone_knows_no_wire_format(native: t.Any) -> None:
    protocol = MessageProtocol()
    protocol.connection_made(native)
    with pytest.raises(NotImplementedError):
        protocol.data_received(b"x")


def test_a_protocol_with_slots_has_no_dictionary(native: t.Any) -> None:
    for base in (LineProtocol, FrameProtocol):
        protocol = type("Small", (base,), {"__slots__": ()})()
        protocol.connection_made(native)
        assert not hasattr(protocol, "__dict__")
