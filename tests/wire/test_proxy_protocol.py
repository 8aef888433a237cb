"""PROXY headers: whole, byte by byte, with bytes behind them, and everything that is none."""

from __future__ import annotations

import ipaddress
import struct
import typing as t

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jackfield import limits
from jackfield.address import format_sockaddr
from jackfield.errors import ProtocolViolation, ProxyHeaderError
from jackfield.wire.proxy_protocol import SIGNATURE, ProxyHeader, ProxyParser, crc32c

V4_CLIENT, V4_SERVER = ("192.0.2.1", 56324), ("192.0.2.9", 443)
V6_CLIENT, V6_SERVER = ("2001:db8::1", 1, 0, 0), ("2001:db8::9", 65535, 0, 0)
TCP4, UDP4, TCP6, UDP6, UNIX, UNIX_DGRAM = 0x11, 0x12, 0x21, 0x22, 0x31, 0x32


def v2(
    block: bytes = b"", family: int = TCP4, command: int = 1, version: int = 2, more: int = 0
) -> bytes:
    """A header of version 2; ``more`` lies about the length."""
    fixed = struct.pack("!BBH", version << 4 | command, family, len(block) + more)
    return SIGNATURE + fixed + block


def ips(source: tuple[t.Any, ...], destination: tuple[t.Any, ...]) -> bytes:
    ends = (source, destination)
    hosts = b"".join(ipaddress.ip_address(host).packed for host, *_ in ends)
    return hosts + struct.pack("!HH", source[1], destination[1])


def unix(source: bytes, destination: bytes = b"/run/server") -> bytes:
    return struct.pack("108s108s", source, destination)


def tlv(kind: int, value: bytes) -> bytes:
    return struct.pack("!BH", kind, len(value)) + value


def with_sum(block: bytes, behind: bytes = b"", change: int = 0) -> bytes:
    """A TCP4 header of version 2 with a checksum TLV that is right, but for ``change``."""
    empty = v2(block + tlv(3, bytes(4)) + behind)
    right = crc32c(empty)
    return v2(block + tlv(3, (right ^ change).to_bytes(4, "big")) + behind)


ADDRESSES = ips(V4_CLIENT, V4_SERVER)

