"""A bound datagram socket: one for all peers, no accept. Read in bursts, send now or queue.

A failure of one datagram (port unreachable, no buffers, too large) is counted and reaches
``error_received`` with the peer it is about, and the socket lives on. Must not know pollers
beyond the ``Driver`` seam, nor any protocol.

On Linux what ICMP says of earlier datagrams comes from the socket's error queue
(``kernel.error_queue``). The kernel also lets it fail the next call on the socket, which may be
a send to somebody else: that one is sent again.

On a Unix socket a send finds no room when its receiver does not read (or, all together, do not:
unread datagrams count as the sender's), and a poller cannot tell when that changes: it calls
the socket writable all the time. So nothing is queued; what does not fit is dropped, counted and
reported.
"""

from __future__ import annotations

import errno
import socket
import typing as t
from collections import deque

from jackfield import limits
from jackfield.address import AF_UNIX
from jackfield.errors import reason_of
from jackfield.kernel import error_queue
from jackfield.kernel.options import (
    TRAFFIC_CLASS_SPACE,
    received_traffic_class,
    set_traffic_class,
)
from jackfield.log import log
from jackfield.pollers.base import ERROR, READ, WRITE
from jackfield.protocol import Buffer, SocketAddress
from jackfield.transports.base import NO_FIELDS, Datagrams
from jackfield.transports.driver import Driver


