"""What is in trouble: full accept queues, peers that do not read, peers that do not answer.

All is told by the kernel, of any process. Some of it at once, some only when nothing has moved
between two looks for SETTLED seconds::

    ACCEPT_QUEUE  a listener with as many waiting as may wait: who connects now is not let in
    SLOW_READER   the peer has closed its window, and at its pace what waits takes longer than that;
                  or it acknowledges nothing though nothing is sent again: its kernel is there,
                  its program does not read
    NO_ANSWER     a segment is being sent again: the peer or the way to it is gone
    UNREAD        bytes have arrived and our own program does not read them

Pure: sockets and times in, marks out. Must not know processes.
"""

from __future__ import annotations

import enum
import typing as t

from jackfield.kernel import tcp_info
from jackfield.kernel.inet_diag import PERSIST_TIMER, RETRANSMIT_TIMER, InetSocket
from jackfield.kernel.proc_net import Socket
from jackfield.kernel.tcp_info import TcpInfo
from jackfield.kernel.unix_diag import UnixSocket
from jackfield.tools import socket_facts

SETTLED: t.Final = 1.0
"""Seconds without any movement. A round trip and a delayed acknowledgement take less, so that a
connection that is merely far away gets no mark."""


class Mark(enum.IntEnum):
    """In the order of how much they ask for a look."""

    NONE = 0
    UNREAD = 1
    NO_ANSWER = 2
    SLOW_READER = 3
    ACCEPT_QUEUE = 4


NAMES: t.Final = {
    Mark.UNREAD: "unread",
    Mark.NO_ANSWER: "no answer",
    Mark.SLOW_READER: "slow reader",
    Mark.ACCEPT_QUEUE: "accept queue full",
}


class Stillness(t.NamedTuple):
    """Since when nothing has moved; None where nothing waits to."""

    unsent: float | None = None
    """Bytes wait in the send queue, and the peer acknowledges none."""
    unread: float | None = None
    """Bytes wait in the receive queue, and the program takes none."""


class Counts(t.NamedTuple):
    """What one look saw of a socket."""

    acked: int
    received: int
    rqueue: int
    wqueue: int


def counts(sock: Socket, info: TcpInfo | None) -> Counts:
    """Of ``sock``; a kind that counts no bytes has 0 for them."""
    rqueue, wqueue = socket_facts.queues(sock)
    if info is None:
        return Counts(0, 0, rqueue, wqueue)
    return Counts(info.bytes_acked, info.bytes_received, rqueue, wqueue)


def stillness(now: Counts, before: Counts, still: Stillness, began: float) -> Stillness:
    """After another look. ``before`` and ``still`` are of the look before, which was at ``began``:
    what has not moved since has been still since then, or longer."""
    unsent = unread = None
    if now.wqueue and before.wqueue and now.wqueue >= before.wqueue and now.acked == before.acked:
        unsent = began if still.unsent is None else still.unsent
    taken = now.received - before.received - (now.rqueue - before.rqueue)
    if now.rqueue and before.rqueue and taken <= 0:
        unread = began if still.unread is None else still.unread
    return Stillness(unsent, unread)


def judge(
    sock: Socket, info: TcpInfo | None, still: Stillness, now: float, sent: float | None
) -> Mark:
    """The worst that is to be said of ``sock``. ``sent``: bytes a second that the peer takes, None
    in the first look."""
    if socket_facts.listens(sock):
        return Mark.ACCEPT_QUEUE if queue_is_full(sock) else Mark.NONE
    # In a fast transfer, too, a window is closed for moments: by who receives, not by trouble.
    if window_is_closed(sock, info) and (
        sent is None or socket_facts.queues(sock)[1] > sent * SETTLED
    ):
        return Mark.SLOW_READER
    if isinstance(sock, InetSocket) and _sends_again(sock):
        return Mark.NO_ANSWER
    if _settled(still.unsent, now) and isinstance(sock, InetSocket | UnixSocket):
        return Mark.SLOW_READER
    if _settled(still.unread, now) and sock.inode:  # without one it waits to be accepted
        return Mark.UNREAD
    return Mark.NONE


def queue_is_full(sock: Socket) -> bool:
    """Of a listener. /proc, which gives no cookie, does not tell how many may wait."""
    waiting, most = socket_facts.queues(sock)
    told = most or not isinstance(sock, InetSocket) or sock.cookie
    return bool(told) and waiting >= max(most, 1)


def window_is_closed(sock: Socket, info: TcpInfo | None) -> bool:
    """The peer takes nothing, though there is something for it."""
    if not isinstance(sock, InetSocket) or not sock.wqueue:
        return False
    if sock.timer == PERSIST_TIMER:
        return True
    # A kernel before 5.4 does not tell of the window.
    return info is not None and not info.snd_wnd and len(sock.raw_tcp) >= tcp_info.SIZE


def _sends_again(sock: InetSocket) -> bool:
    return sock.timer == RETRANSMIT_TIMER and sock.retransmits > 0


def _settled(since: float | None, now: float) -> bool:
    return since is not None and now - since >= SETTLED


def reason(mark: Mark, sock: Socket, info: TcpInfo | None) -> str:
    """What ``mark`` was given for, in a few words; "" for none."""
    rqueue, wqueue = socket_facts.queues(sock)
    if mark == Mark.ACCEPT_QUEUE:
        return f"accept queue full: {rqueue} wait, {wqueue} may"
    if mark == Mark.SLOW_READER:
        if window_is_closed(sock, info):
            return f"the peer has closed its window; {wqueue} bytes wait"
        return f"the peer takes nothing; {wqueue} bytes wait"
    if mark == Mark.NO_ANSWER:
        return f"the peer does not answer; {wqueue} bytes wait"
    return f"its program does not read; {rqueue} bytes wait" if mark == Mark.UNREAD else ""
