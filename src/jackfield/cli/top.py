"""``jackfield top``: who talks with whom, how fast, and who is stuck; live, or once."""

from __future__ import annotations

import importlib.util
import json
import sys
import time
import typing as t
from collections.abc import Sequence

import click

from jackfield.address import Endpoint
from jackfield.cli import columns, socket_cells, top_cells, top_text
from jackfield.cli.columns import Column
from jackfield.errors import UsageError
from jackfield.tools import socket_facts
from jackfield.tools.fdtable import KINDS
from jackfield.tools.socket_filter import Filter
from jackfield.tools.top import marks
from jackfield.tools.top.looker import Looker
from jackfield.tools.top.rows import ProcessRow, SocketRow, Tracker
from jackfield.tools.top.server import Asker
from jackfield.tools.top.view import View


@click.command()
@click.argument("pid", required=False, type=click.IntRange(min=1))
@click.option("--tcp", is_flag=True, help="TCP sockets.")
@click.option("--udp", is_flag=True, help="UDP sockets.")
@click.option("--unix", is_flag=True, help="Unix sockets.")
@socket_cells.filters
@click.option("--processes", is_flag=True, help="Begin with processes instead of sockets.")
@click.option(
    "--interval",
    type=click.FloatRange(0.1, 3600),
    default=socket_cells.WATCH_SECONDS,
    metavar="SECONDS",
    help=f"Between two looks; {socket_cells.WATCH_SECONDS:g} by default.",
)
@click.option(
    "--status-endpoint",
    metavar="ENDPOINT",
    help="Also ask this jackfield server: names, outboxes and who lags.",
)
@click.option("--once", is_flag=True, help="Print one table, of what is going on in INTERVAL.")
@click.option("--json", "as_json", is_flag=True, help="Print the same as JSON, with all details.")
def command(
    *,
    pid: int | None,
    tcp: bool,
    udp: bool,
    unix: bool,
    states: Sequence[str],
    peers: Sequence[str],
    listening: bool,
    port: int | None,
    processes: bool,
    interval: float,
    status_endpoint: str | None,
    once: bool,
    as_json: bool,
) -> int:
    """Watch all sockets of this machine, or of process PID: rates, queues, and who is stuck.

    A full accept queue and a peer that does not read come first and in red. The keys are in the
    last line of the screen; ? explains them and the columns.

    \b
    jackfield top --tcp --port 8888
    jackfield top 4711 --interval 1
    jackfield top --processes --once
    """
    asked = {"tcp": tcp, "udp": udp, "unix": unix}
    kinds = [kind for kind in KINDS if asked[kind]] or list(KINDS)
    view = View(Filter.of(states, peers, listening, port))
    view.processes = processes
    asker = Asker(Endpoint.parse(status_endpoint)) if status_endpoint else None
    looker = Looker(kinds, pid)
    if once or as_json:
        _print(looker, view, asker, interval, as_json)
        return 0
    _require_screen()
    looker.look()  # what is refused is said before the screen is taken
    if asker:
        asker.ask_and_wait()
    from jackfield.cli import top_end
    from jackfield.cli.top_screen import TopApp

    app = TopApp(looker.look, interval, view, asker)
    with top_end.guarded(app.leave):
        status = app.run()
    return status or app.return_code or 0


def _require_screen() -> None:
    if not _on_terminal():
        raise UsageError(
            "jackfield top draws on a terminal, and this is none; try --once or --json"
        )
    if importlib.util.find_spec("textual") is None:
        raise UsageError(
            "jackfield top needs textual for its screen: pip install 'jackfield[see]'; "
            "--once and --json do without"
        )


def _on_terminal() -> bool:
    """The third is where textual draws."""
    return all(one.isatty() for one in (sys.stdin, sys.stdout, sys.stderr))


# --- once --------------------------------------------------------------------------------------


def _print(looker: Looker, view: View, asker: Asker | None, interval: float, as_json: bool) -> None:
    tracker = Tracker()
    tracker.update(looker.look())
    time.sleep(interval)  # two looks make a rate
    if asker:
        asker.ask_and_wait()
    look = looker.look()
    rows = view.chosen(tracker.update(look, asker.told if asker else None))
    notes = top_text.notes(look)
    if as_json:
        seen = [as_dict(row) for row in view.arrange(rows)]
        words = "processes" if view.processes else "sockets"
        report = {"seconds": interval, "hidden_processes": look.hidden, "notes": list(look.notes)}
        click.echo(json.dumps(report | {words: seen}, indent=2))
        return
    socket_cells.say_once(set(), notes)
    for line in table(rows, view, bool(asker)):
        click.echo(socket_cells.encodable(line), color=True)


def table(rows: Sequence[SocketRow], view: View, own: bool) -> list[str]:
    """The rows as lines, as wide as the terminal."""
    shown = top_cells.columns_of(view.processes, own)
    heads = [Column(one.title, one.right, keep=one.rank <= 3) for one in shown]
    lines = [[one.cell(row) for one in shown] for row in view.arrange(rows)]
    return list(columns.draw(heads, lines, columns.terminal_width()))


def as_dict(row: SocketRow | ProcessRow) -> dict[str, t.Any]:
    """One row for JSON; rates are bytes a second."""
    mark = {"mark": marks.NAMES.get(row.mark)}
    if isinstance(row, ProcessRow):
        return row._asdict() | mark
    facts = socket_facts.as_dict(row.socket) | socket_cells.peer_dict(row.peer)
    facts["holders"] = socket_cells.holder_dicts(row.holders)
    facts |= {"received_rate": row.received, "sent_rate": row.sent} | mark
    facts |= {"reason": row.reason} if row.mark else {}
    return facts | ({"server": row.own._asdict()} if row.own else {})
