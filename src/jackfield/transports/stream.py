"""A connected stream socket: read fairly, write now or queue, close without losing the last bytes.

Must not know which poller or engine drives it beyond the ``Driver`` seam below, nor any
protocol. One connection is in one of four states::

    OPEN ------ close(), end of stream, evict() ------> FLUSHING   the outbox empties
    FLUSHING -- outbox empty: shutdown(SHUT_WR), connection_lost --> LINGERING  input is discarded
    LINGERING - the peer's end of stream, or LINGER seconds --> CLOSED
    any ------- error, abort(), FLUSH seconds --------> CLOSED     connection_lost, descriptor gone

``receiver`` is the protocol while OPEN and a discarder afterwards, so that the read path, which
runs once per arrival, asks nothing about states.
"""

from __future__ import annotations

import errno
import logging
import socket
import typing as t
from collections.abc import Callable, Iterable

from jackfield import limits
from jackfield.address import format_sockaddr
from jackfield.errors import DeadlineError, JackfieldError, LagError, reason_of
from jackfield.pollers.base import ERROR, HANGUP, READ, WRITE
from jackfield.protocol import Buffer, Engine, Gatherer
from jackfield.wire.outbox import Outbox

log = logging.getLogger("jackfield")

OPEN, FLUSHING, LINGERING, CLOSED = range(4)

NO_SIGNAL: int = getattr(socket, "MSG_NOSIGNAL", 0)
"""A write to a vanished peer gives EPIPE, whatever the process does with SIGPIPE. (macOS has
SO_NOSIGPIPE instead; Python ignores the signal by itself.)"""

# Why reading is paused: the protocol said so, or the peer does not read what we wrote.
BY_PROTOCOL, BY_OUTBOX = 1, 2

# Which ends of the stream have been reached.
EOF_RECEIVED, EOF_WANTED, EOF_SENT = 1, 2, 4


class Driver(Engine, t.Protocol):
    """What a transport needs of the engine that drives it."""

    now: float
    """The tick's time in seconds, on the monotonic clock."""

    def watch(self, fd: int, old: int, new: int) -> None:
        """The interest in ``fd`` changes from ``old`` to ``new`` (0: none)."""

    def lost(self, transport: StreamTransport, exc: BaseException | None, reason: str) -> None:
        """``connection_lost`` has been called: no more callbacks for this one."""

    def gone(self, transport: StreamTransport) -> None:
        """Forget the transport and close its socket at the end of the tick."""


