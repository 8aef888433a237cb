"""The transport that TLS gives to the user's protocol: plaintext above, a raw transport below.

Ends of the stream: ``write_eof`` sends close_notify and leaves the connection open; ``close`` sends
what waits and close_notify, then closes the raw transport, which lingers. The peer's close_notify
is ``eof_received``. An end without it may be an attacker's cut, so that ``eof_received`` is not
called: what waits for the peer is sent, then ``connection_lost`` gets a ``TlsError``. Once we have
closed, nobody reads any more, and how the peer ends is its own affair (RFC 9112, 9.8).

When the engine closes the raw transport itself (a deadline, its own stop) what waits is encrypted
at once. Must not know engines, handshakes or certificates.
"""

from __future__ import annotations

import typing as t
from collections.abc import Callable, Iterable

from jackfield import limits
from jackfield.errors import DeadlineError, JackfieldError, LagError, TlsError, reason_of
from jackfield.protocol import Buffer, SocketAddress
from jackfield.transports.base import BASE_FIELDS, CLOSED, FLUSHING, OPEN, BaseTransport
from jackfield.transports.buffered import give
from jackfield.transports.tls_pipe import TlsPipe
from jackfield.wire.tls_session import TlsSession


class _Because(JackfieldError):
    """Tells the raw transport, and so the log, why the layer ends it. Not a ``LagError``, which
    would make it drop ciphertext from the midst of the stream."""

    fault = "peer"

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class TlsTransport(BaseTransport):
    """What the user's protocol is given: the contract of ``protocol.Transport``, in plaintext.

    It has no ``sock``, so that nobody can send past the encryption. ``get_extra_info`` knows what
    the raw transport knows, and "ssl_object", "sslcontext", "cipher", "peercert", "compression".
    """

    __slots__ = (
        *BASE_FIELDS,
        "_eof_told",
        "_error",
        "_half_closed",
        "_kept",
        "_paused",
        "_pausing",
        "_pipe",
        "_raw",
        "_raw_eof",
        "_session",
        "_timer",
        "write_closed",
    )

    def __init__(self, raw: t.Any, session: TlsSession, protocol: t.Any) -> None:
        self._raw = raw
        self._session = session
        self._pipe = TlsPipe(raw, session)
        self.engine = raw.engine
        self.fd = raw.get_extra_info("fd", -1)
        self.peername = raw.get_extra_info("peername")
        self.protocol = protocol
        self.receiver = None
        self.state = OPEN
        self.read_at = self.progress_at = 0.0
        self.write_closed = False
        self._gatherers = ()
        self._half_closed = False  # close_notify was said, or follows what waits
        self._eof_told = self._raw_eof = False
        self._paused = False  # reading, by the protocol
        self._pausing = False  # pause_writing was called last
        self._kept = False  # something came that is read when the protocol was told to resume
        self._error: BaseException | None = None  # why we end it
        self._timer: t.Any = None
        self.set_write_buffer_limits()

    def begin(self) -> None:
        """The handshake is done: tell the protocol, and read what came with its last bytes."""
        self.protocol.connection_made(self)
        self._read()

    def call_soon(self, callback: Callable[..., object], *args: t.Any) -> None:
        self._raw.call_soon(callback, *args)

    def at_once(self, callback: Callable[..., object], *args: t.Any) -> bool:
        return bool(self._raw.at_once(callback, *args))

    # --- reading ---------------------------------------------------------------------------

    def ciphertext_received(self, data: bytes) -> None:
        """The raw transport received something. Exceptions of the protocol's pass through."""
        if self.state != OPEN:
            return  # as a plain transport does, which reads and discards
        self._pipe.feed(data)
        self._read_in_turn()

    def _read_in_turn(self) -> None:
        """Read, but behind ``resume_writing``. The raw transport reads nothing while its outbox is
        full; with threads it may read again before it has told that it drained."""
        if self._pausing and not self._raw.write_closed:  # a broken one never resumes
            self._go_on()
        self._kept = self._pausing and not self._raw.write_closed
        if not self._kept:
            self._read()

    def _read(self) -> None:
        """Hand on what can be decrypted, then how the stream ended, if it did."""
        if self.state != OPEN or self._paused:
            return
        data = self._pipe.decrypt()
        if data:
            if not getattr(self.protocol, "reports_progress", False):
                self.made_progress()
            give(self, self.protocol, data)
        if self.state == OPEN and not self._paused:
            self._look_for_the_end()

    def _look_for_the_end(self) -> None:
        session = self._session
        if session.more:
            self.call_soon(self._read_on)
        elif session.failure:
            self._close(session.failure)
        elif session.ended:
            if not self._eof_told:
                self._eof_told = True
                if not self.protocol.eof_received():
                    self._close(_Because("the peer ended the stream", "eof"))
        elif self._raw_eof:
            why = "the peer left without close_notify: what it sent may have been cut short"
            self._close(TlsError(why, "tls-truncated"))

    def _read_on(self) -> None:
        try:
            self._read()
        except Exception as exc:
            self.callback_failed(exc)
        if not self._paused:
            self._raw.resume_reading()

    def raw_ended(self) -> bool:
        """No more bytes come. True: the raw transport is not to close by itself."""
        self._raw_eof = True
        self._read_in_turn()
        return True

    def pause_reading(self) -> None:
        self._paused = True
        self._raw.pause_reading()

    def resume_reading(self) -> None:
        self._paused = False
        session = self._session
        if session.holds or session.more or session.ended or session.failure or self._raw_eof:
            self.call_soon(self._read_on)  # first, so that nothing is overtaken
        else:
            self._raw.resume_reading()

    def is_reading(self) -> bool:
        return self.state == OPEN and not self._paused

    # --- writing ---------------------------------------------------------------------------

    def write(self, data: Buffer) -> None:
        if self._gatherers:
            self._catch_up()
        if type(data) is not bytes:
            data = bytes(memoryview(data))
        if self.write_closed:
            if self.state == OPEN and self._half_closed:
                raise RuntimeError("Cannot call write() after write_eof()")
        elif self._queue(data) > self._high:
            self._tell_to_pause_now()

    def writelines(self, lines: Iterable[Buffer]) -> None:
        self.write(b"".join(lines))

    def deliver(self, data: bytes) -> bool:
        if self.write_closed:
            return False
        size = self._queue(data)
        if size > self._high and not self._pausing:
            self.call_soon(self._tell_to_pause)
        return size > 0

    def _queue(self, data: bytes) -> int:
        """Send or keep ``data``; how much is kept now."""
        pipe = self._pipe
        pipe.write(data)
        if pipe.waits and not pipe.raw_paused:
            self.call_soon(self._go_on)  # it may drain before it has said that it is full
        self._bound(pipe.size)
        return pipe.size

    def _tell_to_pause_now(self) -> None:
        if not self._pausing and not self.at_once(self._tell_to_pause):
            self.call_soon(self._tell_to_pause)

    def _tell_to_pause(self) -> None:
        if not self._pausing and self.state == OPEN and self._pipe.size > self._high:
            self._pausing = True
            self._call("pause_writing")
            if not self._pipe.raw_paused:
                self.call_soon(self._go_on)  # it may have drained meanwhile

    def raw_full(self) -> None:
        """The raw outbox is full: ``raw_drained`` follows."""
        self._pipe.raw_paused = True

    def raw_drained(self) -> None:
        """The raw outbox has room."""
        self._pipe.raw_paused = False
        self._go_on()

    def _go_on(self) -> None:
        """Send what waits; when there is little left, tell the protocol."""
        self._pipe.pump()
        self._finish()
        if self._pausing and self.state == OPEN and self._pipe.size <= self._low:
            self._pausing = False
            self._call("resume_writing")
            if self._kept:
                self._kept = False
                self.call_soon(self._read_on)

    def get_write_buffer_size(self) -> int:
        return self._pipe.size

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        super().set_write_buffer_limits(high, low)
        # Up to this the raw transport does not tell that it drained, and nobody waits for it to.
        self._pipe.ahead = min(limits.TLS_AHEAD, self._low)
        self._raw.set_write_buffer_limits(high=self._pipe.ahead)
        if self._pipe.size > self._high:
            self._tell_to_pause_now()

    # --- closing ---------------------------------------------------------------------------

    def write_eof(self) -> None:
        if self._gatherers:
            self._catch_up()
        if self.state == OPEN and not self._half_closed:
            self._half_closed = self.write_closed = True
            self._finish()

    def can_write_eof(self) -> bool:
        return True

    def close(self) -> None:
        if self._gatherers:
            self._catch_up()
        self._close(None)

    def _close(self, reason: BaseException | None) -> None:
        if self.state != OPEN:
            return
        self._error = self._error or reason
        self.state = FLUSHING
        self.write_closed = True
        if self._paused:
            self._raw.resume_reading()  # what comes is discarded, but a reset is noticed
        if self._pipe.waits:
            self._timer = self.engine.call_later(limits.FLUSH, self._flush_expired)
        self._finish()

    def _finish(self) -> None:
        """When nothing waits: the close_notify that was asked for, and the end of the raw one."""
        if self._pipe.waits or self.state == CLOSED:
            return
        if self._half_closed or self.state == FLUSHING:
            self._pipe.close_notify()
        if self.state == FLUSHING:
            self._set_closed()
            self._end_raw()

    def _set_closed(self) -> None:
        self.state = CLOSED
        self.write_closed = True
        self._pipe.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _end_raw(self) -> None:
        if self._error is None:
            self._raw.close()
        else:
            self._raw.evict(_Because(str(self._error), reason_of(self._error)))

    def _flush_expired(self) -> None:
        if self.state == FLUSHING:
            self._fail(self._error or DeadlineError("it read nothing of our last bytes", "flush"))

    def abort(self) -> None:
        self._fail(None)

    def _fail(self, exc: BaseException | None) -> None:
        if self.state != CLOSED:
            self._error = exc or self._error
            self._set_closed()
            if self._error is not None:
                self._end_raw()
        self._raw.abort()

    def evict(self, reason: JackfieldError) -> None:
        if self._gatherers:
            self._catch_up()  # now, so that it is not sent behind what is dropped below
        if not self.at_once(self._evict, reason):
            self.call_soon(self._evict, reason)

    def _evict(self, reason: JackfieldError) -> None:
        if self.state != OPEN:
            return
        if isinstance(reason, LagError):
            self._pipe.truncate()
        self._error = self._error or reason
        self._say_goodbye(reason)
        self._close(reason)

    def _say_goodbye(self, reason: JackfieldError) -> None:
        if getattr(self.protocol, "closing", None) is not None:
            self._call("closing", reason)
        if self._gatherers:
            self._catch_up()

    def raw_closing(self, reason: JackfieldError) -> None:
        """The engine closes the raw transport next: what waits has to be in its outbox."""
        if self.state == OPEN:
            self._say_goodbye(reason)
        if self.state != CLOSED:
            self._pipe.pump(everything=True)
            self._pipe.close_notify()
            self._set_closed()

    def raw_lost(self, exc: BaseException | None) -> None:
        """The raw transport is gone."""
        if self._kept:  # it came before
            self._kept = False
            self._read_on()
        self._set_closed()
        self._gatherers = ()
        ours = None if isinstance(self._error, _Because) else self._error  # the peer's end is none
        if ours is not None or isinstance(exc, _Because):
            exc = ours
        self.protocol.connection_lost(exc)

    def is_closing(self) -> bool:
        return self.state != OPEN or bool(self._raw.is_closing())

    # --- information -----------------------------------------------------------------------

    def made_progress(self) -> None:
        self._raw.made_progress()

    def set_protocol(self, protocol: t.Any) -> None:
        self.protocol = protocol

    def set_peername(self, peername: SocketAddress) -> None:
        self.peername = peername
        self._raw.set_peername(peername)

    @property
    def peer(self) -> str:
        """The peer's address as text for people and logs."""
        return str(self._raw.get_extra_info("peer"))

    def get_extra_info(self, name: str, default: t.Any = None) -> t.Any:
        found = self._session.object
        match name:
            case "ssl_object":
                return found
            case "sslcontext":
                return found.context
            case "cipher":
                return found.cipher()
            case "peercert":
                return found.getpeercert()
            case "compression":
                return found.compression()
        return self._raw.get_extra_info(name, default)
