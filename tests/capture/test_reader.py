"""Capture files of both kinds and byte orders: whole, byte by byte, cut short, broken, written."""

from __future__ import annotations

import struct
import typing as t

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.capture import packets
from tests.capture.packets import block, enhanced, interface, option, pcap_file, section

from jackfield.capture import frames, pcapng
from jackfield.capture.frames import SNAPLEN, Frame
from jackfield.capture.reader import CaptureReader
from jackfield.capture.writer import PcapngWriter
from jackfield.errors import CaptureError, PacketError

NANOSECONDS: t.Final = 0xA1B23C4D
ORDERS: t.Final = ("<", ">")

DATA: t.Final = (b"first", b"", b"the third, of twenty-six b")


def read(chunks: t.Iterable[bytes]) -> list[Frame]:
    reader = CaptureReader()
    found = [frame for chunk in chunks for frame in reader.feed(chunk)]
    reader.finish()
    return found


def single_bytes(data: bytes) -> list[bytes]:
    return [data[i : i + 1] for i in range(len(data))]


def pcapng_file(order: str) -> bytes:
    return b"".join(
        (
            section(order),
            block(5, b"statistics..", order),  # nothing here for us
            interface(order),
            *(enhanced(data, 1_000_001 * n, 0, order) for n, data in enumerate(DATA)),
            block(0x0BAD, bytes(400), order),
        )
    )


FILES: t.Final = {
    **{
        f"pcap {order}{magic:x}": pcap_file(
            [(n, n, data, len(data)) for n, data in enumerate(DATA)], order, magic
        )
        for order in ORDERS
        for magic in (0xA1B2C3D4, NANOSECONDS)
    },
    **{f"pcapng {order}": pcapng_file(order) for order in ORDERS},
}


@pytest.mark.parametrize("name", FILES)
def test_whole_byte_by_byte_and_cut_anywhere(name: str) -> None:
    data = FILES[name]
    unit = 1 if f"{NANOSECONDS:x}" in name else 1000
    expected = [
        Frame(n * 10**9 + n * unit, frames.RAW, data, len(data)) for n, data in enumerate(DATA)
    ]
    assert read([data]) == expected
    assert read(single_bytes(data)) == expected
    for cut in range(len(data)):
        assert read([data[:cut], b"", data[cut:]]) == expected


@pytest.mark.parametrize("name", FILES)
def test_a_file_cut_short_gives_what_is_whole(name: str) -> None:
    data = FILES[name]
    whole = read([data])
    for size in range(len(data)):
        reader = CaptureReader()
        found = list(reader.feed(data[:size]))
        assert found == whole[: len(found)]
        if reader.pending or not size or reader._skip:
            with pytest.raises(CaptureError):
                reader.finish()
        else:
            reader.finish()


def test_the_frames_before_a_fault_come_first() -> None:
    data = section() + interface() + enhanced(b"good") + enhanced(b"bad", number=7)
    reader = CaptureReader()
    found = reader.feed(data)
    assert next(found).data == b"good"
    with pytest.raises(CaptureError, match="interface 7"):
        next(found)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(
    ("options", "ticks", "time"),
    [
        (b"", 5_000_001, 5_000_001_000),  # microseconds without a word
        (option(9, b"\x09"), 5_000_000_001, 5_000_000_001),
        (option(9, b"\x00"), 5, 5_000_000_000),
        (option(9, b"\x8a"), 1024, 1_000_000_000),  # 2**-10
        (option(9, b"\x0c"), 5_000, 5),  # picoseconds are more than we keep
        (option(2, b"eth0") + option(9, b"\x03") + option(0, b""), 1500, 1_500_000_000),
        (option(9, b"\x00\x00"), 1_000_000, 1_000_000_000),  # of a wrong length: passed over
    ],
)
def test_the_clock_of_an_interface(order: str, options: bytes, ticks: int, time: int) -> None:
    if order == ">":  # swap the heads of the options, kind and length
        options = swapped(options)
    data = section(order) + interface(order, options=options) + enhanced(b"x", ticks, 0, order)
    assert read([data])[0].time == time


def swapped(options: bytes) -> bytes:
    made, at = b"", 0
    while at < len(options):
        kind, length = struct.unpack_from("<HH", options, at)
        padded = length + -length % 4
        made += struct.pack(">HH", kind, length) + options[at + 4 : at + 4 + padded]
        at += 4 + padded
    return made


def test_the_offset_of_a_clock() -> None:
    options = option(14, struct.pack("<q", -10))
    data = section() + interface(options=options) + enhanced(b"x", 12_000_000)
    assert read([data])[0].time == 2 * 10**9


def test_sections_of_both_orders_with_interfaces_of_their_own() -> None:
    data = (
        *(section("<"), interface("<", frames.ETHERNET), interface("<", frames.SLL)),
        *(enhanced(b"sll", number=1), enhanced(b"ethernet")),
        *(section(">"), interface(">", frames.NULL), enhanced(b"null", order=">")),
    )
    found = [(frame.link, frame.data) for frame in read([b"".join(data)])]
    assert found == [
        (frames.SLL, b"sll"),
        (frames.ETHERNET, b"ethernet"),
        (frames.NULL, b"null"),
    ]
    with pytest.raises(CaptureError, match="interface 1"):
        read([b"".join(data), enhanced(b"of the first section", number=1, order=">")])