class DatagramBase(Datagrams):
    """One socket under a readiness engine. See ``protocol.DatagramTransport``.

    Has behaviour and no fields, as ``transports.base`` explains.

    ``dropped`` counts datagrams that could not be queued, ``ignored`` those that bore the
    traffic class of ``ignore_marked``, ``failures`` what reached ``error_received``, by the
    errno's name (``{"EMSGSIZE": 1}``), ``failed`` all of them.
    """

    __slots__ = NO_FIELDS

    def __init__(self, engine: Driver, sock: socket.socket, protocol: t.Any) -> None:
        self.engine = engine
        self.sock = sock
        self.fd = sock.fileno()
        self.protocol = protocol
        self.dropped = self.ignored = 0
        self.failures: dict[str, int] = {}
        self._has_error_queue = error_queue.enable(sock)
        self._waits_in_vain = sock.family == AF_UNIX and not _is_connected(sock)
        self._queue: deque[tuple[bytes, SocketAddress]] = deque()
        self._queued = 0  # bytes
        self._interest = 0
        self._mark = 0
        self._closing = self._pausing = self._released = False
        self._logged_at = float("-inf")

    def start(self) -> None:
        """Call ``connection_made``, then begin to read."""
        self._call("connection_made", self)
        if not self._closing:
            self._watch(READ)

    # --- receiving -------------------------------------------------------------------------

    def on_ready(self, flags: int) -> None:
        """The poller says the socket is ready."""
        if self._queue:
            self._flush()
        if flags == WRITE:
            return
        if flags & ERROR:
            self._take_errors()
        receive = self._receive_unmarked if self._mark else self._receive
        for taken in range(limits.DATAGRAM_BURST):
            if self._closing:
                return
            if not receive():
                if not taken:  # select(2) says "readable" of a queued error
                    self._take_errors()
                return

    def _receive(self) -> bool:
        """Take one datagram; False when there is none left."""
        try:
            data, addr = self.sock.recvfrom(limits.DATAGRAM_SIZE)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError as exc:
            self._receive_failed(exc)
            return True
        self._call("datagram_received", data, addr)
        return True

    def _receive_unmarked(self) -> bool:
        try:
            data, ancillary, _, addr = self.sock.recvmsg(limits.DATAGRAM_SIZE, TRAFFIC_CLASS_SPACE)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError as exc:
            self._receive_failed(exc)
            return True
        if received_traffic_class(ancillary) == self._mark:
            self.ignored += 1
        else:
            self._call("datagram_received", data, addr)
        return True

    def _receive_failed(self, exc: OSError) -> None:
        """The error of an earlier send: the queue, where there is one, says which."""
        if not self._take_errors():
            self._report(exc)

    def _take_errors(self) -> bool:
        """Report, soon, what the error queue holds; False when that is nothing."""
        if not self._has_error_queue:
            return False
        errors = error_queue.take(self.sock, limits.DATAGRAM_BURST)
        for exc, addr in errors:
            # Not now: we may be in a send that error_received began.
            self.engine.call_soon(self._report, exc, addr)
        return bool(errors)

    def ignore_marked(self, traffic_class: int) -> None:
        """Send everything with this traffic class (0..255), and ignore what arrives with it.

        Two such services cannot be made to answer each other for ever by a datagram with a
        forged source: each ignores the other's first answer, whatever the ports.
        """
        if set_traffic_class(self.sock, traffic_class):
            self._mark = traffic_class

    # --- sending ---------------------------------------------------------------------------

    def sendto(self, data: Buffer, addr: SocketAddress = None) -> None:
        if self._closing:
            return
        if self._queue:
            self._enqueue(data, addr)
            return
        try:
            self._send(data, addr)
        except (BlockingIOError, InterruptedError):
            if self._waits_in_vain:
                self._drop(addr)
            else:
                self._enqueue(data, addr)
        except OSError as exc:
            self._report(exc, addr)

    def _send(self, data: Buffer, addr: SocketAddress) -> None:
        try:
            self._send_once(data, addr)
        except (BlockingIOError, InterruptedError):
            raise
        except OSError:
            if not self._take_errors():
                raise
            self._send_once(data, addr)  # the error was an earlier datagram's

    def _send_once(self, data: Buffer, addr: SocketAddress) -> None:
        if addr:
            self.sock.sendto(data, addr)
            return
        try:
            self.sock.send(data)
        except OSError as exc:
            if exc.errno not in (errno.ENOTCONN, errno.EDESTADDRREQ):
                raise
            why = "no address to send to; a Unix peer without a name cannot be answered"
            raise OSError(errno.EDESTADDRREQ, why) from exc

    def _drop(self, addr: SocketAddress) -> None:
        self.dropped += 1
        self._report(OSError(errno.ENOBUFS, "the receiver does not read: dropped"), addr)

    def _enqueue(self, data: Buffer, addr: SocketAddress) -> None:
        size = memoryview(data).nbytes
        if self._queued + size > limits.DATAGRAM_OUTBOX:
            self.dropped += 1
            return
        self._queue.append((bytes(data), addr))
        self._queued += size
        self._watch(READ | WRITE)
        if not self._pausing:
            self._pausing = True
            self._call("pause_writing")

    def _flush(self) -> None:
        while self._queue:
            data, addr = self._queue[0]
            failure = None
            try:
                self._send(data, addr)
            except (BlockingIOError, InterruptedError):
                return
            except Exception as exc:  # also an address of a wrong kind: nobody looked at it yet
                failure = exc
            self._queue.popleft()
            self._queued -= len(data)
            if failure is not None:
                self._report(failure, addr)  # last: error_received may abort
        self._flushed()

    def _flushed(self) -> None:
        if self._closing:
            self._release()
            return
        self._watch(READ)
        self._pausing = False
        self._call("resume_writing")

    # --- closing ---------------------------------------------------------------------------

    def close(self) -> None:
        if self._closing:
            return
        self._closing = True
        if self._queue:
            self._watch(WRITE)
            self.engine.call_later(limits.FLUSH, self.abort)
        else:
            self._release()

    def abort(self) -> None:
        self._closing = True
        self._queue.clear()
        self._release()

    def is_closing(self) -> bool:
        return self._closing

    def _release(self) -> None:
        if self._released:
            return
        self._released = True
        self._watch(0)
        self.engine.call_soon(self._call, "connection_lost", None)
        self.engine.gone(self)

    # --- the rest --------------------------------------------------------------------------

    def _watch(self, interest: int) -> None:
        if interest != self._interest:
            self.engine.watch(self.fd, self._interest, interest)
            self._interest = interest

    @property
    def failed(self) -> int:
        """Errors of single datagrams."""
        return sum(self.failures.values())

    def _report(self, exc: Exception, addr: SocketAddress = None) -> None:
        if self._released:
            return
        name = reason_of(exc)
        self.failures[name] = self.failures.get(name, 0) + 1
        t.cast(t.Any, exc).peername = addr
        self._call("error_received", exc)

    def _call(self, name: str, *args: t.Any) -> None:
        """One peer's datagram must not end the service of all others."""
        try:
            getattr(self.protocol, name)(*args)
        except Exception as exc:
            self._callback_failed(exc)

    def _callback_failed(self, exc: Exception) -> None:
        if self.engine.now - self._logged_at >= limits.LOG_INTERVAL:
            self._logged_at = self.engine.now
            log().error("exception in a callback fd=%d", self.fd, exc_info=exc)

    def get_extra_info(self, name: str, default: t.Any = None) -> t.Any:
        match name:
            case "fd":
                return self.fd
            case "socket":
                return self.sock
            case "sockname":
                return self.sock.getsockname()
            case "peername" if _is_connected(self.sock):
                return self.sock.getpeername()
        return default


class ReactorDatagramTransport(DatagramBase):
    """The same, in Python alone."""

    __slots__ = (
        "_closing",
        "_has_error_queue",
        "_interest",
        "_logged_at",
        "_mark",
        "_pausing",
        "_queue",
        "_queued",
        "_released",
        "_waits_in_vain",
        "dropped",
        "engine",
        "failures",
        "fd",
        "ignored",
        "protocol",
        "sock",
    )


def _is_connected(sock: socket.socket) -> bool:
    try:
        sock.getpeername()
    except OSError:
        return False
    return True
