"""The PROXY protocol, versions 1 and 2: whom a proxy speaks for, told before its client's bytes.

    v1  "PROXY TCP4 192.0.2.1 192.0.2.9 56324 443\\r\\n"                     at most 107 bytes
    v2  | signature: 12 | version, command: 1 | family, transport: 1 | length: 2 |
        | addresses and ports: 12 (IPv4), 36 (IPv6) or 216 (Unix) | TLVs: the rest of length |

Which version it is shows in the first byte, and the first byte that fits neither ends the matter:
a header that must come is never guessed at (HAProxy's proxy-protocol.txt, 2). TLVs are skipped,
but they must add up, and a CRC-32C among them must be right.

Must not know connections, nor who may be believed: see ``transports.proxied``.
"""

from __future__ import annotations

import dataclasses
import functools
import ipaddress
import os
import struct
import typing as t

from jackfield import limits
from jackfield.errors import ProxyHeaderError
from jackfield.protocol import SocketAddress

SIGNATURE: t.Final = b"\r\n\r\n\0\r\nQUIT\n"
"""How version 2 begins (2.2): no line of any text protocol, and refused by most of them."""

PREFIX_V1: t.Final = b"PROXY "

LONGEST_V1: t.Final = 107
"""Bytes of the longest line of version 1, its CRLF counted (2.1)."""

_FIXED: t.Final = struct.Struct("!12sBBH")
_IPV4: t.Final = struct.Struct("!4s4sHH")
_IPV6: t.Final = struct.Struct("!16s16sHH")
_UNIX: t.Final = struct.Struct("!108s108s")
_TLV: t.Final = struct.Struct("!BH")

_LOCAL, _PROXY = 0, 1
_UNSPECIFIED = 0
_ADDRESSES: t.Final = {1: _IPV4, 2: _IPV6, 3: _UNIX}
_TRANSPORTS: t.Final = (0, 1, 2)  # unspecified, stream, datagram

_CRC32C_TLV: t.Final = 3
_CRC32C_POLYNOMIAL: t.Final = 0x82F63B78  # Castagnoli's, its bits reversed (RFC 4960, appendix B)


@dataclasses.dataclass(frozen=True, slots=True)
class ProxyHeader:
    """What a header says. ``source`` is the client's address and ``destination`` the one it
    connected to, each as the socket module gives it. Both are None where the proxy speaks for
    itself (LOCAL: a health check) or does not know (UNKNOWN, UNSPEC): then the connection's own
    addresses hold."""

    version: int
    source: SocketAddress = None
    destination: SocketAddress = None


class ProxyParser:
    """Takes a header off the beginning of a stream, however the stream is cut.

    ``limit``: bytes of the longest header of version 2. Less than that is held until the header
    is whole; then ``rest`` is what came behind it.
    """

    __slots__ = ("_held", "_limit", "rest")

    def __init__(self, limit: int = limits.PROXY_HEADER) -> None:
        self._limit = limit
        self._held = b""
        self.rest = b""

    @property
    def pending(self) -> int:
        """Bytes held of an incomplete header."""
        return len(self._held)

    def feed(self, data: bytes) -> ProxyHeader | None:
        """The header, if ``data`` completes it. Feed no more after that.

        Raises ``ProxyHeaderError`` for what is none; the connection must end then (2.1).
        """
        held = self._held + data
        self._held = b""
        size = _size(held, self._limit)
        if size is None or len(held) < size:
            self._held = held
            return None
        self.rest = held[size:]
        header = held[:size]
        return _parse_v1(header) if header.startswith(PREFIX_V1) else _parse_v2(header)


def _size(block: bytes, limit: int) -> int | None:
    """The length of the header that ``block`` begins with; None while that is not known."""
    if SIGNATURE.startswith(block[: len(SIGNATURE)]):
        return _size_v2(block, limit)
    if PREFIX_V1.startswith(block[: len(PREFIX_V1)]):
        return _size_v1(block)
    raise ProxyHeaderError("a PROXY header must come first; what came is none")


# --- version 1 ---------------------------------------------------------------------------------


def _size_v1(block: bytes) -> int | None:
    end = block.find(b"\n", 0, LONGEST_V1) + 1
    if not end and len(block) < LONGEST_V1:
        return None
    if block[end - 2 : end] != b"\r\n":
        raise ProxyHeaderError(f"PROXY line without its CRLF in {LONGEST_V1} bytes")
    return end


def _parse_v1(line: bytes) -> ProxyHeader:
    fields = line[:-2].split(b" ")
    if fields[1] == b"UNKNOWN":  # "must ignore anything presented before the CRLF"
        return ProxyHeader(1)
    family = _FAMILIES_V1.get(fields[1])
    if family is None or len(fields) != 6:
        raise ProxyHeaderError("PROXY line that is not 'TCP4 or TCP6, two addresses, two ports'")
    try:
        source, destination = (family(field.decode("ascii")) for field in fields[2:4])
    except ValueError as exc:  # of a character that is not ASCII, too
        raise ProxyHeaderError("PROXY line with an address that is none of its family") from exc
    return ProxyHeader(
        1, _sockaddr(source, _port(fields[4])), _sockaddr(destination, _port(fields[5]))
    )


