"""Packets into what is shown of them: who is followed, what is counted only, what was broken.

``Wire.frame`` takes a frame, from a file or a socket, and gives a step of a connection, a datagram,
or nothing. Must not know how they are printed, nor where frames come from.
"""

from __future__ import annotations

import collections
import ipaddress
import socket
import typing as t

from jackfield import limits
from jackfield.address import resolve
from jackfield.capture import decode
from jackfield.capture.bpf import MOST_PLACES, Place
from jackfield.capture.decode import Datagram, End, Segment
from jackfield.capture.frames import Frame
from jackfield.endpoint import Endpoint
from jackfield.errors import PacketError, UsageError
from jackfield.tools.tcp_connection import Step
from jackfield.tools.tcp_tracker import TcpTracker

_PROTOCOLS: t.Final = {
    "tcp": socket.IPPROTO_TCP,
    "tls": socket.IPPROTO_TCP,
    "udp": socket.IPPROTO_UDP,
}


class Wanted(t.NamedTuple):
    """Whose packets are looked at: those of ``protocol`` (IPPROTO_TCP or IPPROTO_UDP) from or to
    one of ``places``, or all where there are none."""

    protocol: int = socket.IPPROTO_TCP
    places: tuple[Place, ...] = ()

    @classmethod
    def by(cls, text: str) -> Wanted:
        """What an endpoint's text stands for. Without a host it is every host's port, with port 0
        every port of the host. Raises ``UsageError``."""
        endpoint = Endpoint.parse(text)
        if endpoint.scheme not in _PROTOCOLS:
            raise UsageError(f"{endpoint}: no packets to see; tcp:// tls:// and udp:// have some")
        hosts = [_packed(str(there.sockaddr[0])) for there in resolve(endpoint)]
        if not endpoint.host or not any(map(any, hosts)):  # no host, 0.0.0.0 or [::]: whichever
            hosts = [b""]
        places = ((host, endpoint.port) for host in dict.fromkeys(hosts))
        return cls(_PROTOCOLS[endpoint.scheme], tuple(places)[:MOST_PLACES])

    def admits(self, packet: Segment | Datagram) -> bool:
        """Is it one of those?"""
        protocol = socket.IPPROTO_TCP if isinstance(packet, Segment) else socket.IPPROTO_UDP
        if protocol != self.protocol:
            return False
        return not self.places or self.has(packet.source) or self.has(packet.destination)

    def has(self, end: End) -> bool:
        """Is ``end`` one of the places?"""
        return any(host in (b"", end.host) and port in (0, end.port) for host, port in self.places)


def _packed(host: str) -> bytes:
    return ipaddress.ip_address(host.partition("%")[0]).packed


EVERYTHING: t.Final = Wanted()
"""All TCP."""


class Wire:
    """What goes over one wire. ``packets`` counts frames; ``others`` those that are not looked at,
    by kind; ``broken`` those that could not be read, and ``trouble`` is what the first had."""

    def __init__(self, wanted: Wanted = EVERYTHING, most: int = limits.WIRE_CONNECTIONS) -> None:
        self.wanted = wanted
        self.tracker = TcpTracker(most, self._likelier_server)
        self.packets = self.broken = 0
        self.trouble = ""
        self.others: collections.Counter[str] = collections.Counter()

    def frame(self, frame: Frame) -> Step | Datagram | None:
        """What ``frame`` is, if it is to be shown. Never raises for a frame's content."""
        self.packets += 1
        try:
            packet = decode.decode(frame)
        except PacketError as exc:
            self.broken += 1
            self.trouble = self.trouble or f"packet {self.packets}: {exc}"
            return None
        if isinstance(packet, decode.Other):
            self.others[packet.kind] += 1
        elif not self.wanted.admits(packet):
            self.others["UDP" if isinstance(packet, Datagram) else "TCP of others"] += 1
        elif isinstance(packet, Segment):
            return self.tracker.segment(packet)
        else:
            return packet
        return None

    def _likelier_server(self, end: End) -> tuple[bool, int]:
        """Who was asked for by its endpoint, else the lower port."""
        asked_for = bool(self.wanted.places) and self.wanted.has(end)
        return asked_for, -end.port
