"""The columns of ``jackfield top``: what they are called, how wide, and what stands in them.

On a screen that is looked at for minutes columns keep their width, whatever is in them. Where the
terminal is narrow those are left out that say least. All text is escaped here.
"""

from __future__ import annotations

import typing as t
from collections.abc import Callable, Sequence

from jackfield.cli import socket_cells
from jackfield.cli.columns import Cell, safe
from jackfield.tools import socket_facts
from jackfield.tools.top.marks import Mark
from jackfield.tools.top.rows import ProcessRow, SocketRow

GAP: t.Final = 1
"""Places between two columns of the screen."""

ADDRESS_WANTS: t.Final = 31
"""Places: two IPv4 addresses of loopback with ports. Less than that only on terminals where the
columns that stay leave no more."""

WORDS: t.Final = {
    Mark.NONE: "",
    Mark.UNREAD: "unread",
    Mark.NO_ANSWER: "silent",
    Mark.SLOW_READER: "slow",
    Mark.ACCEPT_QUEUE: "full",
}
"""For a column of six places."""

COLOURS: t.Final = {
    Mark.NONE: "",
    Mark.UNREAD: "yellow",
    Mark.NO_ANSWER: "yellow",
    Mark.SLOW_READER: "red",
    Mark.ACCEPT_QUEUE: "red",
}

NOBODY: t.Final = "(no process)"
"""Of sockets whose holders are hidden, or that no process has any more."""


class TopColumn(t.NamedTuple):
    """``name`` is what the view sorts by; ``rank`` says who is left out first: the highest."""

    name: str
    title: str
    width: int
    right: bool
    rank: int
    cell: Callable[[t.Any], Cell]


def short(number: float | None) -> str:
    """A number in five places at most, decimal as rates are; "" where nothing is counted.

    >>> short(7), short(1530), short(23_400_000)
    ('7', '1.53k', '23.4M')
    """
    if number is None:
        return ""
    for unit in ("", "k", "M", "G"):
        if number < 999.5:
            return f"{number:.0f}" if not unit else f"{number:.3g}{unit}"
        number /= 1000
    return f"{number:.3g}T"


def _process(row: SocketRow) -> Cell:
    if not row.holders:
        return Cell("(not accepted)" if row.waits else "")
    first = row.holders[0]
    others = len({one.pid for one in row.holders}) - 1
    return Cell(f"{safe(row.process) or '?'}[{first.pid}]" + (f"+{others}" if others else ""))


def _queue(side: int) -> Callable[[SocketRow], Cell]:
    def cell(row: SocketRow) -> Cell:
        size = socket_facts.queues(row.socket)[side]
        waits = size and not socket_facts.listens(row.socket)
        text = str(size) if size < 10**6 else short(size)
        return Cell(text, "yellow" if waits else "")

    return cell


def _rtt(row: SocketRow) -> Cell:
    return Cell(f"{row.info.rtt_us / 1000:.4g}" if row.info else "")


def _retransmits(row: SocketRow) -> Cell:
    again = row.info.total_retrans if row.info else 0
    return Cell(short(again), "yellow") if again else Cell("")


def _state(row: SocketRow) -> Cell:
    return Cell(row.state, socket_cells.state_colour(row.state))


def address(row: SocketRow) -> Cell:
    """Both ends, or where it listens."""
    return socket_cells.name(row.socket, row.peer, names=False, state=False)


def _mark(row: t.Any) -> Cell:
    return Cell(WORDS[row.mark], COLOURS[row.mark])


SOCKETS: t.Final = (
    TopColumn("mark", "MARK", 6, False, 0, _mark),
    TopColumn("process", "PROCESS", 17, False, 6, _process),
    TopColumn("protocol", "PROTO", 6, False, 10, lambda row: Cell(safe(row.socket.protocol))),
    TopColumn("state", "STATE", 11, False, 7, _state),
    TopColumn("in", "IN/s", 5, True, 3, lambda row: Cell(short(row.received))),
    TopColumn("out", "OUT/s", 5, True, 2, lambda row: Cell(short(row.sent))),
    TopColumn("rqueue", "RECV-Q", 6, True, 5, _queue(0)),
    TopColumn("wqueue", "SEND-Q", 6, True, 4, _queue(1)),
    TopColumn("rtt", "RTT ms", 6, True, 8, _rtt),
    TopColumn("retransmits", "RETR", 5, True, 9, _retransmits),
    TopColumn("address", "LOCAL->PEER", ADDRESS_WANTS, False, 1, address),
)


def _label(row: SocketRow) -> str:
    return safe(row.own.label) if row.own else ""


def _outbox(row: SocketRow) -> Cell:
    if row.own is None:
        return Cell("")
    return Cell(short(row.own.outbox), "red" if row.own.lags_in else "")


OWN: t.Final = (
    TopColumn("name", "NAME", 12, False, 4, lambda row: Cell(_label(row))),
    TopColumn("outbox", "OUTBOX", 6, True, 4, _outbox),
)
"""What a jackfield server adds, if it was asked."""


def _process_name(row: ProcessRow) -> Cell:
    return Cell((safe(row.process) or "?") if row.pid else NOBODY)


def _marked(row: ProcessRow) -> Cell:
    return Cell(f"{row.marked} {WORDS[row.mark]}" if row.marked else "", COLOURS[row.mark])


PROCESSES: t.Final = (
    TopColumn("mark", "MARK", 10, False, 0, _marked),
    TopColumn("pid", "PID", 7, True, 1, lambda row: Cell(str(row.pid) if row.pid else "")),
    TopColumn("sockets", "SOCK", 5, True, 4, lambda row: Cell(str(row.sockets))),
    TopColumn("established", "ESTAB", 5, True, 5, lambda row: Cell(str(row.established))),
    TopColumn("listening", "LISTEN", 6, True, 6, lambda row: Cell(str(row.listening))),
    TopColumn("in", "IN/s", 5, True, 2, lambda row: Cell(short(row.received))),
    TopColumn("out", "OUT/s", 5, True, 2, lambda row: Cell(short(row.sent))),
    TopColumn("rqueue", "RECV-Q", 6, True, 8, lambda row: Cell(short(row.rqueue))),
    TopColumn("wqueue", "SEND-Q", 6, True, 7, lambda row: Cell(short(row.wqueue))),
    TopColumn("retransmits", "RETR", 5, True, 9, lambda row: Cell(short(row.retransmits))),
    TopColumn("process", "PROCESS", 16, False, 0, _process_name),
)


def columns_of(processes: bool, own: bool) -> tuple[TopColumn, ...]:
    """All that there are, the one that takes the rest of the line last."""
    if processes:
        return PROCESSES
    return (*SOCKETS[:-1], *OWN, SOCKETS[-1]) if own else SOCKETS


def fitting(columns: Sequence[TopColumn], width: int) -> list[TopColumn]:
    """Those for which ``width`` places are enough, in their order; the last one gets the rest."""
    shown = list(columns)
    while _places(shown) > width and len(shown) > 2:
        shown.remove(max(shown[:-1], key=lambda one: one.rank))
    rest = max(width - _places(shown[:-1]) - GAP, 1)
    return [*shown[:-1], shown[-1]._replace(width=rest)]


def _places(columns: Sequence[TopColumn]) -> int:
    return sum(one.width for one in columns) + GAP * (len(columns) - 1)
