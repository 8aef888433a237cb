"""``jackfield status``: how a running server does, as it tells itself at its status endpoint."""

from __future__ import annotations

import json
import sys
import typing as t
from collections.abc import Sequence

import click

from jackfield.address import Endpoint
from jackfield.cli import columns, socket_cells
from jackfield.cli.columns import Cell, Column, safe
from jackfield.errors import UsageError
from jackfield.tools import server_view
from jackfield.tools.server_view import Facts

SHOWN: t.Final = 40
"""Rows of a table without --all: a screen. Those that wait for most come first."""

LISTENERS: t.Final = (
    Column("LISTENER", keep=True),
    Column("FD", right=True),
    Column("WAITING", right=True, keep=True),
    Column("WORKER", right=True),
    Column(""),
)
WORKERS: t.Final = (
    Column("WORKER", right=True, keep=True),
    Column("PID", right=True, keep=True),
    Column("ACCEPTED", right=True),
    Column("REFUSED", right=True),
    Column("LOST", right=True),
    Column("CONNECTED", right=True, keep=True),
    Column(""),
)
ROOMS: t.Final = (
    Column("ROOM", keep=True),
    Column("MEMBERS", right=True, keep=True),
    Column("LAGGING", right=True, keep=True),
    Column("HISTORY", right=True),
    Column(""),
)
CONNECTIONS: t.Final = (
    Column("FD", right=True, keep=True),
    Column("STATE"),
    Column("AGE", right=True),
    Column("IDLE", right=True, keep=True),
    Column("OUTBOX", right=True, keep=True),
    Column("PAUSED BY"),
    Column("IN", right=True),
    Column("OUT", right=True),
    Column("PROTOCOL"),
    Column("PID", right=True),
    Column("PEER", keep=True),
)


@click.command()
@click.argument("server", required=False, metavar="[ENDPOINT|PID]")
@click.option("--all", "everything", is_flag=True, help=f"Every connection, not {SHOWN} at most.")
@click.option("--json", "as_json", is_flag=True, help="Write JSON, as the server told it.")
@click.option(
    "--watch",
    type=click.FloatRange(min=0.1),
    is_flag=False,
    flag_value=socket_cells.WATCH_SECONDS,
    metavar="[SECONDS]",
    help=f"Ask again every so often ({socket_cells.WATCH_SECONDS:g} seconds) until Ctrl-C.",
)
def command(*, server: str | None, everything: bool, as_json: bool, watch: float | None) -> None:
    """Ask a running jackfield server how it does: listeners, connections, rooms, who lags.

    The server has to have been started with --status-endpoint. Without ENDPOINT or PID it is
    looked for among the processes that we may see.

    \b
    jackfield serve chat --status-endpoint unix:/tmp/chat.status
    jackfield status unix:/tmp/chat.status
    jackfield status 4711 --watch
    """
    endpoint = _endpoint(server)

    def show() -> Sequence[str]:
        view = server_view.view(endpoint)
        if as_json:
            return [json.dumps(view.raw, indent=None if watch else 2)]
        return lines(view, everything)

    socket_cells.repeat(watch, as_json, show)


def _endpoint(server: str | None) -> Endpoint:
    if server is None:
        return _only_one()
    if server.isascii() and server.isdecimal():
        return server_view.endpoint_of(int(server[:10]))
    return Endpoint.parse(server)


def _only_one() -> Endpoint:
    if sys.platform != "linux":
        raise UsageError("give the endpoint: jackfield status unix:/path")
    found = server_view.running()
    if not found:
        raise UsageError(
            "no server was started with --status-endpoint, as far as we may see; give the ENDPOINT "
            "if a program of yours has one"
        )
    if len(found) > 1:
        several = ", ".join(f"{pid} ({endpoint})" for pid, endpoint in found[:5])
        raise UsageError(f"there are {len(found)} servers; say which: {several}")
    return found[0][1]


# --- for people --------------------------------------------------------------------------------


def lines(view: Facts, everything: bool = False, width: int | None = None) -> list[str]:
    """The whole view, as wide as the terminal (or ``width``)."""
    width = width or columns.terminal_width()
    most = None if everything else SHOWN
    said = [*_paragraph(_heading(view), width)]
    said += _table(LISTENERS, [_listener(one) for one in view.each("listeners")], width)
    said += _table(WORKERS, [_worker(one) for one in view.each("workers")], width, most)
    said += _table(ROOMS, _rooms(view), width, most)
    said += _table(CONNECTIONS, _connections(view), width, most)
    silent = view.each("incomplete")
    for one in silent[:SHOWN]:
        text = f"process {one.count('pid')} is not in this: {safe(one.text('why'))}"
        said += ["", *columns.fold(text, width)]
    return said


def _paragraph(texts: Sequence[str], width: int | None) -> list[str]:
    return [piece for text in texts for piece in columns.fold(text, width)]


def _table(
    heads: Sequence[Column],
    rows: Sequence[Sequence[Cell]],
    width: int | None,
    most: int | None = None,
) -> list[str]:
    """A table behind an empty line; nothing where there are no rows."""
    if not rows:
        return []
    said = ["", *columns.draw(heads, rows[:most], width)]
    if most is not None and len(rows) > most:
        said.append(f"and {len(rows) - most:,} more; --all shows them")
    return said


