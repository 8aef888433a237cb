"""Looks become rows: rates from what was counted between two of them, and marks.

    Tracker.update(look) -> rows        a row is one socket, whoever holds it

A socket is known again by its cookie, which no other ever has, so that a connection that took the
place of another with the same addresses begins anew. Pure: the clock is the looks'. Must not know
terminals.
"""

from __future__ import annotations

import operator
import typing as t

from jackfield.kernel.inet_diag import InetSocket
from jackfield.kernel.proc_net import Socket
from jackfield.kernel.tcp_info import TcpInfo
from jackfield.kernel.unix_diag import UnixSocket
from jackfield.tools import socket_facts
from jackfield.tools.fdtable import Holder, UnixPeer
from jackfield.tools.top import marks
from jackfield.tools.top.looker import Look
from jackfield.tools.top.marks import Counts, Mark, Stillness
from jackfield.tools.top.server import Own, Told

Key: t.TypeAlias = tuple[t.Any, ...]
"""What tells sockets apart, from one look to the next."""

ESTABLISHED, CLOSE_WAIT = 1, 8
"""Of ``InetSocket.state``."""

NO_HOLDERS: t.Final[tuple[Holder, ...]] = ()


class SocketRow(t.NamedTuple):
    """One socket. Rates are bytes a second, None where nothing is counted: in the first look, and
    of UDP and Unix sockets."""

    key: Key
    socket: Socket
    info: TcpInfo | None
    """None too for a listener, of which it says nothing."""
    holders: tuple[Holder, ...]
    peer: UnixPeer | None
    received: float | None
    sent: float | None
    """Bytes that the peer has acknowledged."""
    mark: Mark
    marked_for: float
    """Seconds since when we see this mark."""
    own: Own | None = None
    """What its server says of it, if that is jackfield and was asked."""

    @property
    def reason(self) -> str:
        """What its mark was given for; "" for none. Not safe to print."""
        text = marks.reason(self.mark, self.socket, self.info)
        if self.own and self.own.lags_in:
            text += f"; lags in {self.own.lags_in}, {self.own.outbox} bytes in its outbox"
        return text

    @property
    def state(self) -> str:
        return socket_facts.state_of(self.socket)

    @property
    def process(self) -> str:
        """The command name of the first who holds it; "" for nobody. Not safe to print."""
        return self.holders[0].process if self.holders else ""

    @property
    def waits(self) -> bool:
        """A connection that nobody has accepted yet; the kernel answers for it."""
        sock = self.socket
        connected = isinstance(sock, InetSocket) and sock.state in (ESTABLISHED, CLOSE_WAIT)
        return connected and sock.protocol == "tcp" and not sock.inode

    @property
    def text(self) -> str:
        """What a person may look for in it, in small letters. Not safe to print."""
        parts = [f"{one.process} {one.pid}" for one in self.holders]
        parts += (self.socket.protocol, self.state, marks.NAMES.get(self.mark, ""))
        parts += (socket_facts.local(self.socket), socket_facts.peer(self.socket))
        if self.peer:
            parts += (self.peer.name, *(f"{one.process} {one.pid}" for one in self.peer.holders))
        if self.own:
            parts += (self.own.label, self.own.lags_in)
        return " ".join(parts).lower()


class _Past(t.NamedTuple):
    """What is kept of a socket from one look to the next."""

    counts: Counts
    still: Stillness
    mark: Mark
    since: float


def key_of(sock: Socket) -> Key:
    """What ``sock`` is known by. /proc tells no cookie: there it is the addresses."""
    if isinstance(sock, InetSocket):
        if sock.cookie:
            return (sock.cookie,)
        return (sock.protocol, sock.src, sock.sport, sock.dst, sock.dport, sock.inode)
    return (sock.protocol, sock.inode)


