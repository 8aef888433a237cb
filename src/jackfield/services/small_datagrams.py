"""The small services over UDP: echo, discard, daytime and time. One socket, no accept.

A datagram's source address is easily forged, so that a service which answers is a weapon: it
can be made to flood a third party, or two of them to answer each other for ever. Hence:

- no answer is larger than its request. ``time`` answers requests of 4 bytes or more, ``daytime``
  those that are at least as long as its line; shorter ones are ignored;
- no answer goes to the port of a small service, nor to one of this server's own;
- every answer bears ``TRAFFIC_CLASS``, and what arrives with it is not answered: two such
  services on any ports fall silent after one answer.

On Unix datagram sockets a sender's name cannot be forged, and there are no ports or classes.

Sans-I/O; the clock is handed in.
"""

from __future__ import annotations

import time
import typing as t

from jackfield.protocol import DatagramProtocol
from jackfield.services.small import Clock, daytime, seconds_since_1900

SMALL_SERVICE_PORTS: t.Final = frozenset({7, 9, 11, 13, 15, 17, 18, 19, 37})
"""echo, discard, systat, daytime, netstat, qotd, msp, chargen, time (IANA)."""

TRAFFIC_CLASS: t.Final = 0x04
"""DSCP 1, "lower effort" (RFC 8622): right for such traffic, and borne by hardly any other."""


class SmallDatagrams(DatagramProtocol):
    """Base: answers a request with ``answer(request)`` unless that could do harm.

    ``own_ports``: the ports of this server's other small services; each adds its own.
    ``ignored`` counts the requests that were not answered.
    """

    __slots__ = ("_clock", "_own_ports", "_transport", "ignored")

    def __init__(self, own_ports: set[int], clock: Clock = time.time) -> None:
        self._own_ports = own_ports
        self._clock = clock
        self.ignored = 0

    def answer(self, request: bytes) -> bytes | None:
        """The answer, or None for none."""
        raise NotImplementedError

    def connection_made(self, transport: t.Any) -> None:
        self._transport = transport
        own = transport.get_extra_info("sockname")
        if isinstance(own, tuple):  # Unix sockets have no ports
            self._own_ports.add(own[1])
        transport.ignore_marked(TRAFFIC_CLASS)

    def datagram_received(self, data: bytes, addr: t.Any) -> None:
        port = addr[1] if isinstance(addr, tuple) else None
        answer = self.answer(data)
        if (
            answer is None
            or not addr  # a Unix peer without a name
            or len(answer) > len(data)
            or port in SMALL_SERVICE_PORTS
            or port in self._own_ports
        ):
            self.ignored += 1
            return
        self._transport.sendto(answer, addr)


class EchoDatagrams(SmallDatagrams):
    """Sends each datagram back (RFC 862)."""

    __slots__ = ()

    def answer(self, request: bytes) -> bytes:
        return request


class DiscardDatagrams(SmallDatagrams):
    """Throws each datagram away (RFC 863)."""

    __slots__ = ()

    def answer(self, request: bytes) -> None:
        return None


class DaytimeDatagrams(SmallDatagrams):
    """Tells the date and time in words (RFC 867)."""

    __slots__ = ()

    def answer(self, request: bytes) -> bytes:
        return daytime(self._clock())


class TimeDatagrams(SmallDatagrams):
    """Tells the seconds since 1900 (RFC 868)."""

    __slots__ = ()

    def answer(self, request: bytes) -> bytes:
        return seconds_since_1900(self._clock())
