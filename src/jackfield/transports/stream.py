"""A connected stream socket: read fairly, write now or queue, close without losing the last bytes.

Must not know which poller or engine drives it beyond the ``Driver`` seam below, nor any
protocol. How a connection ends is in ``closing``; ``receiver`` is the protocol while it is open and
a discarder afterwards, so that the read path, which runs once per arrival, asks nothing about
states.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterable

from jackfield import lazy_typing as t
from jackfield import limits
from jackfield.pollers.base import ERROR, HANGUP, READ, WRITE
from jackfield.transports.base import CLOSED, FLUSHING, NO_FIELDS, OPEN
from jackfield.transports.buffered import ask_for_buffer
from jackfield.transports.closing import (
    CLOSING_FIELDS,
    EOF_RECEIVED,
    EOF_SENT,
    EOF_WANTED,
    ClosingTransport,
)
from jackfield.wire.outbox import Outbox

if t.TYPE_CHECKING:
    from jackfield.protocol import Buffer
    from jackfield.transports.driver import Driver

NO_SIGNAL: int = getattr(socket, "MSG_NOSIGNAL", 0)
"""A write to a vanished peer gives EPIPE, whatever the process does with SIGPIPE. (macOS has
SO_NOSIGPIPE instead; Python ignores the signal by itself.)"""

# Why reading is paused: the protocol said so, the peer does not read what we wrote, or the engine
# cannot take more of anybody.
BY_PROTOCOL, BY_OUTBOX, BY_ENGINE = 1, 2, 4


class StreamBase(ClosingTransport):
    """One connection under a readiness engine. See ``protocol.Transport`` for the contract."""

    __slots__ = NO_FIELDS

    reads_while: t.ClassVar[int] = 0
    """Reasons for a pause that do not stop reading."""

    def __init__(self, engine: Driver, sock: socket.socket, peer: t.Any, protocol: t.Any) -> None:
        super().__init__(engine, sock, peer, protocol)
        self._interest = READ  # the engine has registered us
        self._paused = 0  # BY_PROTOCOL | BY_OUTBOX | BY_ENGINE
        self._pausing = False  # pause_writing was called last

    def start(self) -> None:
        """Call ``connection_made``; the engine has registered the descriptor for READ."""
        self._call("connection_made", self)

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
        if self.filling:
            self._receive_into()
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
            self.callback_failed(exc)

    def _receive_into(self) -> None:
        """Receive into the buffer of a protocol that brings its own."""
        try:
            buffer = ask_for_buffer(self.protocol)
        except Exception as exc:
            self.callback_failed(exc)
            return
        try:
            count = self.sock.recv_into(buffer)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as exc:
            self._fail(self._error or exc)
            return
        finally:
            buffer.release()  # who resizes its buffer in buffer_updated() may do so
        self.read_at = self.engine.now
        try:
            if count:
                self.protocol.buffer_updated(count)
            else:
                self._end_of_stream()
        except Exception as exc:
            self.callback_failed(exc)

    def _end_of_stream(self) -> None:
        self._ends |= EOF_RECEIVED
        if self._error is not None and self.state == OPEN:  # read to the end after EPIPE
            self._fail(self._error)
            return
        stays_open = self._ask_at_end()
        if self.state == OPEN and not stays_open:
            if self._gatherers:
                self._catch_up()
            self._begin_to_close()
        elif self.state != CLOSED:
            self._update_interest()

    def _ask_at_end(self) -> bool | None:
        answer: bool | None = self.receiver.eof_received()
        return answer

    def pause_reading(self) -> None:
        self._pause(BY_PROTOCOL)

    def resume_reading(self) -> None:
        self._resume(BY_PROTOCOL)

    def is_reading(self) -> bool:
        return self.state == OPEN and not self._paused & BY_PROTOCOL

    def hold(self, hold: bool) -> None:
        """The engine wants nothing of this peer until this is called with False."""
        (self._pause if hold else self._resume)(BY_ENGINE)

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
        paused = self._paused & ~self.reads_while
        if not self._ends & EOF_RECEIVED and (state != OPEN or not paused):
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
            self._tell_to_pause()
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
                self._tell_to_pause()

    def writelines(self, lines: Iterable[Buffer]) -> None:
        self.write(b"".join(lines))

    def _written_too_late(self) -> None:
        if self.state == OPEN and self._ends & (EOF_WANTED | EOF_SENT):
            raise RuntimeError("Cannot call write() after write_eof()")

    def deliver(self, data: bytes) -> bool:
        if self.write_closed:
            return False
        sent = 0
        if not self.outbox:
            try:
                sent = self.sock.send(data, NO_SIGNAL)
            except (BlockingIOError, InterruptedError):
                pass
            except OSError as exc:
                self.write_failed(exc)
                return False
        if sent != len(data):
            self.queue_rest(data, sent)
        return self.outbox is not None

    def queue_rest(self, data: bytes, sent: int) -> None:
        """Keep ``data`` from offset ``sent`` on, by reference, until the kernel takes it.

        Calls no callback: a fan-out reaches every member before one of them can answer.
        """
        outbox = self.outbox
        if outbox is None:
            outbox = self.outbox = Outbox()
        if sent:
            outbox.append_rest(data, sent)
        else:
            outbox.append(data)
        if outbox.size > self._high:
            self._bound(outbox.size)
            if not self._paused & BY_OUTBOX:
                self._stop_producer()
        self._update_interest()

    def _stop_producer(self) -> None:
        """The outbox is too full: read no more of the peer, and tell the protocol soon."""
        self._paused |= BY_OUTBOX
        self._soon(self._tell_to_pause)

    def _tell_to_pause(self) -> None:
        """Call ``pause_writing``, unless that is done already or needed no more."""
        if self._paused & BY_OUTBOX and not self._pausing and self.state == OPEN:
            self._pausing = True
            self._call("pause_writing")

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
        if self._paused & BY_OUTBOX and self.get_write_buffer_size() <= self._low:
            self._paused &= ~BY_OUTBOX
            self._tell_to_resume()
        if not self.outbox:
            self.outbox = None  # an idle connection holds no queue
            if self.state == FLUSHING:
                self._linger()
            elif self._ends & EOF_WANTED:
                self._shutdown()
        self._update_interest()

    def _tell_to_resume(self) -> None:
        """Call ``resume_writing``, unless it was not told to pause, or is to pause again."""
        if self._pausing and not self._paused & BY_OUTBOX:
            self._pausing = False
            if self.state == OPEN:
                self._call("resume_writing")

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
        outbox = self.outbox  # which another thread may take away, under an engine of threads
        return outbox.size if outbox else 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        super().set_write_buffer_limits(high, low)
        if self.get_write_buffer_size() > self._high and not self._paused & BY_OUTBOX:
            self._stop_producer()
            self._update_interest()
            self._tell_to_pause()

    # --- what closing asks of the I/O --------------------------------------------------------

    def _unwatch(self) -> None:
        if self._interest:
            self._watch(0)

    def _socket_error(self) -> OSError:
        number = self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        number = number or errno.ECONNRESET
        return OSError(number, os.strerror(number))


class StreamTransport(StreamBase):
    """The same, in Python alone."""

    __slots__ = (*CLOSING_FIELDS, "_interest", "_paused", "_pausing")
