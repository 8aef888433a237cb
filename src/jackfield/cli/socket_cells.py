"""How ``jackfield fds`` and ``jackfield sockets`` write a socket, and the options they share.

Everything that a process chose itself (its name, a Unix path) is escaped here, the one way to the
terminal. In JSON nothing is left out, and whatever is not ASCII is escaped by its rules.
"""

from __future__ import annotations

import errno
import json
import shutil
import sys
import time
import typing as t
from collections.abc import Callable, Sequence

import click

from jackfield.cli.columns import Cell, Column, safe
from jackfield.errors import SystemRefused
from jackfield.kernel.inet_diag import PERSIST_TIMER, InetSocket
from jackfield.kernel.proc_net import Socket
from jackfield.tools import socket_facts
from jackfield.tools.fdtable import Holder, UnixPeer

HOLDERS_SHOWN: t.Final = 3
"""Of a socket in a table; JSON has them all."""

WATCH_SECONDS: t.Final = 2.0
"""Between two looks: as top(1) does nearly, and slow enough to read."""

INTERRUPTED: t.Final = 130
"""What a shell reports of a program that SIGINT (2) ended: 128 + 2."""

CLEAR: t.Final = "\x1b[H\x1b[J"
"""Cursor home, erase to the end (ECMA-48): a terminal redraws without flicker."""

NORMAL: t.Final = frozenset({"ESTABLISHED", "UNCONNECTED", ""})
COLOURS: t.Final = {"LISTEN": "green"}
"""Of states. One that is on its way to another is yellow."""

QUEUES: t.Final = (Column("RECV-Q", right=True), Column("SEND-Q", right=True))
TCP: t.Final = (
    Column("CWND", right=True, early=True),
    Column("RTT ms", right=True, early=True),
    Column("TIMER"),
    Column("RETR", right=True),
)


def queue_cells(sock: Socket | None) -> list[Cell]:
    """Under QUEUES. A listener whose accept queue is full is red: who connects now waits."""
    if sock is None:
        return [Cell(""), Cell("")]
    first, second = socket_facts.queues(sock)
    full = socket_facts.listens(sock) and first >= max(second, 1)
    colour = "red" if full else ""
    return [Cell(str(first), colour), Cell(str(second), colour)]


def tcp_cells(sock: Socket | None) -> list[Cell]:
    """Under TCP. RETR is how many segments were sent again so far; a TIMER that runs because the
    peer takes or answers nothing is yellow."""
    if not isinstance(sock, InetSocket):
        return [Cell("")] * 4
    waits = sock.timer == PERSIST_TIMER or sock.retransmits > 0
    timer = Cell(socket_facts.timer(sock), "yellow" if waits else "")
    if not sock.raw_tcp or socket_facts.listens(sock):
        return [Cell(""), Cell(""), timer, Cell("")]
    info = sock.tcp
    assert info is not None
    again = Cell(str(info.total_retrans), "yellow") if info.total_retrans else Cell("")
    return [Cell(str(info.cwnd)), Cell(f"{info.rtt_us / 1000:.2f}"), timer, again]


def name(sock: Socket, peer: UnixPeer | None, names: bool, state: bool = True) -> Cell:
    """``127.0.0.1:8888->127.0.0.1:63062 (ESTABLISHED)``, ``127.0.0.1:8888 (LISTEN 0/128)``."""
    text = safe(socket_facts.local(sock, names))
    other = socket_facts.peer(sock, names)
    if other or peer:
        text += f"->{_unix_peer(peer) if peer else other}"
    word = socket_facts.state_of(sock)
    colour = state_colour(word)
    if socket_facts.listens(sock):
        waiting, backlog = socket_facts.queues(sock)
        word = f"{word} {waiting}/{backlog}"
    if peer and peer.waits:
        word = "waits to be accepted"
    shown = f" ({word})" if word and state else ""
    return Cell((text + shown).lstrip(), colour)


def state_colour(word: str) -> str:
    """The colour of a state's name."""
    return "" if word in NORMAL else COLOURS.get(word, "yellow")


def _unix_peer(peer: UnixPeer) -> str:
    who = holders(peer.holders, fds=True)
    return " ".join(part for part in (safe(peer.name), who) if part) or "?"


