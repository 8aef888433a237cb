"""Segments sorted into connections, of which a bounded number is followed.

Two ends are one connection until one of them begins another with a SYN of its own. When there are
too many, one that is over is forgotten first, then the one that was silent longest.
"""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Callable, Iterator

from jackfield import limits
from jackfield.capture import tcp
from jackfield.capture.decode import End, Segment
from jackfield.tools.tcp_connection import Connection, Step

Ends = tuple[End, End]


def _lower_port(end: End) -> tuple[bool, int]:
    return False, -end.port


class TcpTracker:
    """``likelier_server`` ranks the ends of a connection whose beginning was not seen: the higher
    is taken for the server. Without it, the end with the lower port is.

    ``forgotten`` counts connections that were given up for others.
    """

    def __init__(
        self,
        most: int = limits.WIRE_CONNECTIONS,
        likelier_server: Callable[[End], tuple[bool, int]] = _lower_port,
    ) -> None:
        self._most = most
        self._rank = likelier_server
        self._numbers = itertools.count(1)
        self._by_ends: dict[Ends, Connection] = {}
        self._open: OrderedDict[int, Connection] = OrderedDict()
        self._over: OrderedDict[int, Connection] = OrderedDict()
        self.forgotten = 0

    def segment(self, segment: Segment) -> Step:
        """What ``segment`` is in its connection."""
        ends = _key(segment.source, segment.destination)
        connection = self._by_ends.get(ends)
        if connection is None or connection.begins_anew(segment):
            connection = self._begin(ends, segment)
        step = connection.step(segment)
        self._file(connection)
        return step

    def connections(self) -> list[Connection]:
        """All that are remembered, by number."""
        return [each for _, each in sorted([*self._open.items(), *self._over.items()])]

    def __iter__(self) -> Iterator[Connection]:
        return iter(self.connections())

    def _begin(self, ends: Ends, first: Segment) -> Connection:
        if len(self._open) + len(self._over) >= self._most:
            self._forget()
        client, server = self._client_first(first)
        connection = Connection(next(self._numbers), client, server, first)
        self._by_ends[ends] = connection
        return connection

    def _client_first(self, first: Segment) -> Ends:
        if first.flags & tcp.SYN:
            answers = bool(first.flags & tcp.ACK)
        else:
            answers = self._rank(first.source) > self._rank(first.destination)
        if answers:
            return first.destination, first.source
        return first.source, first.destination

    def _file(self, connection: Connection) -> None:
        self._open.pop(connection.number, None)
        self._over.pop(connection.number, None)
        (self._over if connection.over else self._open)[connection.number] = connection

    def _forget(self) -> None:
        _, oldest = (self._over or self._open).popitem(last=False)
        ends = _key(oldest.client.end, oldest.server.end)
        if self._by_ends.get(ends) is oldest:
            del self._by_ends[ends]
        self.forgotten += 1


def _key(one: End, other: End) -> Ends:
    return (one, other) if one <= other else (other, one)