GOOD: dict[str, tuple[bytes, ProxyHeader]] = {
    "v1-tcp4": (
        b"PROXY TCP4 192.0.2.1 192.0.2.9 56324 443\r\n",
        ProxyHeader(1, V4_CLIENT, V4_SERVER),
    ),
    "v1-tcp4-longest": (
        b"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n",
        ProxyHeader(1, ("255.255.255.255", 65535), ("255.255.255.255", 65535)),
    ),
    "v1-tcp6": (
        b"PROXY TCP6 2001:DB8::1 2001:db8:0:0:0:0:0:9 1 65535\r\n",
        ProxyHeader(1, V6_CLIENT, V6_SERVER),
    ),
    "v1-port-0": (
        b"PROXY TCP4 192.0.2.1 192.0.2.9 0 0\r\n",
        ProxyHeader(1, ("192.0.2.1", 0), ("192.0.2.9", 0)),
    ),
    "v1-mapped": (
        b"PROXY TCP6 ::ffff:192.0.2.1 ::ffff:c000:209 56324 443\r\n",
        ProxyHeader(1, V4_CLIENT, V4_SERVER),
    ),
    "v1-unknown": (b"PROXY UNKNOWN\r\n", ProxyHeader(1)),
    "v1-unknown-longest": (b"PROXY UNKNOWN " + b"f" * 91 + b"\r\n", ProxyHeader(1)),
    "v1-unknown-rubbish": (b"PROXY UNKNOWN \xff\0\r\x1b[2J\r\n", ProxyHeader(1)),
    "v2-tcp4": (v2(ADDRESSES), ProxyHeader(2, V4_CLIENT, V4_SERVER)),
    "v2-udp4": (v2(ADDRESSES, UDP4), ProxyHeader(2, V4_CLIENT, V4_SERVER)),
    "v2-tcp6": (v2(ips(V6_CLIENT, V6_SERVER), TCP6), ProxyHeader(2, V6_CLIENT, V6_SERVER)),
    "v2-udp6": (v2(ips(V6_CLIENT, V6_SERVER), UDP6), ProxyHeader(2, V6_CLIENT, V6_SERVER)),
    "v2-mapped": (
        v2(ips(("::ffff:192.0.2.1", 56324), ("::ffff:192.0.2.9", 443)), TCP6),
        ProxyHeader(2, V4_CLIENT, V4_SERVER),
    ),
    "v2-unix": (v2(unix(b"/run/client"), UNIX), ProxyHeader(2, "/run/client", "/run/server")),
    "v2-unix-dgram": (v2(unix(b""), UNIX_DGRAM), ProxyHeader(2, "", "/run/server")),
    "v2-unix-full": (v2(unix(b"x" * 108), UNIX), ProxyHeader(2, "x" * 108, "/run/server")),
    "v2-unix-abstract": (
        v2(unix(b"\0name", b"\0"), UNIX),
        ProxyHeader(2, b"\0name", ""),
    ),
    "v2-local": (v2(b"", 0, command=0), ProxyHeader(2)),
    "v2-local-ignores-its-block": (v2(b"rubbish", 0xFF, command=0), ProxyHeader(2)),
    "v2-unspec": (v2(b"rubbish", 0), ProxyHeader(2)),
    "v2-unspec-transport": (v2(ADDRESSES, 0x10), ProxyHeader(2)),
    "v2-unspec-family": (v2(ADDRESSES, 0x01), ProxyHeader(2)),
    "v2-tlvs": (
        v2(ADDRESSES + tlv(1, b"h2") + tlv(4, b"") + tlv(0xE5, bytes(300))),
        ProxyHeader(2, V4_CLIENT, V4_SERVER),
    ),
    "v2-sum": (with_sum(ADDRESSES), ProxyHeader(2, V4_CLIENT, V4_SERVER)),
    "v2-sum-among-others": (
        with_sum(ADDRESSES + tlv(5, b"id"), tlv(4, bytes(9))),
        ProxyHeader(2, V4_CLIENT, V4_SERVER),
    ),
    "v2-longest": (
        v2(ADDRESSES + tlv(4, bytes(limits.PROXY_HEADER - 16 - 12 - 3))),
        ProxyHeader(2, V4_CLIENT, V4_SERVER),
    ),
}