class Tracker:
    """Compares each look with the one before."""

    def __init__(self) -> None:
        self._past: dict[Key, _Past] = {}
        self._at: float | None = None

    def update(self, look: Look, told: Told | None = None) -> list[SocketRow]:
        """The rows of ``look``, in its order; ``told`` is what a server says of its own."""
        past, self._past = self._past, {}
        unix = _UnixPeers(look)
        rows = [self._row(look, one, past.get(key_of(one)), unix, told) for one in look.sockets]
        self._at = look.at
        return rows

    def _row(
        self, look: Look, sock: Socket, before: _Past | None, unix: _UnixPeers, told: Told | None
    ) -> SocketRow:
        key = key_of(sock)
        info = None
        if isinstance(sock, InetSocket) and sock.raw_tcp and not socket_facts.listens(sock):
            info = sock.tcp
        now, still = marks.counts(sock, info), Stillness()
        received = sent = None
        if before and self._at is not None and look.at > self._at:
            if now.rqueue or now.wqueue:
                still = marks.stillness(now, before.counts, before.still, self._at)
            if info:
                received, sent = _rates(now, before.counts, look.at - self._at)
        holders = look.holders.get(sock.inode, NO_HOLDERS) if sock.inode else NO_HOLDERS
        own = told.of(sock, holders) if told else None
        mark = Mark.NONE
        if now.rqueue or now.wqueue:
            mark = marks.judge(sock, info, still, look.at, sent)
        if own and own.lags_in:
            mark = max(mark, Mark.SLOW_READER)
        since = before.since if before and before.mark == mark else look.at
        self._past[key] = _Past(now, still, mark, since)
        peer = unix.of(sock) if isinstance(sock, UnixSocket) else None
        lasted = look.at - since if mark else 0.0
        return SocketRow(key, sock, info, holders, peer, received, sent, mark, lasted, own)


def _rates(now: Counts, before: Counts, seconds: float) -> tuple[float, float]:
    """Received and sent, bytes a second."""
    received, acked = now.received - before.received, now.acked - before.acked
    return max(received, 0) / seconds, max(acked, 0) / seconds


class _UnixPeers:
    """The other ends of Unix sockets, which have no address but a process."""

    def __init__(self, look: Look) -> None:
        several = [one for one in look.sockets if isinstance(one, UnixSocket)]
        self._look = look
        self._by_inode = {one.inode: one for one in several}
        self._listeners = {client: one.inode for one in several for client in one.waiting}

    def of(self, sock: UnixSocket) -> UnixPeer | None:
        inode = sock.peer or self._listeners.get(sock.inode, 0)
        if not inode:
            return None
        other = self._by_inode.get(inode)
        name = socket_facts.unix_name(other) if other else ""
        return UnixPeer(name, self._look.holders.get(inode, NO_HOLDERS), not sock.peer)


# --- processes ---------------------------------------------------------------------------------


class ProcessRow(t.NamedTuple):
    """All sockets of one process, each counted for everybody who holds it. ``pid`` 0 stands for
    nobody whom we may see: other users' sockets, and those that no process holds any more."""

    pid: int
    process: str
    sockets: int
    listening: int
    established: int
    received: float | None
    sent: float | None
    rqueue: int
    """Bytes; of a listener nothing."""
    wqueue: int
    retransmits: int
    mark: Mark
    """The worst of its sockets."""
    marked: int
    """How many have that one."""

    @property
    def key(self) -> Key:
        return (self.pid,)

    @property
    def text(self) -> str:
        """What a person may look for in it, in small letters. Not safe to print."""
        return f"{self.process} {self.pid} {marks.NAMES.get(self.mark, '')}".lower()


def by_process(rows: list[SocketRow]) -> list[ProcessRow]:
    """The rows of ``rows`` summed up by who holds them."""
    several: dict[int, list[SocketRow]] = {}
    names: dict[int, str] = {}
    for row in rows:
        for one in dict.fromkeys((h.pid, h.process) for h in row.holders) or ((0, ""),):
            names[one[0]] = one[1]
            several.setdefault(one[0], []).append(row)
    return [_sum(pid, names[pid], held) for pid, held in several.items()]


def _sum(pid: int, name: str, rows: list[SocketRow]) -> ProcessRow:
    listening = [row for row in rows if socket_facts.listens(row.socket)]
    others = [row for row in rows if not socket_facts.listens(row.socket)]
    queues = [socket_facts.queues(row.socket) for row in others]
    worst = max(row.mark for row in rows)
    return ProcessRow(
        pid,
        name,
        len(rows),
        len(listening),
        sum(row.state == "ESTABLISHED" for row in others),
        _total(row.received for row in rows),
        _total(row.sent for row in rows),
        sum(map(operator.itemgetter(0), queues)),
        sum(map(operator.itemgetter(1), queues)),
        sum(row.info.total_retrans for row in rows if row.info),
        worst,
        sum(row.mark == worst for row in rows) if worst else 0,
    )


def _total(rates: t.Iterable[float | None]) -> float | None:
    known = [rate for rate in rates if rate is not None]
    return sum(known) if known else None
