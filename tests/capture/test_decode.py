"""Frames of every link type down to TCP: whole, cut anywhere, and of any bytes at all."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.capture import packets
from tests.capture.packets import frame, ipv4, ipv6, tcp_segment, udp

from jackfield.capture import frames, tcp
from jackfield.capture.decode import Datagram, Other, Segment, decode
from jackfield.capture.frames import Frame
from jackfield.errors import PacketError

LINKS = [*packets.WRAPPED, "nonsense"]


def segment_of(data: bytes, link: int = frames.RAW) -> Segment:
    found = decode(frame(data, link))
    assert isinstance(found, Segment)
    return found


def other(data: bytes, link: int = frames.RAW) -> str:
    found = decode(frame(data, link))
    assert isinstance(found, Other)
    return found.kind


@pytest.mark.parametrize("name", packets.WRAPPED)
@pytest.mark.parametrize("make", [ipv4, ipv6])
def test_every_link(name: str, make: object) -> None:
    link, wrap = packets.WRAPPED[name]
    ip = (ipv4 if make is ipv4 else ipv6)(tcp_segment(payload=b"hello", seq=7, ack=9, window=5))
    found = segment_of(wrap(ip), link)
    ends = ("10.0.0.1:40000", "10.0.0.2:80")
    if make is ipv6:
        ends = ("[2001:db8::1]:40000", "[2001:db8::2]:80")
    assert (str(found.source), str(found.destination)) == ends
    assert (found.seq, found.ack, found.flags, found.window) == (7, 9, tcp.ACK, 5)
    assert (found.length, found.payload) == (5, b"hello")


@pytest.mark.parametrize("name", packets.WRAPPED)
@pytest.mark.parametrize("make", [ipv4, ipv6])
def test_cut_anywhere(name: str, make: object) -> None:
    """What lacks a header is an error; what lacks data only is a segment of full length."""
    link, wrap = packets.WRAPPED[name]
    whole = wrap((ipv4 if make is ipv4 else ipv6)(tcp_segment(payload=b"hello", options=b"\1" * 8)))
    headers = len(whole.rstrip(b"\0")) - 5
    for size in range(len(whole)):
        cut = Frame(0, link, whole[:size], len(whole))
        if size < headers:
            with pytest.raises(PacketError):
                decode(cut)
        else:
            found = decode(cut)
            assert isinstance(found, Segment)
            assert found.length == 5
            assert found.payload == b"hello"[: size - headers]


def test_ipv4_options_are_passed_over() -> None:
    found = segment_of(ipv4(tcp_segment(payload=b"x"), options=b"\x94\x04\0\0"))  # router alert
    assert found.payload == b"x"


@pytest.mark.parametrize("fragment", [0x2000, 1, 0x2001, 0x1FFF])
def test_fragments_are_named(fragment: int) -> None:
    assert other(ipv4(tcp_segment(), fragment=fragment)) == "IP fragment"


def test_do_not_fragment_is_no_fragment() -> None:
    assert segment_of(ipv4(tcp_segment(payload=b"x"), fragment=0x4000)).length == 1


HOP_BY_HOP = b"\x3c\0" + bytes(6)  # next: destination options
DESTINATION = b"\x06\x01" + bytes(14)  # two eights; next: TCP


def test_ipv6_extensions_are_passed_over() -> None:
    chain = HOP_BY_HOP + DESTINATION
    found = segment_of(ipv6(tcp_segment(payload=b"x"), protocol=0, extensions=chain))
    assert (found.length, found.payload) == (1, b"x")


def test_ipv6_authentication_counts_in_fours() -> None:
    header = b"\x06\x04" + bytes(22)
    assert segment_of(ipv6(tcp_segment(), protocol=51, extensions=header)).source.port == 40000


@pytest.mark.parametrize(("bits", "whole"), [(0, True), (1, False), (8, False), (6, True)])
def test_ipv6_fragments(bits: int, whole: bool) -> None:
    """An "atomic" fragment is a whole datagram (RFC 6946); 6 are reserved bits."""
    header = struct.pack("!BBHI", 6, 0, bits, 99)
    data = ipv6(tcp_segment(payload=b"x"), protocol=44, extensions=header)
    if whole:
        assert segment_of(data).payload == b"x"
    else:
        assert other(data) == "IP fragment"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x50" + bytes(60),  # IP version 5
        b"\x44" + ipv4(tcp_segment())[1:],  # a header of 16 bytes
        ipv4(tcp_segment(), total=10),  # less than its header
        ipv4(tcp_segment(), total=1000),  # more than came
        ipv6(tcp_segment(), length=1000),
        ipv6(b"", protocol=0, extensions=b"\x06\xff" + bytes(30)),  # longer than its packet
        ipv6(tcp_segment(), protocol=0, extensions=(b"\0\0" + bytes(6)) * 40),  # too many
        ipv4(tcp_segment()[:12] + b"\x40" + bytes(7)),  # TCP header of 16 bytes
        ipv4(tcp_segment()[:12] + b"\xf0" + bytes(7)),  # of 60, in a segment of 20
        ipv4(bytes(19)),
        ipv4(udp(b"x", length=7), protocol=17),
        ipv4(udp(b"x", length=10), protocol=17),
        ipv4(bytes(7), protocol=17),
    ],
)
def test_lies_are_errors(data: bytes) -> None:
    with pytest.raises(PacketError):
        decode(frame(data))


def test_a_loopback_family_that_is_none() -> None:
    for family in (b"\0\0\0\0", b"\x07\0\0\0", b"\xff\xff\0\0"):
        with pytest.raises(PacketError, match="address family"):
            decode(frame(family + ipv4(tcp_segment()), frames.NULL))


def test_a_link_type_that_is_not_known() -> None:
    with pytest.raises(PacketError, match="link type 147"):
        decode(frame(bytes(80), 147))


def test_what_the_card_has_yet_to_cut() -> None:
    """A total length of 0: the frame's own counts (TCP segmentation offload)."""
    assert segment_of(ipv4(tcp_segment(payload=b"x" * 9), total=0)).length == 9
    assert segment_of(ipv6(tcp_segment(payload=b"x" * 9), length=0)).length == 9


