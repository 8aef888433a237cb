"""The lines of text around the table of ``jackfield top``: summary, one row in words, help.

Each is rich's Text, put together from pieces with styles: nothing in it is read as markup, and what
processes and peers chose is escaped. Must not know the screen.
"""

from __future__ import annotations

import typing as t
from collections.abc import Iterable, Sequence

from rich.text import Text

from jackfield.cli import top_cells
from jackfield.cli.columns import safe
from jackfield.cli.top_cells import COLOURS, short
from jackfield.kernel.inet_diag import InetSocket
from jackfield.tools import socket_facts
from jackfield.tools.top import marks
from jackfield.tools.top.looker import Look
from jackfield.tools.top.rows import ProcessRow, SocketRow
from jackfield.tools.top.view import Following, Row, View, troubles

BARS: t.Final = "▁▂▃▄▅▆▇█"
SPARKS: t.Final = 16
"""Rates that are drawn of each direction: two, with their words, have room in 60 columns."""

HOLDERS: t.Final = 4
"""Processes that are named of those that share a socket."""

GAP: t.Final = "  "

HELP: t.Final = """\
enter   follow the connection, or open the process
esc     back: from following, a process, a filter
s  S    sort by the next column, the one before
r       turn the order around
/       only rows that have these words in them
space   freeze the screen, and go on
p       processes or sockets
home    to the top, and stay there; else the cursor
        stays on its row, wherever that is sorted to
q       quit

MARK says what is in trouble:
full    the accept queue of a listener: who connects
        now is not let in
slow    a slow reader: the peer has closed its window,
        or acknowledges nothing
silent  the peer does not answer; we send again
unread  bytes wait for our own program, which does
        not read them

IN/s    bytes a second that have arrived (TCP)
OUT/s   bytes a second that the peer acknowledged
RECV-Q  bytes to be read; of a listener: who waits
SEND-Q  bytes not acknowledged; of a listener: how
        many may wait
RTT ms  the smoothed round-trip time
RETR    segments sent again since it began
OUTBOX  bytes that wait in a jackfield server behind
        a full SEND-Q

Any other key goes back."""


def joined(pieces: Iterable[tuple[str, str]]) -> Text:
    """(text, style) one after the other, with gaps."""
    line = Text(end="")
    for text, style in pieces:
        if text:
            line.append((GAP if line else "") + text, style)
    return line


# --- the summary -------------------------------------------------------------------------------


def summary(rows: Sequence[SocketRow], interval: float, frozen: str) -> Text:
    """How much there is. ``frozen``: since when it is not looked any more; "" if it is."""
    processes = len({one.pid for row in rows for one in row.holders})
    rate = "frozen " + frozen if frozen else f"every {interval:g}s"
    traffic = [_sum(row.received for row in rows), _sum(row.sent for row in rows)]
    pieces = [
        (_several(len(rows), "socket", "sockets"), "bold"),
        (_several(processes, "process", "processes"), ""),
        (f"in {short(traffic[0])} out {short(traffic[1])} B/s", ""),
        (rate, "bold yellow" if frozen else "dim"),
    ]
    return joined(pieces)


def _several(count: int, one: str, many: str) -> str:
    return f"{count:,} {one if count == 1 else many}"


def _sum(rates: Iterable[float | None]) -> float:
    return sum(rate for rate in rates if rate is not None)


def trouble(rows: Sequence[SocketRow], view: View) -> Text:
    """What is in trouble, and what is left out."""
    found = troubles(rows)
    pieces = [(f"{n:,} {marks.NAMES[mark]}", f"bold {COLOURS[mark]}") for mark, n in found.items()]
    if not found:
        pieces.append(("nothing stands still", "dim"))
    if view.process is not None:
        pieces.append((f"of process {view.process}" if view.process else "of nobody", "cyan"))
    if view.words:
        pieces.append(("with " + safe(" ".join(view.words)), "cyan"))
    return joined(pieces)


def notes(look: Look, more: Iterable[str] = ()) -> list[str]:
    """What cannot be shown, and why, a line each."""
    said = [*look.notes, *filter(None, more)]
    if look.hidden:
        hidden = _several(look.hidden, "process", "processes")
        said.append(f"{hidden} of other users hide which sockets are theirs; try sudo")
    return [safe(line) for line in said]


# --- one row -----------------------------------------------------------------------------------


def in_words(row: Row | None) -> Text:
    """A line on the row under the cursor."""
    if row is None:
        return Text("")
    colour = COLOURS[row.mark]
    if isinstance(row, ProcessRow):
        name = f"{safe(row.process) or '?'}[{row.pid}]" if row.pid else top_cells.NOBODY
        return joined([(name, "bold"), (_of(row), colour)])
    why = f"{safe(row.reason)}, {lasted(row.marked_for)}" if row.mark else ""
    return joined([(why, colour), (who(row), "bold"), (row.state, ""), (_place(row), "")])