def _ipv6(text: str) -> ipaddress.IPv6Address:
    if "%" in text:
        raise ValueError("a scope means nothing to another machine")
    return ipaddress.IPv6Address(text)


_FAMILIES_V1: t.Final[dict[bytes, t.Any]] = {b"TCP4": ipaddress.IPv4Address, b"TCP6": _ipv6}


def _port(text: bytes) -> int:
    """Decimal, 0 to 65535, no leading zero."""
    if not (text.isdigit() and len(text) <= 5 and str(int(text)) == text.decode()):
        raise ProxyHeaderError("PROXY line with a port that is no plain decimal number")
    number = int(text)
    if number > 65535:
        raise ProxyHeaderError("PROXY line with a port over 65535")
    return number


def _sockaddr(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address, port: int
) -> tuple[t.Any, ...]:
    """As accept(2) would have given it. An IPv4 client that reached an IPv6 socket of the proxy
    is the same host as ever, so its address is written as IPv4."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is None:
            return (str(address), port, 0, 0)
        address = address.ipv4_mapped
    return (str(address), port)


# --- version 2 ---------------------------------------------------------------------------------


def _size_v2(block: bytes, limit: int) -> int | None:
    if len(block) < _FIXED.size:
        return None
    _, version_command, family_transport, length = _FIXED.unpack_from(block)
    if version_command >> 4 != 2:
        raise ProxyHeaderError(f"PROXY header of version {version_command >> 4}; 1 and 2 are known")
    command = version_command & 15
    if command not in (_LOCAL, _PROXY):
        raise ProxyHeaderError(f"PROXY header with the unknown command {command}")
    family, transport = family_transport >> 4, family_transport & 15
    # "LOCAL: discard the protocol block including the family which is ignored"
    if command == _PROXY and not (family <= len(_ADDRESSES) and transport in _TRANSPORTS):
        raise ProxyHeaderError(f"PROXY header of the unknown family {family_transport:#04x}")
    size: int = _FIXED.size + length
    if size > limit:
        raise ProxyHeaderError(f"PROXY header of {size} bytes; the limit is {limit}")
    return size


def _parse_v2(header: bytes) -> ProxyHeader:
    _, version_command, family_transport, length = _FIXED.unpack_from(header)
    family, transport = family_transport >> 4, family_transport & 15
    if version_command & 15 == _LOCAL or _UNSPECIFIED in (family, transport):
        return ProxyHeader(2)
    layout = _ADDRESSES[family]
    if length < layout.size:
        raise ProxyHeaderError(f"PROXY header with {length} of {layout.size} bytes of addresses")
    _check_tlvs(header, _FIXED.size + layout.size)
    fields = layout.unpack_from(header, _FIXED.size)
    if layout is _UNIX:
        return ProxyHeader(2, *map(_unix_name, fields))
    source, destination = map(ipaddress.ip_address, fields[:2])
    return ProxyHeader(2, _sockaddr(source, fields[2]), _sockaddr(destination, fields[3]))


def _unix_name(field: bytes) -> str | bytes:
    """A sun_path as the socket module gives it: a path, or bytes for an abstract name."""
    if field.startswith(b"\0"):
        return field.rstrip(b"\0") or ""
    return os.fsdecode(field.partition(b"\0")[0])


def _check_tlvs(header: bytes, at: int) -> None:
    """The (type, length, value) triples from ``at`` on must fill the header exactly."""
    checked = False
    while at < len(header):
        if len(header) - at < _TLV.size:
            raise ProxyHeaderError("PROXY header that ends within a TLV")
        kind, length = _TLV.unpack_from(header, at)
        at += _TLV.size
        if length > len(header) - at:
            raise ProxyHeaderError("PROXY header with a TLV longer than what is left of it")
        if kind == _CRC32C_TLV:
            if checked or length != 4:  # once: a sum over the header is what costs here
                raise ProxyHeaderError("PROXY header with a checksum that is no single number")
            checked = True
            _check_sum(header, at)
        at += length


def _check_sum(header: bytes, at: int) -> None:
    """2.2.3: the sum of the whole header with zeros where the sum stands."""
    said = int.from_bytes(header[at : at + 4])
    if crc32c(b"".join((header[:at], bytes(4), header[at + 4 :]))) != said:
        raise ProxyHeaderError("PROXY header whose checksum is wrong")


@functools.cache
def _crc32c_table() -> tuple[int, ...]:
    """The remainder of each byte; made when a first header has a checksum."""
    remainders = list(range(256))
    for _ in range(8):
        remainders = [r >> 1 ^ (_CRC32C_POLYNOMIAL if r & 1 else 0) for r in remainders]
    return tuple(remainders)


def crc32c(data: bytes) -> int:
    """CRC-32C (Castagnoli) of ``data``: RFC 4960, appendix B.

    >>> hex(crc32c(b"123456789"))
    '0xe3069283'
    """
    table, remainder = _crc32c_table(), 0xFFFFFFFF
    for byte in data:
        remainder = table[(remainder ^ byte) & 255] ^ remainder >> 8
    return remainder ^ 0xFFFFFFFF
