"""A frame read from the link up to TCP or UDP.

    frame --links--> IPv4 or IPv6 --ip--> TCP --tcp--> Segment
                                          UDP -------> Datagram
    anything else is Other, with a word that says what

What is broken, or too short to be read, raises ``PacketError``. Nothing else is ever raised,
whatever the bytes: they are a stranger's.
"""

from __future__ import annotations

import ipaddress
import typing as t

from jackfield.capture import ip, links, tcp
from jackfield.capture.frames import Frame
from jackfield.errors import PacketError


class End(t.NamedTuple):
    """One end of a connection: a packed IPv4 or IPv6 address, and a port."""

    host: bytes
    port: int

    def __str__(self) -> str:
        host = ipaddress.ip_address(self.host)
        return f"{host}:{self.port}" if len(self.host) == 4 else f"[{host}]:{self.port}"


class Segment(t.NamedTuple):
    """A TCP segment. ``length`` is that of its data on the wire, ``payload`` what was captured
    of it; ``flags`` are tcp.FIN, tcp.SYN, ... or-ed; ``window`` is not yet scaled."""

    time: int
    source: End
    destination: End
    seq: int
    ack: int
    flags: int
    window: int
    options: tcp.Options
    length: int
    payload: bytes


class Datagram(t.NamedTuple):
    """A UDP datagram: ``length`` and ``payload`` as for ``Segment``."""

    time: int
    source: End
    destination: End
    length: int
    payload: bytes


class Other(t.NamedTuple):
    """Neither: ``kind`` says what, safe to print."""

    time: int
    kind: str


Packet: t.TypeAlias = Segment | Datagram | Other


def decode(frame: Frame) -> Packet:
    """What ``frame`` carries. Raises ``PacketError``."""
    kind, at = links.network_layer(frame.link, frame.data)
    if kind not in (links.ETHERTYPE_IPV4, links.ETHERTYPE_IPV6):
        return Other(frame.time, links.ethertype_name(kind))
    header = ip.parse(kind, frame.data, at, max(frame.length, len(frame.data)))
    if header.fragment:
        return Other(frame.time, "IP fragment")
    if header.protocol == ip.TCP:
        return _segment(frame, header)
    if header.protocol == ip.UDP:
        return _datagram(frame, header)
    return Other(frame.time, ip.protocol_name(header.protocol))


def _segment(frame: Frame, header: ip.Ip) -> Segment:
    head = tcp.parse(frame.data, header.at, header.length)
    begin = header.at + head.size
    return Segment(
        frame.time,
        End(header.source, head.source),
        End(header.destination, head.destination),
        head.seq,
        head.ack,
        head.flags,
        head.window,
        head.options,
        header.length - head.size,
        frame.data[begin : header.at + header.length],
    )


def _datagram(frame: Frame, header: ip.Ip) -> Datagram:
    block = frame.data[header.at : header.at + header.length]
    if len(block) < 8:
        raise PacketError("cut short within its UDP header")
    source, target, length = (int.from_bytes(block[i : i + 2]) for i in (0, 2, 4))
    length = length or header.length  # 0: a jumbogram (RFC 2675, 4)
    if not 8 <= length <= header.length:
        raise PacketError(f"UDP claims {length} bytes; IP carries {header.length}")
    ends = End(header.source, source), End(header.destination, target)
    return Datagram(frame.time, *ends, length - 8, block[8:length])