def _of(row: ProcessRow) -> str:
    return f"{row.marked} of {row.sockets}: {marks.NAMES[row.mark]}" if row.mark else ""


def who(row: SocketRow) -> str:
    """``python3[4711] fd 7``, with whom it is shared."""
    several = [f"{safe(one.process) or '?'}[{one.pid}] fd {one.fd}" for one in row.holders]
    more = len(several) - HOLDERS
    return ", ".join(several[:HOLDERS]) + (f", {more} more" if more > 0 else "")


def _place(row: SocketRow) -> str:
    return f"{safe(row.socket.protocol)} {top_cells.address(row).text}".rstrip()


def lasted(seconds: float) -> str:
    """``just now``, ``for 12 s``, ``for 3 min``."""
    if seconds < 1:
        return "just now"
    return f"for {seconds:.0f} s" if seconds < 120 else f"for {seconds / 60:.0f} min"


def followed(following: Following, at: float) -> Text:
    """All that there is to say of the connection that is followed, in some lines."""
    row = following.row
    head = [(_place(row), "bold"), (row.state, ""), (who(row), "")]
    if row.own and row.own.label:
        head.append((safe(row.own.label), "cyan"))
    lines = [joined(head)]
    if following.ended is not None:
        lines.append(Text(f"ended {at - following.ended:.0f} s ago", "bold yellow", end=""))
    elif row.mark:
        why = f"{safe(row.reason)}, {lasted(row.marked_for)}"
        lines.append(Text(why, f"bold {COLOURS[row.mark]}", end=""))
    if row.info:
        lines.append(_sparks(following))
        lines += [joined(pieces) for pieces in _tcp(row)]
    else:
        lines.append(Text(_queues(row), end=""))
    return Text("\n").join(lines)


def _queues(row: SocketRow) -> str:
    first, second = socket_facts.queues(row.socket)
    if socket_facts.listens(row.socket):
        return f"{first} wait to be accepted, {second} may"
    return f"receive queue {first}  send queue {second}"


def _sparks(following: Following) -> Text:
    line = Text(end="")
    for word, rates in (("in", following.received), ("out", following.sent)):
        last = short(rates[-1]) if rates else ""
        line.append(f"{word} {last or '-':>5} ")
        line.append(f"{spark([*rates][-SPARKS:]):<{SPARKS}}{GAP}", "cyan")
    line.rstrip()
    return line


def spark(rates: Sequence[float]) -> str:
    """A bar for each, the highest of them full."""
    top = max(rates, default=0.0)
    if not top:
        return BARS[0] * len(rates)
    return "".join(BARS[min(int(rate / top * len(BARS)), len(BARS) - 1)] for rate in rates)


def _tcp(row: SocketRow) -> Iterable[list[tuple[str, str]]]:
    sock, info = row.socket, row.info
    assert isinstance(sock, InetSocket)
    assert info is not None
    memory = sock.memory
    yield [
        (f"received {short(info.bytes_received)}", ""),
        (f"acknowledged {short(info.bytes_acked)}", ""),
        (f"recv-q {sock.rqueue}" + (f" of {memory.rcvbuf}" if memory else ""), ""),
        (f"send-q {sock.wqueue}" + (f" of {memory.sndbuf}" if memory else ""), ""),
        (f"never sent {info.notsent_bytes}" if info.notsent_bytes else "", ""),
        (f"outbox {row.own.outbox}" if row.own else "", ""),
    ]
    yield [
        (f"peer's window {info.snd_wnd}", ""),
        (f"cwnd {info.cwnd}", ""),
        (f"mss {info.snd_mss}", ""),
        (f"rtt {info.rtt_us / 1000:.4g}±{info.rttvar_us / 1000:.3g} ms", ""),
        (f"rto {info.rto_us / 1000:.0f} ms", ""),
        (sock.congestion, ""),
    ]
    yield [
        (f"segments out {short(info.segs_out)} in {short(info.segs_in)}", ""),
        (f"again {info.total_retrans}", "yellow" if info.total_retrans else ""),
        (f"timer {socket_facts.timer(sock)}" if sock.timer else "", ""),
        (f"last sent {_ago(info.last_data_sent_ms)}, received {_ago(info.last_data_recv_ms)}", ""),
    ]


def _ago(milliseconds: int) -> str:
    return f"{milliseconds / 1000:.1f} s ago" if milliseconds < 100_000_000 else "never"