BAD: dict[str, bytes] = {
    "http": b"GET / HTTP/1.1\r\n",
    "no-space": b"PROXYTCP4 192.0.2.1 192.0.2.9 56324 443\r\n",
    "lower-case": b"proxy TCP4 192.0.2.1 192.0.2.9 56324 443\r\n",
    "empty-line": b"\r\n\r\n\r\n",
    "one-bit-of-the-signature": SIGNATURE[:-1] + b"\x0b" + v2()[12:],
    "v1-nothing": b"PROXY \r\n",
    "v1-family": b"PROXY UDP4 192.0.2.1 192.0.2.9 56324 443\r\n",
    "v1-unknown-glued": b"PROXY UNKNOWNS\r\n",
    "v1-two-spaces": b"PROXY TCP4  192.0.2.1 192.0.2.9 56324 443\r\n",
    "v1-tab": b"PROXY\tTCP4 192.0.2.1 192.0.2.9 56324 443\r\n",
    "v1-space-at-the-end": b"PROXY TCP4 192.0.2.1 192.0.2.9 56324 443 \r\n",
    "v1-too-few": b"PROXY TCP4 192.0.2.1 192.0.2.9 56324\r\n",
    "v1-too-many": b"PROXY TCP4 192.0.2.1 192.0.2.9 56324 443 9\r\n",
    "v1-lf-alone": b"PROXY TCP4 192.0.2.1 192.0.2.9 56324 443\n",
    "v1-unknown-lf-alone": b"PROXY UNKNOWN\n\r\n",
    "v1-cr-alone": b"PROXY TCP4 192.0.2.1 192.0.2.9 56324 443\r" + b"x" * 70,
    "v1-too-long": b"PROXY UNKNOWN " + b"f" * 92 + b"\r\n",
    "v1-endless": b"PROXY UNKNOWN " + b"f" * 93,
    "v1-other-family": b"PROXY TCP4 ::1 ::1 56324 443\r\n",
    "v1-other-family-6": b"PROXY TCP6 192.0.2.1 192.0.2.9 56324 443\r\n",
    "v1-leading-zero": b"PROXY TCP4 192.0.02.1 192.0.2.9 56324 443\r\n",
    "v1-256": b"PROXY TCP4 192.0.2.256 192.0.2.9 56324 443\r\n",
    "v1-three-numbers": b"PROXY TCP4 192.0.2 192.0.2.9 56324 443\r\n",
    "v1-scope": b"PROXY TCP6 fe80::1%lo fe80::2 56324 443\r\n",
    "v1-not-ascii": "PROXY TCP4 \N{FULLWIDTH DIGIT ONE}.0.2.1 192.0.2.9 56324 443\r\n".encode(),
    "v1-name": b"PROXY TCP4 localhost 192.0.2.9 56324 443\r\n",
    "v1-port-leading-zero": b"PROXY TCP4 192.0.2.1 192.0.2.9 056 443\r\n",
    "v1-port-sign": b"PROXY TCP4 192.0.2.1 192.0.2.9 +56 443\r\n",
    "v1-port-large": b"PROXY TCP4 192.0.2.1 192.0.2.9 56324 65536\r\n",
    "v1-port-huge": b"PROXY TCP4 192.0.2.1 192.0.2.9 56324 " + b"9" * 60 + b"\r\n",
    "v1-port-empty": b"PROXY TCP4 192.0.2.1 192.0.2.9  443\r\n",
    "v2-version-1": v2(ADDRESSES, version=1),
    "v2-version-3": v2(ADDRESSES, version=3),
    "v2-command": v2(ADDRESSES, command=2),
    "v2-family": v2(ADDRESSES, 0x41),
    "v2-transport": v2(ADDRESSES, 0x13),
    "v2-addresses-cut": v2(ADDRESSES[:-1]),
    "v2-addresses-missing": v2(),
    "v2-addresses-6-cut": v2(ips(V6_CLIENT, V6_SERVER)[:-1], TCP6),
    "v2-unix-cut": v2(unix(b"/x")[:-1], UNIX),
    "v2-too-long": v2(ADDRESSES + tlv(4, bytes(limits.PROXY_HEADER - 16 - 12 - 2))),
    "v2-announces-64k": v2(more=65535),
    "v2-local-too-long": v2(b"", 0, command=0, more=65535),
    "v2-tlv-cut": v2(ADDRESSES + b"\4\0"),
    "v2-tlv-longer-than-the-header": v2(ADDRESSES + b"\4\0\2x"),
    "v2-sum-wrong": with_sum(ADDRESSES, change=1),
    "v2-sum-of-another": with_sum(ADDRESSES).replace(ADDRESSES[:4], b"\x7f\0\0\1"),
    "v2-sum-short": v2(ADDRESSES + tlv(3, b"\0\0\0")),
    "v2-sum-twice": v2(with_sum(ADDRESSES)[16:] + tlv(3, bytes(4))),
}

TRAILING = (b"", b"\n", b"\r\nGET / HTTP/1.1\r\n", b"PROXY UNKNOWN\r\n", bytes(5000), b"\x16\3\1")


def by_bytes(parser: ProxyParser, data: bytes) -> tuple[ProxyHeader | None, int]:
    """The header, and how many bytes it took to know."""
    for index in range(len(data)):
        header = parser.feed(data[index : index + 1])
        if header is not None:
            return header, index + 1
    return None, len(data)


@pytest.mark.parametrize("name", GOOD)
@pytest.mark.parametrize("trailing", TRAILING)
def test_whole_with_trailing_bytes(name: str, trailing: bytes) -> None:
    data, expected = GOOD[name]
    parser = ProxyParser()
    assert parser.feed(data + trailing) == expected
    assert parser.rest == trailing
    assert parser.pending == 0


@pytest.mark.parametrize("name", GOOD)
def test_byte_by_byte(name: str) -> None:
    """It waits for every byte of the header, and for none behind it."""
    data, expected = GOOD[name]
    parser = ProxyParser()
    assert by_bytes(parser, data) == (expected, len(data))
    assert parser.rest == b""


