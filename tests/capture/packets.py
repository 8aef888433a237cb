"""Packets made by hand, byte for byte as they stand on the wire, and capture files around them."""

from __future__ import annotations

import ipaddress
import struct
import typing as t
from collections.abc import Callable

from jackfield.capture import frames, pcapng, tcp
from jackfield.capture.frames import Frame

CLIENT: t.Final = ("10.0.0.1", 40000)
SERVER: t.Final = ("10.0.0.2", 80)
CLIENT6: t.Final = ("2001:db8::1", 40000)
SERVER6: t.Final = ("2001:db8::2", 80)

Place = tuple[str, int]

SYN_OPTIONS: t.Final = bytes.fromhex("020405b4 0402 080a 00000001 00000000 01 030307")
"""MSS 1460, SACK permitted, timestamps, NOP, window scale 7: what Linux sends."""


def packed(host: str) -> bytes:
    return ipaddress.ip_address(host).packed


def tcp_segment(
    *,
    source: int = 40000,
    target: int = 80,
    seq: int = 0,
    ack: int = 0,
    flags: int = tcp.ACK,
    window: int = 1000,
    payload: bytes = b"",
    options: bytes = b"",
) -> bytes:
    options += bytes(-len(options) % 4)
    offset = (20 + len(options)) // 4 << 4
    numbers = (source, target, seq & 0xFFFFFFFF, ack & 0xFFFFFFFF, offset, flags, window, 0, 0)
    return struct.pack("!HHIIBBHHH", *numbers) + options + payload