@pytest.mark.parametrize(
    ("data", "link", "kind"),
    [
        (bytes(12) + b"\x08\x06" + bytes(28), frames.ETHERNET, "ARP"),
        (bytes(12) + b"\x00\x26" + bytes(38), frames.ETHERNET, "802.3"),
        (bytes(12) + b"\x12\x34" + bytes(28), frames.ETHERNET, "ethertype 0x1234"),
        (ipv4(bytes(8), protocol=1), frames.RAW, "ICMP"),
        (ipv6(bytes(8), protocol=58), frames.RAW, "ICMPv6"),
        (ipv4(bytes(8), protocol=200), frames.RAW, "IP protocol 200"),
    ],
)
def test_others_are_named(data: bytes, link: int, kind: str) -> None:
    assert other(data, link) == kind


def test_udp() -> None:
    for data in (ipv4(udp(b"hi"), protocol=17), ipv6(udp(b"hi"), protocol=17)):
        found = decode(frame(data, time=5))
        assert isinstance(found, Datagram)
        assert (found.source.port, found.destination.port) == (5000, 53)
        assert (found.time, found.length, found.payload) == (5, 2, b"hi")


# --- options -----------------------------------------------------------------------------------


def test_the_options_linux_sends() -> None:
    options = tcp.parse_options(packets.SYN_OPTIONS)
    assert options == tcp.Options(1460, 7, True, (), (1, 0))


def test_sack_blocks() -> None:
    block = struct.pack("!BBBBIIII", 1, 1, 5, 18, 1, 2, 30, 40)
    assert tcp.parse_options(block).sacks == ((1, 2), (30, 40))


@pytest.mark.parametrize("block", [b"\2", b"\2\0", b"\2\1", b"\2\x05ab", b"\1\1\x08\x0aabcd"])
def test_broken_options_are_said_to_be(block: bytes) -> None:
    assert tcp.parse_options(block).broken
    found = segment_of(ipv4(tcp_segment(payload=b"x", options=block.rjust(8, b"\1"))))
    assert (found.options.broken, found.length) == (True, 1)


@pytest.mark.parametrize(
    "block", [b"\2\3x", b"\3\4xy", b"\4\3x", b"\5\x09" + bytes(7), b"\x08\3x", b"\5\2", b"\x1e\4ab"]
)
def test_options_of_a_wrong_length_or_unknown_are_passed_over(block: bytes) -> None:
    assert tcp.parse_options(block + b"\2\4\0\x09") == tcp.Options(mss=9)


def test_nothing_counts_behind_the_end() -> None:
    assert tcp.parse_options(b"\1\0\2\4\0\x09") == tcp.NO_OPTIONS


def test_a_scale_is_at_most_14() -> None:
    assert tcp.parse_options(b"\3\3\xff").scale == 14


# --- anything ----------------------------------------------------------------------------------

LINK_NUMBERS = sorted({link for link, _ in packets.WRAPPED.values()} | {12, 14, 228, 229, 9999})


@given(st.binary(max_size=200), st.sampled_from(LINK_NUMBERS), st.integers(0, 300))
def test_any_bytes(data: bytes, link: int, length: int) -> None:
    check(Frame(0, link, data, length))


@given(
    st.sampled_from(sorted(packets.WRAPPED)),
    st.sampled_from(
        [
            ipv4(tcp_segment(payload=b"hello", options=packets.SYN_OPTIONS)),
            ipv6(
                tcp_segment(payload=b"hi"),
                protocol=0,
                extensions=HOP_BY_HOP[:0] + b"\x06\0" + bytes(6),
            ),
            ipv4(udp(b"hello"), protocol=17),
        ]
    ),
    st.lists(st.tuples(st.integers(0, 120), st.integers(0, 255)), max_size=4),
    st.integers(0, 130),
)
def test_real_packets_damaged(
    name: str, ip: bytes, damage: list[tuple[int, int]], size: int
) -> None:
    link, wrap = packets.WRAPPED[name]
    data = bytearray(wrap(ip))
    length = len(data)
    for at, value in damage:
        data[at % length] = value
    check(Frame(0, link, bytes(data[:size]), length))


def check(made: Frame) -> None:
    """Decoding gives something sound or PacketError, nothing else."""
    try:
        found = decode(made)
    except PacketError:
        return
    if isinstance(found, Other):
        assert found.kind.isprintable()
    else:
        assert len(found.payload) <= found.length <= max(made.length, len(made.data))
        assert found.payload in made.data
        assert str(found.source)
