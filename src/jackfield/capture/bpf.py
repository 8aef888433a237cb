"""A classic BPF program for the kernel: which packets of a packet socket are worth a copy.

Runs over every packet of the interface, so that a flood which is not asked for costs no copy and
no Python. It is for a socket of type SOCK_DGRAM, whose data begin with the IP header:

    on loopback, a packet that is on its way out: no; it comes in as well (AF_PACKET shows both)
    IPv4: TCP (or UDP), no later fragment, and one of the places is its source or destination
    IPv6: the same; behind extension headers a program without loops cannot look, so they pass,
          and who reads the socket looks again

The instructions are those of linux/filter.h. Must not know sockets.
"""

from __future__ import annotations

import struct
import typing as t
from collections.abc import Iterable

from jackfield.capture.frames import SNAPLEN
from jackfield.capture.ip import TCP

Place: t.TypeAlias = tuple[bytes, int]
"""A packed address, b"" for any, and a port, 0 for any."""

Instruction: t.TypeAlias = tuple[int, int, int, int]
"""Code, jump if true, jump if false, k (struct sock_filter)."""

MOST_PLACES: t.Final = 64
"""A name has a few addresses; each costs some twenty of the kernel's 4,096 instructions."""

_LOAD_WORD: t.Final = 0x20
_LOAD_HALF: t.Final = 0x28
_LOAD_BYTE: t.Final = 0x30
_LOAD_HALF_INDEXED: t.Final = 0x48
_INDEX_IHL: t.Final = 0xB1
"""x = 4 * (the low half of the byte at k): the length of an IPv4 header."""
_JUMP_EQUAL: t.Final = 0x15
_JUMP_SET: t.Final = 0x45
_RETURN: t.Final = 0x06

_ANCILLARY: t.Final = 0xFFFFF000  # SKF_AD_OFF, -4096: facts beside the packet
_PROTOCOL, _PACKET_TYPE, _INTERFACE = (_ANCILLARY + i for i in (0, 4, 8))
_OUTGOING: t.Final = 4  # PACKET_OUTGOING, linux/if_packet.h

_TAKE: t.Final[Instruction] = (_RETURN, 0, 0, SNAPLEN)
_DROP: t.Final[Instruction] = (_RETURN, 0, 0, 0)

_V6_EXTENSIONS: t.Final = (0, 43, 44, 60)  # hop-by-hop, routing, fragment, destination options


def program(places: Iterable[Place], loopback: int, protocol: int = TCP) -> list[Instruction]:
    """Take what comes from or goes to one of ``places``; with none, all of ``protocol``.

    ``loopback``: the index of the loopback interface.
    """
    wanted = list(places)
    if len(wanted) > MOST_PLACES:
        raise ValueError(f"{len(wanted)} places; at most {MOST_PLACES}")
    fourth = _ipv4([p for p in wanted if len(p[0]) in (0, 4)], protocol, not wanted)
    sixth = _ipv6([p for p in wanted if len(p[0]) in (0, 16)], protocol, not wanted)
    return [
        (_LOAD_WORD, 0, 0, _PACKET_TYPE),
        (_JUMP_EQUAL, 0, 3, _OUTGOING),
        (_LOAD_WORD, 0, 0, _INTERFACE),
        (_JUMP_EQUAL, 0, 1, loopback),
        _DROP,
        (_LOAD_WORD, 0, 0, _PROTOCOL),
        (_JUMP_EQUAL, 1, 0, 0x86DD),  # over the next, which leaves for IPv4
        (0x05, 0, 0, len(sixth)),  # jump always, as far as k says
        *sixth,
        (_JUMP_EQUAL, 1, 0, 0x0800),
        _DROP,
        *fourth,
    ]


def packed(instructions: Iterable[Instruction]) -> bytes:
    """As an array of struct sock_filter, in the machine's own byte order."""
    return b"".join(struct.pack("HBBI", *each) for each in instructions)


def _ipv4(places: list[Place], protocol: int, anything: bool) -> list[Instruction]:
    code: list[Instruction] = [
        (_LOAD_BYTE, 0, 0, 9),
        (_JUMP_EQUAL, 1, 0, protocol),
        _DROP,
        (_LOAD_HALF, 0, 0, 6),
        (_JUMP_SET, 0, 1, 0x1FFF),  # a fragment that is not the first has no ports
        _DROP,
        (_INDEX_IHL, 0, 0, 0),
    ]
    for host, port in places:
        for at, port_at in ((12, 0), (16, 2)):
            code += _match(host, at, (_LOAD_HALF_INDEXED, 0, 0, port_at), port)
    return [*code, _TAKE if anything else _DROP]


def _ipv6(places: list[Place], protocol: int, anything: bool) -> list[Instruction]:
    code: list[Instruction] = [(_LOAD_BYTE, 0, 0, 6)]
    for kind in _V6_EXTENSIONS:
        code += [(_JUMP_EQUAL, 0, 1, kind), _TAKE]
    code += [(_JUMP_EQUAL, 1, 0, protocol), _DROP]
    for host, port in places:
        for at, port_at in ((8, 40), (24, 42)):
            code += _match(host, at, (_LOAD_HALF, 0, 0, port_at), port)
    return [*code, _TAKE if anything else _DROP]


def _match(host: bytes, at: int, load_port: Instruction, port: int) -> list[Instruction]:
    """Take the packet if its address at ``at`` is ``host`` and its port ``port``; else go on."""
    tests: list[tuple[Instruction, int]] = [
        ((_LOAD_WORD, 0, 0, at + i), int.from_bytes(host[i : i + 4]))
        for i in range(0, len(host), 4)
    ]
    if port:
        tests.append((load_port, port))
    code: list[Instruction] = []
    for number, (load, value) in enumerate(tests):
        left = 2 * (len(tests) - number - 1) + 1  # instructions to the end, the last one a return
        code += [load, (_JUMP_EQUAL, 0, left, value)]
    return [*code, _TAKE]
