"""What is to be seen of all rows: which, in which order, and one that is followed.

    rows -> View.arrange() -> what a table shows, top first

Pure. Must not know how a row is drawn: columns are known by their names here.
"""

from __future__ import annotations

import collections
import typing as t
from collections.abc import Callable, Sequence

from jackfield.tools import socket_facts
from jackfield.tools.socket_filter import Filter
from jackfield.tools.top.marks import Mark
from jackfield.tools.top.rows import Key, ProcessRow, SocketRow, by_process

Row: t.TypeAlias = SocketRow | ProcessRow
Order: t.TypeAlias = Callable[[t.Any], t.Any]

PAST: t.Final = 120
"""Rates that are kept of a followed connection: four minutes at the usual two seconds."""


def _busy(row: Row) -> float:
    return (row.received or 0.0) + (row.sent or 0.0)


def _rate(value: float | None) -> float:
    """Where nothing is counted comes after where nothing moves."""
    return -1.0 if value is None else value


def _address(row: SocketRow) -> tuple[t.Any, ...]:
    """By number, as far as there are numbers."""
    sock: t.Any = row.socket
    kind = socket_facts.type_of(sock)
    if kind in ("IPv4", "IPv6"):
        return kind, sock.src, sock.sport, sock.dst, sock.dport, sock.inode
    return kind, socket_facts.local(sock).encode(errors="surrogateescape"), sock.inode


def _queue(side: int) -> Order:
    """By bytes: a listener's queues count connections and come last."""
    return lambda row: (
        -1 if socket_facts.listens(row.socket) else socket_facts.queues(row.socket)[side]
    )


def _tcp(field: str) -> Order:
    return lambda row: getattr(row.info, field) if row.info else -1


SOCKET_ORDERS: t.Final[dict[str, Order]] = {
    "mark": lambda row: (row.mark, _busy(row)),
    "process": lambda row: (row.process.lower(), row.holders[0].pid if row.holders else 0),
    "protocol": lambda row: row.socket.protocol,
    "state": lambda row: row.state,
    "in": lambda row: _rate(row.received),
    "out": lambda row: _rate(row.sent),
    "rqueue": _queue(0),
    "wqueue": _queue(1),
    "rtt": _tcp("rtt_us"),
    "retransmits": _tcp("total_retrans"),
    "name": lambda row: row.own.label if row.own else "",
    "outbox": lambda row: row.own.outbox if row.own else -1,
    "address": _address,
}
PROCESS_ORDERS: t.Final[dict[str, Order]] = {
    "mark": lambda row: (row.mark, _busy(row)),
    "pid": lambda row: row.pid,
    "process": lambda row: (row.process.lower(), row.pid),
    "sockets": lambda row: row.sockets,
    "established": lambda row: row.established,
    "listening": lambda row: row.listening,
    "in": lambda row: _rate(row.received),
    "out": lambda row: _rate(row.sent),
    "rqueue": lambda row: row.rqueue,
    "wqueue": lambda row: row.wqueue,
    "retransmits": lambda row: row.retransmits,
}
ASCENDING: t.Final = frozenset({"process", "protocol", "state", "name", "address", "pid"})
"""Columns of words and addresses. Of numbers the largest is looked for."""


class View:
    """What a person has chosen to see.

    ``wanted`` and ``pid`` are meant for good; ``words``, the sort order and ``process`` change
    as they type.
    """

    def __init__(self, wanted: Filter | None = None) -> None:
        self.wanted = wanted or Filter()
        self.processes = False
        """One row a process instead of one a socket."""
        self.process: int | None = None
        """Only what this process holds: chosen among all processes."""
        self.words: tuple[str, ...] = ()
        """Each has to be somewhere in a row's text."""
        self._sort = {False: "mark", True: "mark"}
        self._reversed = False

    # --- choosing ------------------------------------------------------------------------------

    @property
    def orders(self) -> dict[str, Order]:
        return PROCESS_ORDERS if self.processes else SOCKET_ORDERS

    @property
    def sort(self) -> str:
        """The column that is sorted by, the mark at first."""
        return self._sort[self.processes]

    @property
    def descending(self) -> bool:
        return (self.sort not in ASCENDING) != self._reversed

    def sort_by(self, name: str) -> None:
        """Sort by this column; once more turns the order around."""
        if name == self.sort:
            self.reverse()
        elif name in self.orders:
            self._sort[self.processes] = name
            self._reversed = False

    def sort_next(self, among: Sequence[str], step: int = 1) -> None:
        """By the column beside, of those ``among`` that can be sorted by."""
        names = [name for name in among if name in self.orders]
        if names:
            at = names.index(self.sort) + step if self.sort in names else 0
            self._sort[self.processes] = names[at % len(names)]
            self._reversed = False

    def reverse(self) -> None:
        self._reversed = not self._reversed

    def search(self, text: str) -> None:
        """Show what has all of the words of ``text`` in it, wherever."""
        self.words = tuple(text.lower().split())

    # --- arranging -----------------------------------------------------------------------------

    def chosen(self, rows: Sequence[SocketRow]) -> list[SocketRow]:
        """Those of ``rows`` that were asked for, whatever is typed."""
        return [row for row in rows if self.wanted.matches(row.socket)] if self.wanted else [*rows]

    def arrange(self, chosen: Sequence[SocketRow]) -> list[Row]:
        """What is to be seen of ``chosen``, the top first."""
        seen: list[t.Any] = by_process([*chosen]) if self.processes else self._held(chosen)
        if self.words:
            seen = [row for row in seen if _has(row.text, self.words)]
        if not self.processes:
            seen.sort(key=_address)  # so that equal ones do not change places
        seen.sort(key=self.orders[self.sort], reverse=self.descending)
        return seen

    def _held(self, rows: Sequence[SocketRow]) -> list[SocketRow]:
        if self.process is None:
            return [*rows]
        if not self.process:
            return [row for row in rows if not row.holders]
        return [row for row in rows if any(one.pid == self.process for one in row.holders)]


def _has(text: str, words: tuple[str, ...]) -> bool:
    return all(word in text for word in words)


def troubles(rows: Sequence[SocketRow]) -> dict[Mark, int]:
    """How many have which mark, the worst first."""
    found = collections.Counter(row.mark for row in rows if row.mark)
    return dict(sorted(found.items(), reverse=True))


class Following:
    """One connection, from the moment when somebody chose to follow it."""

    def __init__(self, row: SocketRow) -> None:
        self.row = row
        """As it was when it was last there."""
        self.ended: float | None = None
        """When it was first missing."""
        self.received: collections.deque[float] = collections.deque(maxlen=PAST)
        self.sent: collections.deque[float] = collections.deque(maxlen=PAST)
        self._keep(row)

    def update(self, rows: Sequence[SocketRow], at: float) -> None:
        """After another look."""
        found = next((row for row in rows if row.key == self.row.key), None)
        if found is not None:
            self.row, self.ended = found, None
            self._keep(found)
        elif self.ended is None:
            self.ended = at

    def _keep(self, row: SocketRow) -> None:
        if row.received is not None and row.sent is not None:
            self.received.append(row.received)
            self.sent.append(row.sent)

    @property
    def key(self) -> Key:
        return self.row.key