def test_old_and_simple_packets() -> None:
    old = struct.pack("<HHIIII", 0, 0, 0, 7, 3, 5) + b"old"
    simple = struct.pack("<I", 6) + b"simp"
    data = section() + interface(snaplen=4) + block(2, old) + block(3, simple)
    assert read([data]) == [
        Frame(7000, frames.RAW, b"old", 5),
        Frame(0, frames.RAW, b"simp", 6),
    ]


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "empty"),
        (b"abc", "no capture"),
        (b"hello world", "no capture: begins with 68656c6c"),
        (b"\x1f\x8b\x08\0" + bytes(20), "gunzip"),
        (pcap_file([], magic=0xA1B2CD34), "no capture"),
        (struct.pack("<IHHiIII", 0xA1B2C3D4, 9, 4, 0, 0, 0, 1), "version 9"),
        (pcap_file([]) + struct.pack("<IIII", 0, 0, SNAPLEN + 1, 5), "no capture has over"),
        (section(major=2), "version 2"),
        (section()[:8] + bytes(4) + section()[12:], "byte order"),
        (section() + struct.pack("<III", 1, 13, 0), "cannot be so long"),
        (section() + struct.pack("<III", 1, 8, 0), "cannot be so long"),
        (section() + struct.pack("<III", 6, 1 << 31, 0), "the limit is"),
        (section() + interface() + enhanced(b"abcd")[:-4] + bytes(4), "two lengths differ"),
        (section() + interface() + enhanced(b"abcd", captured=9), "9 bytes in a block of 4"),
        (section() + enhanced(b"abcd"), "interface 0"),
        (section() + block(3, struct.pack("<I", 3) + b"abc"), "interface 0"),
        (section() + block(1, b"\1\0"), "too short for its kind"),
        (section() + interface() + block(6, bytes(8)), "too short for its kind"),
        (section() + interface() * (pcapng.MOST_INTERFACES + 1), "more than 4096 interfaces"),
    ],
)
def test_broken_files(data: bytes, why: str) -> None:
    for chunks in ([data], [*single_bytes(data[:2000]), data[2000:]]):
        with pytest.raises(CaptureError, match=why) as caught:
            read(chunks)
        assert not isinstance(caught.value, PacketError)
        assert str(caught.value).isprintable()


def test_a_huge_block_of_no_use_is_not_held() -> None:
    reader = CaptureReader()
    size = 64 * 1024 * 1024
    head = section() + interface() + struct.pack("<III", 0x0BAD, size, 0)
    assert not list(reader.feed(head))
    left = size - 12
    while left:
        piece = min(left, 1 << 20)
        assert not list(reader.feed(bytes(piece)))
        left -= piece
        assert reader.pending == 0
    assert [frame.data for frame in reader.feed(enhanced(b"behind it"))] == [b"behind it"]
    reader.finish()


# --- anything, and what we write ----------------------------------------------------------------


@given(
    st.sampled_from([b"", *(data[:24] for data in FILES.values()), *FILES.values()]),
    st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=3),
    st.binary(max_size=100),
)
def test_any_bytes_cut_or_not(begin: bytes, damage: list[tuple[int, int]], rest: bytes) -> None:
    data = bytearray(begin + rest)
    for at, value in damage:
        if at < len(data):
            data[at] = value
    assert outcome([bytes(data)]) == outcome(single_bytes(bytes(data)))


def outcome(chunks: t.Iterable[bytes]) -> tuple[list[Frame], str]:
    """The frames, and the fault that ended them."""
    reader, found = CaptureReader(), []
    try:
        for chunk in chunks:
            for frame in reader.feed(chunk):
                found.append(frame)  # noqa: PERF402 - those before a fault count
            assert reader.pending <= pcapng.MOST_BLOCK + len(chunk)
        reader.finish()
    except CaptureError as exc:
        return found, str(exc)
    return found, ""


@given(
    st.lists(
        st.builds(
            Frame,
            st.integers(0, 2**64 - 1),
            st.sampled_from([frames.ETHERNET, frames.SLL2, frames.RAW]),
            st.binary(max_size=80),
            st.integers(0, 2**32 - 1),
        ),
        max_size=8,
    )
)
def test_what_is_written_is_read(made: list[Frame]) -> None:
    writer = PcapngWriter("lo")
    data = writer.head() + b"".join(map(writer.packet, made))
    assert read([data]) == made


def test_a_time_that_the_file_cannot_hold_is_the_nearest() -> None:
    writer = PcapngWriter()
    data = writer.head()
    data += writer.packet(packets.frame(b"", time=-5)) + writer.packet(
        packets.frame(b"", time=1 << 70)
    )
    assert [frame.time for frame in read([data])] == [0, 2**64 - 1]