def _heading(view: Facts) -> list[str]:
    server, counters = view.facts("server"), view.facts("counters")
    words = [f"{counters.count(name)} {name}" for name in ("accepted", "refused", "lost")]
    trouble = counters.count("accept_failures")
    if trouble:
        words.append(f"{trouble} times accepting failed")
    said = [
        f"jackfield {safe(view.text('jackfield'))}  pid {server.count('pid')}  "
        f"engine {safe(server.text('engine'))}  up {_time(server.number('uptime'))}",
        f"{counters.count('connections')} connected; {', '.join(words)}",
    ]
    for title, key in (("refused for", "refused_for"), ("lost for", "lost_for")):
        reasons = _reasons(view, key)
        if reasons:
            said.append(f"{title}: {reasons}")
    limits = view.facts("limits")
    set_ones = [
        f"{safe(name).replace('_', '-')} {_plain(limits.number(name))}"
        for name in limits.names()[:SHOWN]
        if limits.number(name)
    ]
    return [*said, f"limits: {', '.join(set_ones)}"] if set_ones else said


def _reasons(view: Facts, key: str) -> str:
    """Of all processes together, the most frequent first."""
    sums: dict[str, int] = {}
    for facts in (view.facts(key), *(one.facts(key) for one in view.each("processes"))):
        for reason in facts.names():
            sums[reason] = sums.get(reason, 0) + facts.count(reason)
    frequent = sorted(sums.items(), key=lambda one: -one[1])[:SHOWN]
    return ", ".join(f"{safe(reason)} {count}" for reason, count in frequent)


def _listener(one: Facts) -> list[Cell]:
    waiting, backlog, fd = one.number("waiting"), one.count("backlog"), one.number("fd")
    if one.text("kind") == "datagram":
        queue = Cell("")
    else:
        known = "-" if waiting is None else f"{waiting:.0f}"
        full = waiting is not None and waiting >= max(backlog, 1)
        queue = Cell(f"{known}/{backlog}", "red" if full else "")
    return [
        Cell(safe(one.text("endpoint"))),
        Cell(_plain(fd)),
        queue,
        Cell(_plain(one.number("worker"))),
        Cell(""),
    ]


def _worker(one: Facts) -> list[Cell]:
    names = ("accepted", "refused", "lost", "connections")
    return [
        Cell(_plain(one.number("worker"))),
        Cell(str(one.count("pid"))),
        *(Cell(str(one.count(name))) for name in names),
        Cell("retires" if one.flag("retired") else "", "yellow"),
    ]


def _rooms(view: Facts) -> list[list[Cell]]:
    """A room of several processes is one: members are added up, and each has the same history."""
    rooms: dict[str, list[int]] = {}
    for one in view.each("rooms"):
        sums = rooms.setdefault(one.text("name"), [0, 0, 0, 0])
        sums[0] += one.count("members")
        sums[1] += one.count("lagging")
        sums[2] = max(sums[2], one.count("history"))
        sums[3] = max(sums[3], one.count("history_bytes"))
    return [
        [
            Cell(safe(name) or "(no name)"),
            Cell(str(members)),
            Cell(str(lagging), "red" if lagging else ""),
            Cell(f"{history} ({_bytes(size)})" if history else ""),
            Cell(""),
        ]
        for name, (members, lagging, history, size) in sorted(rooms.items())
    ]


def _connections(view: Facts) -> list[list[Cell]]:
    several = len(view.each("processes")) > 1
    lagging = {(one.count("pid"), one.count("fd")) for one in view.each("lagging")}
    found = sorted(view.each("connections"), key=lambda one: -one.count("outbox"))
    return [
        _connection(one, several, (one.count("pid"), one.count("fd")) in lagging) for one in found
    ]


def _connection(one: Facts, several: bool, lags: bool) -> list[Cell]:
    state, outbox = one.text("state"), one.count("outbox")
    label = safe(one.text("label"))
    peer = safe(one.text("peer")) + (f" ({label})" if label else "")
    return [
        Cell(str(one.count("fd"))),
        Cell("" if state == "open" else safe(state), "yellow"),
        Cell(_time(one.number("age"))),
        Cell(_time(one.number("idle"))),
        Cell(_bytes(outbox) if outbox else "", "red" if lags else "yellow"),
        Cell(safe(",".join(one.words("paused"))), "yellow"),
        Cell(_bytes(one.number("received"))),
        Cell(_bytes(one.number("sent"))),
        Cell(safe(one.text("protocol")) + (" in TLS" if one.flag("tls") else "")),
        Cell(str(one.count("pid")) if several else ""),
        Cell(peer),
    ]


def _plain(number: float | None) -> str:
    return "" if number is None else f"{number:.15g}"


def _time(seconds: float | None) -> str:
    """``4.2s``, ``7m03s``, ``5h12m``, ``3d04h``; "" where it is not known."""
    if seconds is None:
        return ""
    if seconds < 60:
        return f"{max(seconds, 0):.1f}s"
    whole = int(seconds)
    for unit, smaller, size in (("m", "s", 60), ("h", "m", 3600)):
        if whole < size * (60 if unit == "m" else 24):
            return f"{whole // size}{unit}{whole % size // (size // 60):02d}{smaller}"
    days, rest = divmod(whole, 86400)
    return f"{days}d{rest // 3600:02d}h" if days < 10**6 else "ages"


def _bytes(count: float | None) -> str:
    """``512 B``, ``1.5 kB``: decimal, as rates are."""
    if count is None:
        return ""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.4g} TB"
