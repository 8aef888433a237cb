"""The kernel's filter, run by a small machine of the test's own: it takes what is wanted, and all
of that. (That the kernel runs it alike is tested in tests/kernel/test_packets.py.)
"""

from __future__ import annotations

import socket
import typing as t

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.capture.packets import ipv4, ipv6, tcp_segment, udp

from jackfield.capture import bpf, frames
from jackfield.capture.bpf import Instruction, Place
from jackfield.capture.decode import Segment, decode
from jackfield.capture.frames import Frame
from jackfield.tools.wire import Wanted

LOOPBACK: t.Final = 1
HOSTS4: t.Final = ("10.0.0.1", "10.0.0.2", "10.9.9.9")
HOSTS6: t.Final = ("2001:db8::1", "2001:db8::2", "2001:db8:1::1")
PORTS: t.Final = (80, 40000, 7)


def run(program: list[Instruction], packet: bytes, kind: int = 0, interface: int = 2) -> int:
    """The instructions that the filter uses, as linux/filter.h has them."""
    protocol = 0x0800 if packet[0] >> 4 == 4 else 0x86DD
    facts = {0xFFFFF000: protocol, 0xFFFFF004: kind, 0xFFFFF008: interface}
    a = x = at = 0
    for _ in range(len(program)):  # it jumps forwards only
        code, yes, no, k = program[at]
        at += 1
        if code in (0x20, 0x28, 0x30, 0x48):
            size = {0x20: 4, 0x28: 2, 0x30: 1, 0x48: 2}[code]
            where = k + x if code == 0x48 else k
            if k not in facts and where + size > len(packet):
                return 0  # a load beyond the packet ends the program
            a = facts[k] if k in facts else int.from_bytes(packet[where : where + size])
        elif code == 0xB1:
            x = 4 * (packet[k] & 15)
        elif code == 0x05:
            at += k
        elif code in (0x15, 0x45):
            at += yes if (a == k if code == 0x15 else a & k) else no
        else:
            assert code == 0x06
            return k
    raise AssertionError("it does not end")


def places(hosts: t.Sequence[str], ports: t.Sequence[int]) -> st.SearchStrategy[Place]:
    known = [socket.inet_pton(socket.AF_INET6 if ":" in h else socket.AF_INET, h) for h in hosts]
    return st.tuples(st.sampled_from([b"", *known]), st.sampled_from([0, *ports]))


FIELDS: t.Final = st.tuples(
    *map(st.sampled_from, (HOSTS4, HOSTS4, HOSTS6, HOSTS6, PORTS, PORTS, (b"", b"\x94\x04\0\0")))
)


@given(st.lists(places((*HOSTS4, *HOSTS6), PORTS), max_size=5), FIELDS)
def test_it_takes_what_is_wanted(wanted: list[Place], fields: tuple[t.Any, ...]) -> None:
    source4, target4, source6, target6, port, to_port, options = fields
    segment = tcp_segment(source=port, target=to_port)
    program = bpf.program(wanted, LOOPBACK)
    for packet in (
        ipv4(segment, source=source4, target=target4, options=options),
        ipv6(segment, source=source6, target=target6),
    ):
        found = decode(Frame(0, frames.RAW, packet, len(packet)))
        assert isinstance(found, Segment)
        admitted = Wanted(places=tuple(wanted)).admits(found)
        assert bool(run(program, packet)) == admitted


def test_only_the_protocol() -> None:
    for protocol, takes in ((socket.IPPROTO_TCP, False), (socket.IPPROTO_UDP, True)):
        program = bpf.program([(b"", 53)], LOOPBACK, protocol)
        assert bool(run(program, ipv4(udp(b"x"), protocol=17))) == takes
        assert bool(run(program, ipv6(udp(b"x"), protocol=17))) == takes


def test_loopback_once() -> None:
    program = bpf.program([], LOOPBACK)
    packet = ipv4(tcp_segment())
    for kind, interface, takes in ((4, 1, False), (0, 1, True), (4, 2, True), (0, 2, True)):
        assert bool(run(program, packet, kind, interface)) == takes


def test_fragments() -> None:
    program = bpf.program([(b"", 80)], LOOPBACK)
    assert run(program, ipv4(tcp_segment(), fragment=0x2000))
    assert not run(program, ipv4(tcp_segment(), fragment=0x2001))


@pytest.mark.parametrize("kind", [0, 43, 44, 60])
def test_behind_ipv6_extensions_all_passes(kind: int) -> None:
    packet = ipv6(tcp_segment(target=9), protocol=kind, extensions=b"\x06\0" + bytes(6))
    assert run(bpf.program([(b"", 80)], LOOPBACK), packet)


@pytest.mark.parametrize("size", range(0, 45, 4))
def test_a_packet_cut_short_ends_it(size: int) -> None:
    whole = ipv4(tcp_segment())
    assert isinstance(run(bpf.program([(b"", 80)], LOOPBACK), whole[: max(size, 1)]), int)


def test_the_largest_fits() -> None:
    host = socket.inet_pton(socket.AF_INET6, "::1")
    program = bpf.program([(host, 80)] * bpf.MOST_PLACES, LOOPBACK)
    assert len(program) < 4096  # BPF_MAXINSNS
    assert len(bpf.packed(program)) == 8 * len(program)
    assert run(program, ipv6(tcp_segment(), target="::1"))
    with pytest.raises(ValueError, match="65 places"):
        bpf.program([(b"", 80)] * 65, LOOPBACK)