@pytest.mark.parametrize("name", GOOD)
def test_incomplete(name: str) -> None:
    data, _ = GOOD[name]
    for size in {0, 1, 5, 11, 12, 15, 16, len(data) // 2, len(data) - 1} & set(range(len(data))):
        parser = ProxyParser()
        assert parser.feed(data[:size]) is None
        assert parser.pending == size
        assert parser.rest == b""


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("trailing", [b"", b"\r\n", bytes(200)])
def test_refused(name: str, trailing: bytes) -> None:
    with pytest.raises(ProxyHeaderError, match=r"^[^\n\x1b]+$") as caught:
        ProxyParser().feed(BAD[name] + trailing)
    assert isinstance(caught.value, ProtocolViolation)
    assert caught.value.fault == "peer"


@pytest.mark.parametrize("name", BAD)
def test_refused_byte_by_byte_for_the_same_reason(name: str) -> None:
    with pytest.raises(ProxyHeaderError) as whole:
        ProxyParser().feed(BAD[name])
    with pytest.raises(ProxyHeaderError) as cut:
        by_bytes(ProxyParser(), BAD[name])
    assert str(cut.value) == str(whole.value)


@pytest.mark.parametrize("first", [b"G", b"\n", b"\0", b"p", b"\x16", b"\xff"])
def test_a_first_byte_that_fits_neither_ends_it(first: bytes) -> None:
    with pytest.raises(ProxyHeaderError):
        ProxyParser().feed(first)


def test_what_is_announced_is_not_waited_for() -> None:
    """A header over the limit is refused with its 16th byte, not after 64 KiB."""
    parser = ProxyParser(limit=500)
    assert by_bytes(ProxyParser(limit=500), v2(bytes(484), 0)) == (ProxyHeader(2), 500)
    with pytest.raises(ProxyHeaderError, match="501 bytes; the limit is 500"):
        parser.feed(v2(bytes(485), 0)[:16])


def test_crc32c_is_castagnolis() -> None:
    """RFC 3720, B.4, gives these."""
    assert crc32c(b"") == 0
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(bytes(32)) == 0x8A9136AA
    assert crc32c(b"\xff" * 32) == 0x62A8AB43
    assert crc32c(bytes(range(32))) == 0x46DD794E


def test_a_client_without_printable_name_prints() -> None:
    header = ProxyParser().feed(v2(unix(b"/run/\x1b[2J\n\xff"), UNIX))
    assert header is not None
    assert format_sockaddr(2, header.source) == r"unix:/run/\x1b[2J\n\udcff"


@given(
    st.ip_addresses(v=4) | st.ip_addresses(v=6),
    st.integers(0, 65535),
    st.binary(max_size=40),
    st.data(),
)
def test_both_versions_say_the_same_however_cut(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
    port: int,
    trailing: bytes,
    data: st.DataObject,
) -> None:
    client = (str(address), port)
    line = f"PROXY TCP{address.version} {address} {address} {port} 1\r\n".encode()
    block = v2(ips(client, (str(address), 1)), TCP4 if address.version == 4 else TCP6)
    said = []
    for header in (line, block):
        whole = header + trailing
        cuts = sorted(data.draw(st.sets(st.integers(1, len(header) - 1), max_size=5)))
        parser = ProxyParser()
        found = [parser.feed(whole[a:b]) for a, b in zip([0, *cuts], [*cuts, None], strict=True)]
        assert found[:-1] == [None] * len(cuts)
        assert found[-1] is not None
        assert parser.rest == trailing
        said.append((found[-1].source, found[-1].destination))
    assert said[0] == said[1]
    mapped = getattr(address, "ipv4_mapped", None)
    assert said[0][0][:2] == (str(mapped or address), port)


@given(
    st.sampled_from([b"", b"PROXY ", b"PROXY TCP4 ", SIGNATURE, SIGNATURE + b"\x21\x11"]),
    st.binary(),
)
def test_any_bytes(begin: bytes, more: bytes) -> None:
    """Nothing but a header or its error, and no more is held than the longest header."""
    outcomes: list[object] = []
    for chunks in ([begin + more], [bytes([byte]) for byte in begin + more]):
        parser, outcome = ProxyParser(limit=64), None
        try:
            for index, chunk in enumerate(chunks):
                outcome = parser.feed(chunk)
                assert parser.pending < 107
                if outcome is not None:
                    rest = parser.rest + b"".join(chunks[index + 1 :])
                    outcomes.append((outcome, rest))
                    break
            else:
                outcomes.append((None, parser.pending))
        except ProxyHeaderError as exc:
            outcomes.append((None, str(exc)))
    assert outcomes[0] == outcomes[1]
