"""``jackfield fds``: what each descriptor of a process is, and how its socket is doing."""

from __future__ import annotations

import errno
import typing as t
from collections.abc import Sequence

import click

from jackfield.cli import columns, socket_cells
from jackfield.cli.columns import Cell, Column, safe
from jackfield.errors import SystemRefused, UsageError
from jackfield.kernel import fdinfo
from jackfield.tools import socket_facts
from jackfield.tools.fdtable import Row, Snapshot
from jackfield.tools.socket_filter import Filter

COLUMNS: t.Final = (
    Column("FD", keep=True),
    Column("TYPE", keep=True),
    Column("PROTO", keep=True),
    *socket_cells.QUEUES,
    Column("EPOLL"),
    *socket_cells.TCP,
    Column("NAME", keep=True),
)


@click.command()
@click.argument("pid", required=False, type=click.IntRange(min=1))
@click.option("--name", metavar="NAME", help="The processes with this command name.")
@click.option("--all", "--files", "files", is_flag=True, help="Also cwd, txt and mapped files.")
@socket_cells.options
def command(
    *,
    pid: int | None,
    name: str | None,
    files: bool,
    states: Sequence[str],
    peers: Sequence[str],
    listening: bool,
    port: int | None,
    service_names: bool,
    as_json: bool,
    watch: float | None,
) -> int:
    """Show the descriptors of process PID, of those with a NAME or a PORT, or of all.

    One row a descriptor, also where processes share a socket. FD has its mode: r, w or u (both).
    A listener shows who waits to be accepted, and how many may: (LISTEN 0/128). EPOLL names the
    descriptor of the epoll that watches this one, and for what. Columns that say nothing are left
    out, and so are those for which the terminal is too narrow. JSON has them all.

    \b
    jackfield fds 4711
    jackfield fds --name nginx --state close-wait
    jackfield fds --port 8888 --watch
    """
    if pid is not None and name is not None:
        raise UsageError("give a PID or a --name, not both")
    wanted = Filter.of(states, peers, listening, port)
    said: set[str] = set()

    def show() -> Sequence[str]:
        rows, notes = look(pid, name, files, wanted)
        socket_cells.say_once(said, notes)
        if as_json:
            return socket_cells.dump_json([as_dict(row) for row in rows], watch)
        return table(rows, service_names)

    return socket_cells.repeat(watch, as_json, show)


def look(
    pid: int | None, name: str | None, files: bool, wanted: Filter
) -> tuple[list[Row], list[str]]:
    """The rows that were asked for, by process and descriptor, and what is to be said of them.

    Raises ``SystemRefused`` when nobody is found or nobody may be seen.
    """
    snapshot = Snapshot()
    rows: list[Row] = []
    refusals = []
    for one in _processes(snapshot, pid, name, wanted):
        try:
            rows += snapshot.rows(one, files)
        except SystemRefused as exc:
            if pid is not None:
                raise
            if exc.errno != errno.ESRCH:  # it ended while we looked: nothing to say
                refusals.append(exc)
    if refusals and not rows:
        raise refusals[0]
    notes = snapshot.notes
    if refusals:
        notes.append(f"{len(refusals)} processes of other users are not shown; root sees them")
    if wanted:
        rows = [row for row in rows if row.socket is not None and wanted.matches(row.socket)]
    return rows, notes


def _processes(snapshot: Snapshot, pid: int | None, name: str | None, wanted: Filter) -> list[int]:
    if pid is not None:
        return [pid]
    if name is not None:
        found = list(fdinfo.named(name))
        if not found:
            raise SystemRefused(f"there is no process named {safe(name)}", errno.ESRCH)
        return found
    if wanted.port is not None:
        found = snapshot.pids_with(wanted.matches)
        if not found:
            hidden = " that we may see (root sees all)" if snapshot.hidden else ""
            raise SystemRefused(f"no process{hidden} has port {wanted.port}", errno.ESRCH)
        return found
    return fdinfo.process_ids()


def table(rows: Sequence[Row], service_names: bool) -> list[str]:
    """The rows under a heading for each process, as wide as the terminal."""
    lines: list[columns.Line] = []
    last = None
    for row in rows:
        if row.pid != last:
            lines.append(f"{safe(row.process) or '?'} (pid {row.pid})")
            last = row.pid
        lines.append(_cells(row, service_names))
    return list(columns.draw(COLUMNS, lines, columns.terminal_width()))


def _cells(row: Row, service_names: bool) -> list[Cell]:
    if row.socket is not None:
        last = socket_cells.name(row.socket, row.peer, service_names)
    else:
        last = Cell(f"({row.state})" if row.state else safe(row.text))
    return [
        Cell(f"{row.fd}{row.mode}"),
        Cell(safe(row.type)),
        Cell(safe(row.protocol)),
        *socket_cells.queue_cells(row.socket),
        Cell(" ".join(f"{one.epoll}:{','.join(one.events) or '-'}" for one in row.watchers)),
        *socket_cells.tcp_cells(row.socket),
        last,
    ]


def as_dict(row: Row) -> dict[str, t.Any]:
    """One row for JSON."""
    facts: dict[str, t.Any] = {
        "pid": row.pid,
        "process": row.process,
        "fd": row.fd,
        "mode": row.mode,
        "type": row.type,
        "protocol": row.protocol,
        "name": row.text,
        "state": row.state,
    }
    if row.inode:
        facts["inode"] = row.inode
    if row.socket is not None:
        del facts["name"]
        facts |= socket_facts.as_dict(row.socket)
        facts |= socket_cells.peer_dict(row.peer)
    watchers = [{"epoll": one.epoll, "events": list(one.events)} for one in row.watchers]
    return facts | ({"watched_by": watchers} if watchers else {})