class _Discarder:
    """Receives in the protocol's place once closing has begun."""

    __slots__ = ("_transport",)

    def __init__(self, transport: StreamTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        pass

    def eof_received(self) -> None:
        self._transport.linger_ended()


class StreamTransport:
    """One connection under a readiness engine. See ``protocol.Transport`` for the contract."""

    __slots__ = (
        "_ends",
        "_error",
        "_gatherers",
        "_high",
        "_interest",
        "_low",
        "_paused",
        "_pausing",
        "_timer",
        "engine",
        "fd",
        "outbox",
        "peername",
        "progress_at",
        "protocol",
        "read_at",
        "receiver",
        "sock",
        "state",
        "write_closed",
    )

    def __init__(self, engine: Driver, sock: socket.socket, peer: t.Any, protocol: t.Any) -> None:
        self.engine = engine
        self.sock = sock
        self.fd = sock.fileno()
        self.protocol = self.receiver = protocol
        self.outbox: Outbox | None = None
        self.state = OPEN
        self.write_closed = False  # nothing more can be queued: closing, half-closed or broken
        self.read_at = self.progress_at = 0.0  # engine time of the last bytes, last message
        self.peername = peer
        self._interest = READ  # the engine has registered us
        self._paused = 0  # BY_PROTOCOL | BY_OUTBOX
        self._ends = 0  # EOF_RECEIVED | EOF_WANTED | EOF_SENT
        self._pausing = False  # pause_writing was called last
        self._error: BaseException | None = None  # why writing failed, or why we evict
        self._gatherers: tuple[Gatherer, ...] = ()
        self._timer: t.Any = None  # bounds flushing or lingering
        self._low, self._high = limits.LOW_WATER, limits.HIGH_WATER

    def start(self) -> None:
        """Call ``connection_made``; the engine has registered the descriptor for READ."""
        self._call(self.protocol.connection_made, self)

    # --- reading ---------------------------------------------------------------------------

    def on_ready(self, flags: int) -> None:
        """The poller says the descriptor is ready."""
        if flags != READ:
            if self.outbox:
                self._flush()
            if flags == WRITE:
                return
        if not self._interest & READ:  # paused earlier in this tick
            if flags & (ERROR | HANGUP) and self._interest:
                self._fail(self._socket_error())
            return
        try:
            data = self.sock.recv(limits.RECEIVE_SIZE)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as exc:
            self._fail(self._error or exc)
            return
        self.read_at = self.engine.now
        try:
            if data:
                self.receiver.data_received(data)
            else:
                self._end_of_stream()
        except Exception as exc:
            self._callback_failed(exc)

    def _end_of_stream(self) -> None:
        self._ends |= EOF_RECEIVED
        if self._error is not None and self.state == OPEN:  # read to the end after EPIPE
            self._fail(self._error)
            return
        stays_open = self.receiver.eof_received()
        if self.state == OPEN and not stays_open:
            self.close()
        elif self.state != CLOSED:
            self._update_interest()

    def pause_reading(self) -> None:
        self._pause(BY_PROTOCOL)

    def resume_reading(self) -> None:
        self._resume(BY_PROTOCOL)

    def is_reading(self) -> bool:
        return self.state == OPEN and not self._paused & BY_PROTOCOL

    def _pause(self, who: int) -> None:
        self._paused |= who
        self._update_interest()

    def _resume(self, who: int) -> None:
        self._paused &= ~who
        self._update_interest()

    def _update_interest(self) -> None:
        state = self.state
        if state == CLOSED:
            return
        wanted = 0
        # While flushing or lingering we read and discard, whoever had paused.
        if not self._ends & EOF_RECEIVED and (state != OPEN or not self._paused):
            wanted = READ
        if self.outbox:
            wanted |= WRITE
        if wanted != self._interest:
            self._watch(wanted)

    def _watch(self, interest: int) -> None:
        old, self._interest = self._interest, interest
        self.engine.watch(self.fd, old, interest)

    # --- writing ---------------------------------------------------------------------------

    def write(self, data: Buffer) -> None:
        if self._gatherers:
            self._catch_up()
        if type(data) is not bytes:
            data = bytes(memoryview(data))
        if self.write_closed:
            self._written_too_late()
        elif self.outbox:
            self.queue_rest(data, 0)
        else:
            try:
                sent = self.sock.send(data, NO_SIGNAL)
            except (BlockingIOError, InterruptedError):
                sent = 0
            except OSError as exc:
                self.write_failed(exc)
                return
            if sent != len(data):
                self.queue_rest(data, sent)

    def writelines(self, lines: Iterable[Buffer]) -> None:
        self.write(b"".join(lines))

    def _written_too_late(self) -> None:
        if self.state == OPEN and self._ends & (EOF_WANTED | EOF_SENT):
            raise RuntimeError("Cannot call write() after write_eof()")

    def queue_rest(self, data: bytes, sent: int) -> None:
        """Keep ``data`` from offset ``sent`` on, by reference, until the kernel takes it."""
        outbox = self.outbox
        if outbox is None:
            outbox = self.outbox = Outbox()
        if sent:
            outbox.append_rest(data, sent)
        else:
            outbox.append(data)
        self._update_interest()
        if outbox.size > self._high and not self._pausing:
            self._pausing = True
            self._pause(BY_OUTBOX)
            self._call(self.protocol.pause_writing)

    def _flush(self) -> None:
        outbox = t.cast(Outbox, self.outbox)
        try:
            while outbox:
                buffers = outbox.buffers()
                sent = self.sock.sendmsg(buffers, (), NO_SIGNAL)
                outbox.advance(sent)
        except (BlockingIOError, InterruptedError):
            pass
        except OSError as exc:
            self.write_failed(exc)
            return
        self._flushed()

    def _flushed(self) -> None:
        """Some of the outbox has left: resume, or go on with what waited for it to empty."""
        if self._pausing and self.get_write_buffer_size() <= self._low:
            self._pausing = False
            self._paused &= ~BY_OUTBOX
            if self.state == OPEN:
                self._call(self.protocol.resume_writing)
        if not self.outbox:
            self.outbox = None  # an idle connection holds no queue
            if self.state == FLUSHING:
                self._linger()
            elif self._ends & EOF_WANTED:
                self._shutdown()
        self._update_interest()

    def write_failed(self, exc: OSError) -> None:
        """The peer takes no more. What it sent before it went is still read to its end."""
        self.write_closed = True
        if self.outbox:
            self.outbox.clear()
        self.outbox = None
        if self.state != OPEN or self._paused & BY_PROTOCOL or self._ends & EOF_RECEIVED:
            self._fail(self._error or exc)
            return
        self._error = exc
        self._paused = 0
        self._update_interest()

    def get_write_buffer_size(self) -> int:
        return self.outbox.size if self.outbox else 0

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._low, self._high

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        if high is None:
            high = limits.HIGH_WATER if low is None else 4 * low
        if low is None:
            low = high // 4
        if not high >= low >= 0:
            raise ValueError(f"high ({high!r}) must be >= low ({low!r}) must be >= 0")
        self._low, self._high = low, high

    # --- rooms -----------------------------------------------------------------------------

    def attach(self, gatherer: Gatherer) -> None:
        self._gatherers = (*self._gatherers, gatherer)

    def detach(self, gatherer: Gatherer) -> None:
        self._gatherers = tuple(g for g in self._gatherers if g is not gatherer)

    def _catch_up(self) -> None:
        for gatherer in self._gatherers:
            gatherer.catch_up(self)

    # --- closing ---------------------------------------------------------------------------

    def write_eof(self) -> None:
        if self._gatherers:
            self._catch_up()
        if self.state != OPEN or self._ends & (EOF_WANTED | EOF_SENT):
            return
        self._ends |= EOF_WANTED
        self.write_closed = True
        if not self.outbox:
            self._shutdown()

    def can_write_eof(self) -> bool:
        return True

    def _shutdown(self) -> None:
        self._ends |= EOF_SENT
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError as exc:
            if exc.errno == errno.ENOTCONN:  # the peer has closed both directions: as good as sent
                self._ends |= EOF_RECEIVED
            else:
                self._fail(exc)

    def close(self) -> None:
        if self.state != OPEN:
            return
        if self._gatherers:
            self._catch_up()
        if self._error is not None:
            self._fail(self._error)
            return
        self.state = FLUSHING
        self.write_closed = True
        self.receiver = _Discarder(self)
        if self.outbox:
            self._set_timer(limits.FLUSH, self._flush_expired)
            self._update_interest()
        else:
            # connection_lost must not come from inside the callback that called close().
            self.engine.call_soon(self._linger)

    def _flush_expired(self) -> None:
        if self.state == FLUSHING:
            self._fail(self._error or DeadlineError("it read nothing of our last bytes", "flush"))

    def _linger(self) -> None:
        if self.state != FLUSHING:
            return
        if not self._ends & EOF_SENT:
            self._shutdown()
        if self.state == FLUSHING:  # shutdown() did not find the peer gone
            self.state = LINGERING
            self._end(self._error)
            self._linger_on()

    def _linger_on(self) -> None:
        if self._ends & EOF_RECEIVED:
            self.linger_ended()
        else:
            self._update_interest()
            self._set_timer(limits.LINGER, self.linger_ended)

    def _set_timer(self, delay: float, callback: Callable[[], object]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.engine.call_later(delay, callback)

    def linger_ended(self) -> None:
        """The peer has closed too, or has had its time."""
        if self.state == LINGERING:
            self._release()

    def abort(self) -> None:
        if self.state in (OPEN, FLUSHING):
            self._fail(self._error)

    def evict(self, reason: JackfieldError) -> None:
        if self.state != OPEN:
            return
        if isinstance(reason, LagError) and self.outbox:
            self.outbox.truncate()
        self.say_goodbye(reason)
        self.close()
        self._error = self._error or reason

    def say_goodbye(self, reason: JackfieldError) -> None:
        """Let the protocol write its last words, if it knows how (asyncio's do not)."""
        closing = getattr(self.protocol, "closing", None)
        if closing is not None and self.state == OPEN:
            self._call(closing, reason)

    def is_closing(self) -> bool:
        return self.state != OPEN

    def _fail(self, exc: BaseException | None) -> None:
        """Close now; ``connection_lost(exc)`` follows outside of the callback we may be in."""
        if self.state == CLOSED:
            return
        told = self.state == LINGERING
        self._release()
        if not told:
            self.engine.call_soon(self._end, exc)

    def _release(self) -> None:
        self.state = CLOSED
        self.write_closed = True
        self.receiver = None
        if self._timer is not None:
            self._timer.cancel()
        self.outbox = None
        if self._interest:
            self._watch(0)
        self.engine.gone(self)

    def _end(self, exc: BaseException | None) -> None:
        reason = self._reason(exc)
        self._call(self.protocol.connection_lost, exc)
        self.engine.lost(self, exc, reason)
        self._gatherers = ()

    def _reason(self, exc: BaseException | None) -> str:
        if exc is not None:
            return reason_of(exc)
        if self._ends & EOF_RECEIVED:
            return "eof"
        return "aborted" if self.state == CLOSED else "closed"

    # --- callbacks and information ---------------------------------------------------------

    def _call(self, callback: Callable[..., object], *args: t.Any) -> bool:
        """Call the protocol; an exception ends this connection alone."""
        try:
            callback(*args)
        except Exception as exc:
            self._callback_failed(exc)
            return False
        return True

    def _callback_failed(self, exc: Exception) -> None:
        log.error("exception in a callback fd=%d peer=%s", self.fd, self.peer, exc_info=exc)
        self._fail(exc)

    def _socket_error(self) -> OSError:
        number = self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        return OSError(number, "") if number else ConnectionResetError("the peer is gone")

    def made_progress(self) -> None:
        self.progress_at = self.engine.now

    @property
    def peer(self) -> str:
        """The peer's address as text for people and logs."""
        return format_sockaddr(self.sock.family, self.peername)

    def get_protocol(self) -> t.Any:
        return self.protocol

    def set_protocol(self, protocol: t.Any) -> None:
        self.protocol = protocol
        if self.state == OPEN:
            self.receiver = protocol

    def get_extra_info(self, name: str, default: t.Any = None) -> t.Any:
        match name:
            case "peername":
                return self.peername
            case "peer":
                return self.peer
            case "fd":
                return self.fd
            case "socket":
                return self.sock
            case "sockname":
                return self._sockname(default)
        return default

    def _sockname(self, default: t.Any) -> t.Any:
        try:
            return self.sock.getsockname()
        except OSError:
            return default
