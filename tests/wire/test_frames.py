from __future__ import annotations

import typing as t
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jackfield.errors import TooLong, UsageError
from jackfield.wire.frames import FrameProtocol, FrameSplitter, encode_frame

PREFIXES = [1, 2, 4, 8]
prefixes = pytest.mark.parametrize("prefix", PREFIXES)


def frames_of(chunks: t.Iterable[bytes], prefix: int = 4, limit: int = 1000) -> list[bytes]:
    splitter = FrameSplitter(prefix, limit)
    return [frame for chunk in chunks for frame in splitter.feed(chunk)]


def single_bytes(data: bytes) -> list[bytes]:
    return [data[i : i + 1] for i in range(len(data))]


def test_the_bytes_on_the_wire_are_in_network_order() -> None:
    assert encode_frame(b"hi", 1) == b"\x02hi"
    assert encode_frame(b"hi", 2) == b"\x00\x02hi"
    assert encode_frame(b"x" * 258, 4)[:5] == b"\x00\x00\x01\x02x"
    assert encode_frame(b"", 8) == bytes(8)


@prefixes
def test_whole_byte_by_byte_and_with_a_tail(prefix: int) -> None:
    payloads = [b"one", b"", b"\x00\x01\x02", b"x" * 200, b""]
    stream = b"".join(encode_frame(payload, prefix) for payload in payloads)
    tail = encode_frame(b"tail", prefix)[:-1]
    assert frames_of([stream], prefix) == payloads
    assert frames_of(single_bytes(stream), prefix) == payloads
    assert frames_of([stream + tail], prefix) == payloads
    assert frames_of([stream, b"", tail, b"", b"l"], prefix) == [*payloads, b"tail"]


@given(
    st.lists(st.binary(max_size=20), max_size=6),
    st.sampled_from(PREFIXES),
    st.lists(st.integers(0, 150), max_size=10),
)
def test_any_cuts_give_what_was_sent(payloads: list[bytes], prefix: int, cuts: list[int]) -> None:
    stream = b"".join(encode_frame(payload, prefix) for payload in payloads)
    edges = [0, *sorted(cuts), len(stream)]
    chunks = [stream[a:b] for a, b in pairwise(edges)]
    chunks[-1] = stream[sum(map(len, chunks[:-1])) :]
    assert frames_of(chunks, prefix) == payloads


@prefixes
def test_a_length_over_the_limit_is_told_with_its_last_prefix_byte(prefix: int) -> None:
    splitter = FrameSplitter(prefix, limit=10)
    bad = (11).to_bytes(prefix, "big")
    assert splitter.feed(encode_frame(b"x" * 10, prefix) + bad[:-1]) == [b"x" * 10]
    assert splitter.error is None
    assert splitter.feed(bad[-1:]) == []
    assert str(splitter.error) == "the peer announced a frame of 11 bytes; the limit is 10"


@given(st.lists(st.integers(0, 30), max_size=6))
def test_frames_before_a_bad_one_are_kept_and_nothing_after_it(cuts: list[int]) -> None:
    stream = encode_frame(b"a") + encode_frame(b"bc") + b"\xff\xff\xff\xff" + encode_frame(b"never")
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    splitter = FrameSplitter(4, limit=10)
    frames: list[bytes] = []
    for start, stop in pairwise(edges):
        frames += splitter.feed(stream[start:stop])
    assert frames == [b"a", b"bc"]
    assert isinstance(splitter.error, TooLong)
    assert splitter.pending == 0


def test_what_is_held_is_bounded_by_the_limit() -> None:
    splitter = FrameSplitter(2, limit=100)
    stream = encode_frame(b"x" * 100, 2) * 3
    for byte in single_bytes(stream):
        splitter.feed(byte)
        assert splitter.pending < 102
    assert splitter.pending == 0


def test_an_announced_frame_is_not_allocated_before_it_comes() -> None:
    splitter = FrameSplitter(8, limit=1 << 62)
    assert splitter.feed((1 << 61).to_bytes(8, "big") + b"x") == []
    assert splitter.error is None
    assert splitter.pending == 9


def test_a_payload_that_does_not_fit_its_prefix_is_refused() -> None:
    assert len(encode_frame(b"x" * 255, 1)) == 256
    with pytest.raises(TooLong, match="256 bytes does not fit a 1-byte length prefix"):
        encode_frame(b"x" * 256, 1)
    with pytest.raises(TooLong):
        encode_frame(b"x" * 65536, 2)


def test_a_prefix_of_three_bytes_is_refused() -> None:
    with pytest.raises(UsageError, match="prefix of 3 bytes"):
        FrameSplitter(3)
    with pytest.raises(UsageError, match="prefix of 3 bytes"):
        encode_frame(b"", 3)


class Frames(FrameProtocol):
    frame_limit = 10
    prefix_size = 2

    def __init__(self) -> None:
        self.seen: list[bytes] = []

    def frame_received(self, payload: bytes) -> None:
        self.seen.append(payload)


def test_frames_reach_the_protocol_and_count_as_progress(native: t.Any) -> None:
    protocol = Frames()
    protocol.connection_made(native)
    protocol.data_received(b"\x00")
    protocol.data_received(b"\x02hi\x00\x00\x00")
    assert protocol.seen == [b"hi", b""]
    assert native.progress == 1


def test_send_frame(native: t.Any) -> None:
    protocol = Frames()
    protocol.connection_made(native)
    protocol.send_frame(b"hi")
    assert native.written == b"\x00\x02hi"


def test_too_long_evicts_after_the_good_frames_and_only_once(native: t.Any) -> None:
    protocol = Frames()
    protocol.connection_made(native)
    protocol.data_received(b"\x00\x02hi\x00\x0b")
    assert protocol.seen == [b"hi"]
    assert [type(exc) for exc in native.evicted] == [TooLong]
    protocol.data_received(b"\x00\x02hi\x00\x0b")
    assert len(native.evicted) == 1
    assert protocol.seen == [b"hi"]


def test_too_long_waits_behind_held_frames(native: t.Any) -> None:
    protocol = Frames()
    protocol.connection_made(native)
    protocol.pause_writing()
    protocol.data_received(b"\x00\x02hi\x00\x0b")
    assert native.evicted == []
    protocol.resume_writing()
    assert protocol.seen == [b"hi"]
    assert len(native.evicted) == 1


def test_too_long_aborts_on_a_foreign_transport(foreign: t.Any) -> None:
    protocol = Frames()
    protocol.connection_made(foreign)
    protocol.data_received(b"\xff\xff")
    assert foreign.calls == ["abort"]


def test_a_frame_cut_short_by_eof_is_not_delivered(native: t.Any) -> None:
    protocol = Frames()
    protocol.connection_made(native)
    protocol.data_received(b"\x00\x05hel")
    assert not protocol.eof_received()
    assert protocol.seen == []
