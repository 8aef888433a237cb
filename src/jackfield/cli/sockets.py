"""``jackfield sockets``: every TCP, UDP and Unix socket of the machine, and whose it is."""

from __future__ import annotations

import typing as t
from collections.abc import Sequence

import click

from jackfield.cli import columns, socket_cells
from jackfield.cli.columns import Cell, Column
from jackfield.kernel.inet_diag import InetSocket
from jackfield.kernel.proc_net import Socket
from jackfield.tools import socket_facts
from jackfield.tools.fdtable import KINDS, Snapshot
from jackfield.tools.socket_filter import Filter

COLUMNS: t.Final = (
    Column("PROTO", keep=True),
    Column("STATE", keep=True),
    Column("RECV-Q", right=True, keep=True),
    Column("SEND-Q", right=True, keep=True),
    Column("PROCESS", keep=True),
    *socket_cells.TCP,
    Column("LOCAL->PEER", keep=True),
)


@click.command()
@click.option("--tcp", is_flag=True, help="TCP sockets.")
@click.option("--udp", is_flag=True, help="UDP sockets.")
@click.option("--unix", is_flag=True, help="Unix sockets.")
@socket_cells.options
def command(
    *,
    tcp: bool,
    udp: bool,
    unix: bool,
    states: Sequence[str],
    peers: Sequence[str],
    listening: bool,
    port: int | None,
    service_names: bool,
    as_json: bool,
    watch: float | None,
) -> int:
    """Show all sockets of this machine (of this network namespace) with their processes.

    Of a listener RECV-Q is who waits to be accepted, SEND-Q how many may. Everybody sees every
    socket; the processes of other users, root alone.

    \b
    jackfield sockets --tcp --listening
    jackfield sockets --state established --peer 10.0.0.0/8
    """
    asked = {"tcp": tcp, "udp": udp, "unix": unix}
    kinds = [kind for kind in KINDS if asked[kind]] or list(KINDS)
    wanted = Filter.of(states, peers, listening, port)
    said: set[str] = set()

    def show() -> Sequence[str]:
        snapshot = Snapshot(kinds)
        found = sorted(filter(wanted.matches, snapshot.sockets), key=order)
        nothing = ["no socket is what was asked for"] if not found else []
        socket_cells.say_once(said, [*snapshot.notes, *missing(snapshot, found), *nothing])
        if as_json:
            return socket_cells.dump_json([as_dict(snapshot, one) for one in found], watch)
        lines = [_cells(snapshot, one, service_names) for one in found]
        return list(columns.draw(COLUMNS, lines, columns.terminal_width()))

    return socket_cells.repeat(watch, as_json, show)


def order(sock: Socket) -> tuple[t.Any, ...]:
    """The kernel's own order changes from one look to the next. Listeners come first."""
    first = (socket_facts.type_of(sock) == "unix", sock.protocol, not socket_facts.listens(sock))
    if isinstance(sock, InetSocket):
        return *first, sock.family, sock.src, sock.sport, sock.dst, sock.dport, sock.inode
    return *first, sock.inode


def missing(snapshot: Snapshot, found: Sequence[Socket]) -> list[str]:
    """What we cannot show, and why, in a line; nothing when all is there."""
    if not snapshot.hidden:
        return []
    without = sum(1 for one in found if one.inode and not snapshot.holders(one.inode))
    if not without:
        return []
    sockets = "1 socket is" if without == 1 else f"{without} sockets are"
    why = "they belong to other users, whose descriptors root alone may see; try sudo"
    return [f"{sockets} shown without a process: {why}"]


def _cells(snapshot: Snapshot, sock: Socket, service_names: bool) -> list[Cell]:
    state = socket_facts.state_of(sock)
    protocol = f"unix {sock.protocol}" if socket_facts.type_of(sock) == "unix" else sock.protocol
    peer = snapshot.unix_peer(sock)
    return [
        Cell(protocol),
        Cell(state, socket_cells.state_colour(state)),
        *socket_cells.queue_cells(sock),
        Cell(socket_cells.holders(snapshot.holders(sock.inode))),
        *socket_cells.tcp_cells(sock),
        socket_cells.name(sock, peer, service_names, state=False),
    ]


def as_dict(snapshot: Snapshot, sock: Socket) -> dict[str, t.Any]:
    """One socket for JSON, with everybody who has it."""
    facts = socket_facts.as_dict(sock)
    facts["holders"] = socket_cells.holder_dicts(snapshot.holders(sock.inode))
    return facts | socket_cells.peer_dict(snapshot.unix_peer(sock))