def holders(several: Sequence[Holder], fds: bool = False) -> str:
    """``python3[4711]`` or ``python3[4711] fd 5``, the first few; "" for nobody."""
    texts = []
    for one in several:
        text = f"{safe(one.process) or '?'}[{one.pid}]" + (f" fd {one.fd}" if fds else "")
        texts.append(text)
    texts = list(dict.fromkeys(texts))
    more = len(texts) - HOLDERS_SHOWN
    return ", ".join(texts[:HOLDERS_SHOWN]) + (f", {more} more" if more > 0 else "")


def holder_dicts(several: Sequence[Holder]) -> list[dict[str, t.Any]]:
    return [one._asdict() for one in several]


def peer_dict(peer: UnixPeer | None) -> dict[str, t.Any]:
    """For JSON: {} where there is none."""
    if peer is None:
        return {}
    end = {"name": peer.name, "waits": peer.waits, "holders": holder_dicts(peer.holders)}
    return {"unix_peer": end}


# --- options and output ------------------------------------------------------------------------


def options(command: Callable[..., t.Any]) -> Callable[..., t.Any]:
    """What both commands take: filters, and how to show it."""
    for option in reversed(_SHOWING):
        command = option(command)
    return filters(command)


def filters(command: Callable[..., t.Any]) -> Callable[..., t.Any]:
    """Which sockets: what ``Filter.of`` takes."""
    for option in reversed(_FILTERS):
        command = option(command)
    return command


_FILTERS: t.Final = (
    click.option(
        "--state",
        "states",
        multiple=True,
        metavar="STATE",
        help="Only sockets in this state (established, close-wait, ...). May be repeated.",
    ),
    click.option(
        "--peer",
        "peers",
        multiple=True,
        metavar="NETWORK",
        help="Only those connected to this address or network (10.0.0.0/8). May be repeated.",
    ),
    click.option(
        "--listening", is_flag=True, help="Only listeners, and UDP sockets that hear anybody."
    ),
    click.option("--port", type=click.IntRange(1, 65535), help="Only those with this port."),
)

_SHOWING: t.Final = (
    click.option("--service-names", is_flag=True, help="Show names of ports (/etc/services)."),
    click.option("--json", "as_json", is_flag=True, help="Write JSON, with all that is known."),
    click.option(
        "--watch",
        type=click.FloatRange(0.1, 3600),
        is_flag=False,
        flag_value=WATCH_SECONDS,
        metavar="[SECONDS]",
        help=f"Look again every so often ({WATCH_SECONDS:g} seconds) until Ctrl-C.",
    ),
)


def repeat(watch: float | None, as_json: bool, show: Callable[[], Sequence[str]]) -> int:
    """Print what ``show`` gives: once, or every ``watch`` seconds until Ctrl-C or until what is
    looked at has ended. The exit status."""
    try:
        _repeat(watch, as_json, show)
    except KeyboardInterrupt:  # not left to click, which would print an empty line
        return INTERRUPTED
    return 0


def _repeat(watch: float | None, as_json: bool, show: Callable[[], Sequence[str]]) -> None:
    clears = watch is not None and sys.stdout.isatty() and not as_json
    first = True
    while True:
        try:
            lines = show()
        except SystemRefused as exc:
            if first or exc.errno != errno.ESRCH:
                raise
            click.echo(f"jackfield: it has ended: {exc}", err=True)
            return
        if clears:
            lines = [CLEAR + lines[0], *_screenful(lines[1:])] if lines else [CLEAR]
        click.echo(encodable("\n".join(lines)), color=True)
        if watch is None:
            return
        sys.stdout.flush()  # into a pipe, too: who watches wants to see it now
        first = False
        time.sleep(watch)


def _screenful(lines: Sequence[str]) -> Sequence[str]:
    """As many as the terminal shows at once below the head, and how many more there are."""
    room = shutil.get_terminal_size().lines - 2  # the head, and the line where the cursor rests
    if len(lines) <= room:
        return lines
    kept = max(room - 1, 0)
    return [*lines[:kept], f"{len(lines) - kept} more lines"]


def encodable(text: str) -> str:
    """What the output's encoding lacks (a Latin-1 terminal), as escapes."""
    encoding = sys.stdout.encoding or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def dump_json(found: Sequence[t.Any], watch: float | None) -> list[str]:
    """One document; under --watch one line each, so that a reader can tell them apart."""
    return [json.dumps(found, indent=None if watch else 2)]


def say_once(said: set[str], lines: Sequence[str]) -> None:
    """Lines for a person on standard error, each only once however long we watch."""
    for line in lines:
        if line not in said:
            said.add(line)
            click.echo(f"jackfield: {line}", err=True)
