"""TCP's header (RFC 9293, 3.1): numbers, flags, window, and the options that a ladder shows.

Options end where they stop making sense, as in the kernel: the segment counts all the same, and
says that they were broken. Must not know connections.
"""

from __future__ import annotations

import struct
import typing as t

from jackfield.errors import PacketError

FIN, SYN, RST, PSH, ACK, URG, ECE, CWR = (1 << bit for bit in range(8))
FLAG_NAMES: t.Final = ("FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR")

MOST_SCALE: t.Final = 14
"""A larger window scale counts as this one (RFC 7323, 2.3)."""

_HEADER: t.Final = struct.Struct("!HHIIBBHHH")
_END, _NOP, _MSS, _SCALE, _SACK_OK, _SACK, _TIMES = 0, 1, 2, 3, 4, 5, 8


class Options(t.NamedTuple):
    """``mss`` and ``scale`` are None where absent; ``sacks`` are (first, behind the last)
    sequence numbers; ``times`` are a timestamp and the one it echoes (RFC 7323)."""

    mss: int | None = None
    scale: int | None = None
    sack_ok: bool = False
    sacks: tuple[tuple[int, int], ...] = ()
    times: tuple[int, int] | None = None
    broken: bool = False


NO_OPTIONS: t.Final = Options()


class Header(t.NamedTuple):
    """``size``: bytes of the header, options included. ``flags`` are FIN, SYN, ... or-ed."""

    source: int
    destination: int
    seq: int
    ack: int
    flags: int
    window: int
    size: int
    options: Options


def parse(data: bytes, at: int, length: int) -> Header:
    """The header at ``data[at:]`` of a segment of ``length`` bytes. Raises ``PacketError``."""
    if min(len(data) - at, length) < _HEADER.size:
        raise PacketError("cut short within its TCP header")
    source, target, seq, ack, offset, flags, window, _, _ = _HEADER.unpack_from(data, at)
    size = (offset >> 4) * 4
    if not _HEADER.size <= size <= length:
        raise PacketError(f"TCP claims a header of {size} bytes in a segment of {length}")
    if at + size > len(data):
        raise PacketError("cut short within its TCP options")
    options = parse_options(data[at + _HEADER.size : at + size])
    return Header(source, target, seq, ack, flags, window, size, options)


def parse_options(block: bytes) -> Options:
    """What stands behind the header's 20 bytes."""
    if not block:
        return NO_OPTIONS
    found: dict[str, t.Any] = {}
    at = 0
    while at < len(block) and block[at] != _END:
        if block[at] == _NOP:
            at += 1
            continue
        size = block[at + 1] if at + 1 < len(block) else 0
        if size < 2 or at + size > len(block):
            found["broken"] = True
            break
        _read_option(block[at], block[at + 2 : at + size], found)
        at += size
    return Options(**found)


def _read_option(kind: int, value: bytes, found: dict[str, t.Any]) -> None:
    """One of a length that is not its kind's is passed over, as in the kernel."""
    if kind == _MSS and len(value) == 2:
        found["mss"] = int.from_bytes(value)
    elif kind == _SCALE and len(value) == 1:
        found["scale"] = min(value[0], MOST_SCALE)
    elif kind == _SACK_OK and not value:
        found["sack_ok"] = True
    elif kind == _SACK and value and len(value) % 8 == 0:
        found["sacks"] = tuple(struct.iter_unpack("!II", value))
    elif kind == _TIMES and len(value) == 8:
        found["times"] = struct.unpack("!II", value)


def flags_text(flags: int) -> str:
    """``SYN,ACK``; "none" for no flag at all, which no TCP sends.

    >>> flags_text(SYN | ACK)
    'SYN,ACK'
    """
    return ",".join(name for bit, name in enumerate(FLAG_NAMES) if flags >> bit & 1) or "none"
