from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from jackfield import limits
from jackfield.wire.outbox import Outbox


def joined(outbox: Outbox, most: int = 10_000) -> bytes:
    return b"".join(outbox.buffers(most))


def test_a_new_outbox_is_empty() -> None:
    outbox = Outbox()
    assert not outbox
    assert outbox.size == 0
    assert outbox.buffers() == []
    assert outbox.truncate() == 0


def test_chunks_are_kept_by_reference() -> None:
    outbox = Outbox()
    message = b"said to everybody" * 100
    outbox.append(message)
    outbox.append(message)
    assert all(buffer is message for buffer in outbox.buffers())


def test_the_rest_of_a_chunk_is_a_view_of_it_and_no_copy() -> None:
    outbox = Outbox()
    data = b"0123456789"
    outbox.append_rest(data, 4)
    (head,) = outbox.buffers()
    assert isinstance(head, memoryview)
    assert head.obj is data
    assert bytes(head) == b"456789"
    assert outbox.size == 6


def test_only_the_first_buffer_is_a_view() -> None:
    outbox = Outbox()
    outbox.append_rest(b"head", 1)
    outbox.append(b"second")
    outbox.append(b"third")
    head, *others = outbox.buffers()
    assert isinstance(head, memoryview)
    assert others == [b"second", b"third"]
    assert all(type(other) is bytes for other in others)


def test_a_rest_cannot_be_queued_behind_older_chunks() -> None:
    outbox = Outbox()
    outbox.append(b"older")
    with pytest.raises(ValueError, match="older chunks wait"):
        outbox.append_rest(b"newer", 2)
    assert joined(outbox) == b"older"


def test_a_rest_of_nothing_is_nothing() -> None:
    outbox = Outbox()
    outbox.append_rest(b"gone", 4)
    assert not outbox
    outbox.append(b"next")
    assert joined(outbox) == b"next"


def test_empty_chunks_are_not_kept() -> None:
    outbox = Outbox()
    outbox.append(b"")
    assert outbox.buffers() == []
    outbox.append(b"a")
    outbox.advance(1)
    assert outbox.buffers() == []


def test_buffers_are_bounded_by_default() -> None:
    outbox = Outbox()
    for _ in range(limits.GATHER_BUFFERS + 5):
        outbox.append(b"x")
    assert len(outbox.buffers()) == limits.GATHER_BUFFERS
    assert len(outbox.buffers(3)) == 3


def test_advance_beyond_the_end_is_our_bug() -> None:
    outbox = Outbox()
    outbox.append(b"abc")
    with pytest.raises(ValueError, match="4 bytes were sent of an outbox that holds 3"):
        outbox.advance(4)
    assert joined(outbox) == b"abc"


def test_truncate_keeps_a_head_under_way() -> None:
    outbox = Outbox()
    outbox.append(b"started\n")
    outbox.append(b"waiting\n")
    outbox.advance(3)
    assert outbox.truncate() == len(b"waiting\n")
    assert joined(outbox) == b"rted\n"
    outbox.append(b"reason\n")
    assert joined(outbox) == b"rted\nreason\n"


def test_truncate_drops_a_head_that_was_not_started() -> None:
    outbox = Outbox()
    outbox.append(b"sent\n")
    outbox.append(b"waiting\n")
    outbox.append(b"waiting too\n")
    outbox.advance(len(b"sent\n"))
    assert outbox.truncate() == len(b"waiting\nwaiting too\n")
    assert not outbox
    assert outbox.buffers() == []


def test_clear_forgets_the_chunk_under_way_too() -> None:
    outbox = Outbox()
    outbox.append_rest(b"abc", 1)
    outbox.clear()
    assert not outbox
    outbox.append(b"abc")
    assert joined(outbox) == b"abc"


class AgainstBytes(RuleBasedStateMachine):
    """The outbox beside a plain list of messages: the same stream, whatever happens."""

    def __init__(self) -> None:
        super().__init__()
        self.outbox = Outbox()
        self.messages: list[bytes] = []
        self.sent = 0

    def model(self) -> bytes:
        return b"".join(self.messages)[self.sent :]

    @rule(data=st.binary(max_size=6))
    def append(self, data: bytes) -> None:
        self.outbox.append(data)
        self.messages.append(data)

    @rule(data=st.binary(max_size=6), sent=st.integers(0, 6))
    def append_rest(self, data: bytes, sent: int) -> None:
        if not self.outbox:
            self.messages, self.sent = [data], min(sent, len(data))
            self.outbox.append_rest(data, self.sent)

    @rule(data=st.data())
    def advance(self, data: st.DataObject) -> None:
        n = data.draw(st.integers(0, self.outbox.size))
        self.outbox.advance(n)
        self.sent += n

    @rule()
    def truncate(self) -> None:
        before = len(self.model())
        end = 0
        for message in self.messages:
            if end >= self.sent:
                break
            end += len(message)
        self.messages = [b"".join(self.messages)[:end]]
        assert self.outbox.truncate() == before - len(self.model())

    @invariant()
    def same_stream(self) -> None:
        assert self.outbox.size == len(self.model())
        assert bool(self.outbox) == bool(self.model())
        assert joined(self.outbox) == self.model()
        assert all(len(buffer) for buffer in self.outbox.buffers())
        assert self.model().startswith(joined(self.outbox, 2))


TestAgainstBytes = AgainstBytes.TestCase