def ipv4(
    payload: bytes,
    *,
    source: str = CLIENT[0],
    target: str = SERVER[0],
    protocol: int = 6,
    options: bytes = b"",
    fragment: int = 0,
    total: int | None = None,
) -> bytes:
    size = 20 + len(options)
    total = size + len(payload) if total is None else total
    head = (0x40 | size // 4, 0, total, 7, fragment, 64, protocol, 0)
    return struct.pack("!BBHHHBBH", *head) + packed(source) + packed(target) + options + payload


def ipv6(
    payload: bytes,
    *,
    source: str = CLIENT6[0],
    target: str = SERVER6[0],
    protocol: int = 6,
    extensions: bytes = b"",
    length: int | None = None,
) -> bytes:
    length = len(extensions) + len(payload) if length is None else length
    head = struct.pack("!IHBB", 6 << 28, length, protocol, 64)
    return head + packed(source) + packed(target) + extensions + payload


def udp(payload: bytes, source: int = 5000, target: int = 53, length: int | None = None) -> bytes:
    length = 8 + len(payload) if length is None else length
    return struct.pack("!HHHH", source, target, length, 0) + payload


def kind_of(ip: bytes) -> int:
    return 0x0800 if ip[0] >> 4 == 4 else 0x86DD


def ethernet(ip: bytes, *tags: int) -> bytes:
    """With a VLAN tag for each of ``tags``, their EtherTypes."""
    words = [struct.pack("!HH", tag, 0x0123) for tag in tags]
    return bytes(12) + b"".join(words) + struct.pack("!H", kind_of(ip)) + ip


def sll(ip: bytes) -> bytes:
    return struct.pack("!HHH8sH", 0, 1, 6, bytes(8), kind_of(ip)) + ip


def sll2(ip: bytes) -> bytes:
    return struct.pack("!HHIHBB8s", kind_of(ip), 0, 1, 1, 0, 6, bytes(8)) + ip


def null(ip: bytes, order: str = "<") -> bytes:
    return struct.pack(order + "I", 2 if ip[0] >> 4 == 4 else 30) + ip


WRAPPED: t.Final[dict[str, tuple[int, Callable[[bytes], bytes]]]] = {
    "ethernet": (frames.ETHERNET, ethernet),
    "vlan": (frames.ETHERNET, lambda ip: ethernet(ip, 0x8100)),
    "two tags": (frames.ETHERNET, lambda ip: ethernet(ip, 0x88A8, 0x8100)),
    "padded": (frames.ETHERNET, lambda ip: ethernet(ip).ljust(90, b"\0")),
    "sll": (frames.SLL, sll),
    "sll2": (frames.SLL2, sll2),
    "null": (frames.NULL, null),
    "null of big endians": (frames.NULL, lambda ip: null(ip, ">")),
    "loop": (frames.LOOP, lambda ip: null(ip, ">")),
    "raw": (frames.RAW, bytes),
}
"""Each way in which a link hands an IP packet over."""


def frame(data: bytes, link: int = frames.RAW, time: int = 0) -> Frame:
    return Frame(time, link, data, len(data))


class Talk:
    """Segments between CLIENT and SERVER, a millisecond apart, as frames. ``ip``: ipv4 or ipv6."""

    def __init__(
        self,
        client_isn: int = 1000,
        server_isn: int = 5000,
        client_port: int = CLIENT[1],
        ip: Callable[..., bytes] = ipv4,
    ) -> None:
        self.isn = {"c": client_isn, "s": server_isn}
        self.frames: list[Frame] = []
        self._ip = ip
        client, server = (CLIENT, SERVER) if ip is ipv4 else (CLIENT6, SERVER6)
        self._ends = {"c": (client[0], client_port), "s": server}

    def say(self, who: str, flags: int, seq: int = 0, ack: int = 0, **more: t.Any) -> Frame:
        """``who`` is "c" or "s"; ``seq`` and ``ack`` count from the two ISNs."""
        other = "s" if who == "c" else "c"
        (host, port), (to_host, to_port) = self._ends[who], self._ends[other]
        segment = tcp_segment(
            source=port,
            target=to_port,
            seq=self.isn[who] + seq,
            ack=self.isn[other] + ack if flags & tcp.ACK else 0,
            flags=flags,
            **more,
        )
        data = self._ip(segment, source=host, target=to_host)
        made = frame(data, time=len(self.frames) * 10**6)
        self.frames.append(made)
        return made

    def handshake(self, options: bytes = SYN_OPTIONS) -> None:
        self.say("c", tcp.SYN, options=options)
        self.say("s", tcp.SYN | tcp.ACK, ack=1, options=options)
        self.say("c", tcp.ACK, 1, 1)


# --- files ---------------------------------------------------------------------------------------


def pcap_file(
    records: t.Iterable[tuple[int, int, bytes, int]],
    order: str = "<",
    magic: int = 0xA1B2C3D4,
    link: int = frames.RAW,
) -> bytes:
    """``records``: seconds, fraction, data, length on the wire."""
    parts = [struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, 262144, link)]
    for seconds, fraction, data, length in records:
        parts.append(struct.pack(order + "IIII", seconds, fraction, len(data), length) + data)
    return b"".join(parts)


def block(kind: int, body: bytes, order: str = "<") -> bytes:
    body += bytes(-len(body) % 4)
    size = len(body) + 12
    return struct.pack(order + "II", kind, size) + body + struct.pack(order + "I", size)


def section(order: str = "<", major: int = 1) -> bytes:
    body = struct.pack(order + "IHHq", pcapng.ORDER_MAGIC, major, 0, -1)
    return block(pcapng.SECTION, body, order)


def interface(
    order: str = "<", link: int = frames.RAW, snaplen: int = 0, options: bytes = b""
) -> bytes:
    return block(pcapng.INTERFACE, struct.pack(order + "HHI", link, 0, snaplen) + options, order)


def option(kind: int, value: bytes, order: str = "<") -> bytes:
    return struct.pack(order + "HH", kind, len(value)) + value + bytes(-len(value) % 4)


def enhanced(
    data: bytes, ticks: int = 0, number: int = 0, order: str = "<", captured: int | None = None
) -> bytes:
    captured = len(data) if captured is None else captured
    head = struct.pack(
        order + "IIIII", number, ticks >> 32, ticks & 0xFFFFFFFF, captured, len(data)
    )
    return block(pcapng.PACKET, head + data, order)
