"""A bound datagram socket: one for all peers, no accept. Read in bursts, send now or queue.

A failure of one datagram (port unreachable, no buffers, too large) reaches ``error_received`` and
the socket lives on. Must not know pollers beyond the ``Driver`` seam, nor any protocol.
"""

from __future__ import annotations

import logging
import socket
import typing as t
from collections import deque
from collections.abc import Callable

from jackfield import limits
from jackfield.kernel.options import (
    TRAFFIC_CLASS_SPACE,
    received_traffic_class,
    set_traffic_class,
)
from jackfield.pollers.base import READ, WRITE
from jackfield.protocol import Buffer, Engine, SocketAddress

log = logging.getLogger("jackfield")


class Driver(Engine, t.Protocol):
    """What a datagram transport needs of the engine that drives it."""

    now: float

    def watch(self, fd: int, old: int, new: int) -> None:
        """The interest in ``fd`` changes from ``old`` to ``new`` (0: none)."""

    def gone(self, transport: t.Any) -> None:
        """Forget the transport and close its socket at the end of the tick."""


class ReactorDatagramTransport:
    """One socket under a readiness engine. See ``protocol.DatagramTransport``.

    ``dropped`` counts datagrams that could not be queued, ``ignored`` those that bore the
    traffic class of ``ignore_marked``, ``failed`` errors of single datagrams.
    """

    __slots__ = (
        "_closing",
        "_interest",
        "_logged_at",
        "_mark",
        "_pausing",
        "_queue",
        "_queued",
        "dropped",
        "engine",
        "failed",
        "fd",
        "ignored",
        "protocol",
        "sock",
    )

    def __init__(self, engine: Driver, sock: socket.socket, protocol: t.Any) -> None:
        self.engine = engine
        self.sock = sock
        self.fd = sock.fileno()
        self.protocol = protocol
        self.dropped = self.ignored = self.failed = 0
        self._queue: deque[tuple[bytes, SocketAddress]] = deque()
        self._queued = 0  # bytes
        self._interest = 0
        self._mark = 0
        self._closing = self._pausing = False
        self._logged_at = float("-inf")

    def start(self) -> None:
        """Call ``connection_made``, then begin to read."""
        self._call(self.protocol.connection_made, self)
        if not self._closing:
            self._watch(READ)

    # --- receiving -------------------------------------------------------------------------

    def on_ready(self, flags: int) -> None:
        """The poller says the socket is ready."""
        if self._queue:
            self._flush()
        if flags == WRITE:
            return
        receive = self._receive_unmarked if self._mark else self._receive
        for _ in range(limits.DATAGRAM_BURST):
            if self._closing or not receive():
                return

    def _receive(self) -> bool:
        """Take one datagram; False when there is none left."""
        try:
            data, addr = self.sock.recvfrom(limits.DATAGRAM_SIZE)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError as exc:
            self._report(exc)
            return True
        self._call(self.protocol.datagram_received, data, addr)
        return True

    def _receive_unmarked(self) -> bool:
        try:
            data, ancillary, _, addr = self.sock.recvmsg(limits.DATAGRAM_SIZE, TRAFFIC_CLASS_SPACE)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError as exc:
            self._report(exc)
            return True
        if received_traffic_class(ancillary) == self._mark:
            self.ignored += 1
        else:
            self._call(self.protocol.datagram_received, data, addr)
        return True

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
            self._enqueue(data, addr)
        except OSError as exc:
            self._report(exc)

    def _send(self, data: Buffer, addr: SocketAddress) -> None:
        if addr is None:
            self.sock.send(data)
        else:
            self.sock.sendto(data, addr)

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
            self._call(self.protocol.pause_writing)

    def _flush(self) -> None:
        while self._queue:
            data, addr = self._queue[0]
            try:
                self._send(data, addr)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as exc:
                self._report(exc)
            self._queue.popleft()
            self._queued -= len(data)
        self._flushed()

    def _flushed(self) -> None:
        if self._closing:
            self._release()
            return
        self._watch(READ)
        self._pausing = False
        self._call(self.protocol.resume_writing)

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
        if self.protocol is None:
            return
        protocol, self.protocol = self.protocol, None
        self._watch(0)
        self.engine.call_soon(self._call, protocol.connection_lost, None)
        self.engine.gone(self)

    # --- the rest --------------------------------------------------------------------------

    def _watch(self, interest: int) -> None:
        old, self._interest = self._interest, interest
        if old != interest:
            self.engine.watch(self.fd, old, interest)

    def _report(self, exc: OSError) -> None:
        self.failed += 1
        self._call(self.protocol.error_received, exc)

    def _call(self, callback: Callable[..., object], *args: t.Any) -> None:
        """One peer's datagram must not end the service of all others."""
        try:
            callback(*args)
        except Exception as exc:
            if self.engine.now - self._logged_at >= limits.LOG_INTERVAL:
                self._logged_at = self.engine.now
                log.error("exception in a callback fd=%d", self.fd, exc_info=exc)

    def get_extra_info(self, name: str, default: t.Any = None) -> t.Any:
        match name:
            case "fd":
                return self.fd
            case "socket":
                return self.sock
            case "sockname":
                return self.sock.getsockname()
        return default
