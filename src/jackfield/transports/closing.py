"""How a connection ends, without losing its last bytes: flush, linger, close; or at once.

Must not read or write: ``stream`` does. One connection is in one of four states::

    OPEN ------ close(), end of stream, evict() ------> FLUSHING   the outbox empties
    FLUSHING -- outbox empty: shutdown(SHUT_WR), connection_lost --> LINGERING  input is discarded
    LINGERING - the peer's end of stream, or LINGER seconds --> CLOSED
    any ------- error, abort(), FLUSH seconds --------> CLOSED     connection_lost, descriptor gone
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable

from jackfield import lazy_typing as t
from jackfield import limits
from jackfield.errors import DeadlineError, JackfieldError, LagError, reason_of
from jackfield.transports.base import (
    BASE_FIELDS,
    CLOSED,
    FLUSHING,
    LINGERING,
    NO_FIELDS,
    OPEN,
    BaseTransport,
    Discarder,
)

if t.TYPE_CHECKING:
    from jackfield.transports.driver import Driver
    from jackfield.wire.outbox import Outbox

# Which ends of the stream have been reached.
EOF_RECEIVED, EOF_WANTED, EOF_SENT = 1, 2, 4

CLOSING_FIELDS: t.Final = (*BASE_FIELDS, "_ends", "_error", "_timer", "outbox", "write_closed")


class ClosingTransport(BaseTransport):
    """The life of a connection from its last write on. A subclass moves the bytes."""

    __slots__ = NO_FIELDS

    def __init__(self, engine: Driver, sock: socket.socket, peer: t.Any, protocol: t.Any) -> None:
        super().__init__(engine, sock, peer, protocol)
        self.outbox: Outbox | None = None
        self.write_closed = False  # nothing more can be queued: closing, half-closed or broken
        self._ends = 0  # EOF_RECEIVED | EOF_WANTED | EOF_SENT
        self._error: BaseException | None = None  # why writing failed, or why we evict
        self._timer: t.Any = None  # bounds flushing or lingering

    def _update_interest(self) -> None:
        """Watch the descriptor for what its state and outbox now ask for."""
        raise NotImplementedError

    def _unwatch(self) -> None:
        """Watch the descriptor no more."""
        raise NotImplementedError

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
        if self.state != OPEN and self._ends & EOF_RECEIVED:
            return  # both ends are done: the close, which follows at once, says so
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError as exc:
            if exc.errno != errno.ENOTCONN:
                self._fail(exc)
            elif self.state != OPEN:  # the peer is gone; while OPEN, reading finds out why
                self._ends |= EOF_RECEIVED

    def close(self) -> None:
        if self._gatherers:
            self._catch_up()  # which may find that it lags, and evict
        self._begin_to_close()

    def _begin_to_close(self) -> None:
        if self.state != OPEN:
            return
        if self._error is not None:
            self._fail(self._error)
            return
        self.state = FLUSHING
        self.write_closed = True
        self.receiver = Discarder(self)
        self.filling = False
        if self.outbox:
            self._set_timer(limits.FLUSH, self._flush_expired)
            self._update_interest()
        else:
            # connection_lost must not come from inside the callback that called close().
            self._soon(self._linger)

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
        elif self.state == LINGERING:  # connection_lost did not raise
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
        if self._gatherers:
            self._catch_up()  # now, so that it is not sent behind what is dropped below
        self._evict(reason)

    def _evict(self, reason: JackfieldError) -> None:
        if self.state != OPEN:
            return
        if isinstance(reason, LagError) and self.outbox:
            self.outbox.truncate()
        self._dismiss(reason)
        self._error = self._error or reason

    def dismiss(self, reason: JackfieldError) -> None:
        """The engine stops: close, after the protocol's last words."""
        self._dismiss(reason)

    def _dismiss(self, reason: JackfieldError) -> None:
        self._say_goodbye(reason)
        if self._gatherers:
            self._catch_up()
        self._begin_to_close()

    def _say_goodbye(self, reason: JackfieldError) -> None:
        """Let the protocol write its last words, if it knows how (asyncio's do not)."""
        if self.state == OPEN and getattr(self.protocol, "closing", None) is not None:
            self._call("closing", reason)

    def is_closing(self) -> bool:
        return self.state != OPEN

    def _fail(self, exc: BaseException | None) -> None:
        """Close now; ``connection_lost(exc)`` follows outside of the callback we may be in."""
        if self.state == CLOSED:
            return
        told = self.state == LINGERING
        self._release()
        if not told:
            self._soon(self._end, exc)

    def _release(self) -> None:
        self.state = CLOSED
        self.write_closed = True
        self.receiver = None
        if self._timer is not None:
            self._timer.cancel()
        self.outbox = None
        self._unwatch()
        self.engine.gone(self)

    def _end(self, exc: BaseException | None) -> None:
        reason = self._reason(exc)
        self._call("connection_lost", exc)
        self.engine.lost(self, exc, reason)
        self._gatherers = ()

    def _reason(self, exc: BaseException | None) -> str:
        if exc is not None:
            return reason_of(exc)
        if self._ends & EOF_RECEIVED:
            return "eof"
        return "aborted" if self.state == CLOSED else "closed"
