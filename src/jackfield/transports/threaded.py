"""A connected stream socket with a thread of its own: it waits in recv(2), and writes as it can.

What is told to whom and when, water marks, half-close, flushing, lingering, eviction: all that is
``StreamTransport``'s, whose interest in reading and writing is served by threads here instead of
a poller. The differences are two locks.

``_lock`` guards the connection's state. It is held for moments, never while something waits, and
never while the protocol is called: ``_call`` lets go of it. So other threads come in between where
on one thread the protocol itself could, by calling the transport from its callback, and nowhere
else. It is the last lock taken: room's, then this; what is done under it takes none but the
engine's innermost.

``_serial`` keeps the callbacks apart (see ``serialiser``). They run in the connection's own
thread, which waits for nothing but input and this; after a write by another thread, ``evict``,
``close`` or a deadline also in the engine's, or in the writer's.

Input stays in the kernel until the protocol may have it: the thread waits by peeking
(MSG_PEEK), and takes the bytes when nobody else runs a callback. So ``pause_reading`` stops at
once, a thread that waits holds no buffer, and whether something was received is no guess.

An outbox that does not empty at once gets a writer: a thread that waits until the socket has room,
flushes as ``StreamTransport`` does, and ends with the last byte.

Must not know rooms, protocols, or how an engine makes threads.
"""

from __future__ import annotations

import functools
import socket
import threading
import typing as t
from collections.abc import Callable

from jackfield import limits
from jackfield.errors import JackfieldError
from jackfield.kernel.blocking import DONT_WAIT, BlockingSocket
from jackfield.pollers.base import READ, WRITE
from jackfield.protocol import Buffer, Gatherer
from jackfield.transports.base import CLOSED, LINGERING
from jackfield.transports.driver import Driver
from jackfield.transports.serialiser import Serialiser, serving
from jackfield.transports.stream import StreamTransport


class ThreadDriver(Driver, t.Protocol):
    """What a transport with threads needs of its engine, beside what every transport needs."""

    @property
    def in_main_thread(self) -> bool:
        """Is this the thread that runs the engine?"""

    def in_main(self, callback: Callable[..., object], *args: t.Any) -> None:
        """Call in the engine's thread, between two callbacks."""

    def later_in_main(
        self, delay: float, callback: Callable[..., object], *args: t.Any
    ) -> t.Any: ...

    def start_thread(self, name: str, target: Callable[[], object]) -> None:
        """Raises ``OSError`` where the system has no more threads."""

    def finished(self, transport: t.Any) -> None:
        """Its threads have ended: nobody uses the socket any more."""


class ThreadTransport(StreamTransport):
    """One connection under the engine ``thread``. See ``protocol.Transport`` for the contract."""

    __slots__ = ("_changed", "_dismissal", "_lock", "_rooms", "_serial", "_threads", "_writers")

    engine: ThreadDriver
    sock: BlockingSocket

    def __init__(
        self, engine: ThreadDriver, sock: socket.socket, peer: t.Any, protocol: t.Any
    ) -> None:
        super().__init__(engine, sock, peer, protocol)
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._serial = Serialiser(self)
        # Not in _gatherers, which StreamTransport asks in the midst of things, under our lock.
        self._rooms: tuple[Gatherer, ...] = ()
        self._dismissal: JackfieldError | None = None
        self._threads: set[int] = set()  # our own: what they post they run
        self._writers = 0

    # --- the connection's thread -------------------------------------------------------------

    def serve(self) -> None:
        """From ``connection_made`` to the end. Returns when nobody uses the socket any more."""
        self._threads.add(threading.get_ident())
        try:
            self._serial.begin(self._locked, self.start)
            while self._may_read():
                self._serial.run(self._receive, self._wait_for_input())
                if self._dismissal is not None:
                    self._serial.run(self._locked, self._dismiss, self._dismissal)
        finally:
            self._finish()

    def _may_read(self) -> bool:
        """Wait until the peer is to be read; False when it is over. Run what is posted."""
        while True:
            if self._serial.pending:
                self._serial.run_round()
            with self._lock:
                if self.state == CLOSED:
                    return False
                busy = self._serial.pending  # a protocol that never stops calling itself
                if self._interest & READ:
                    if not busy or self.sock.has_input():
                        return True
                elif not busy:
                    self._changed.wait()

    def _wait_for_input(self) -> OSError | None:
        try:
            self.sock.wait_for_input()
        except OSError as exc:
            return exc
        return None

    def _receive(self, failure: OSError | None) -> None:
        """Take one block and hand it on; a callback."""
        if not self._interest & READ:  # paused or ended meanwhile
            return
        try:
            if failure is not None:
                raise failure
            data = self.sock.recv(limits.RECEIVE_SIZE, DONT_WAIT)
        except BlockingIOError:
            return
        except OSError as exc:
            self._fail(self._error or exc)
            return
        receiver = self.receiver
        if receiver is None:  # ended meanwhile
            return
        self.read_at = self.engine.now
        try:
            if data:
                receiver.data_received(data)
            else:
                with self._lock:
                    self._end_of_stream()
        except Exception as exc:
            self.callback_failed(exc)

    def _ask_at_end(self) -> bool | None:
        receiver = self.receiver
        answer: bool | None = receiver and self._unlocked(receiver.eof_received)
        self._unlocked(self._ask_rooms)
        return answer

    def _finish(self) -> None:
        with self._lock:
            self._fail(self._error)  # where a callback ended the thread (SystemExit)
            while self._writers:
                self._changed.wait()
        self._serial.run_round()  # after whatever another thread still runs
        while self._serial.pending:
            self._serial.run_round()
        self._threads.discard(threading.get_ident())
        self.engine.finished(self)

    # --- the writer --------------------------------------------------------------------------

    def _watch(self, interest: int) -> None:
        """Under the lock: what a poller would be told."""
        self._interest = interest
        self._changed.notify_all()
        if interest & WRITE and not self._writers:
            self._writers += 1
            try:
                self.engine.start_thread(f"writer fd={self.fd}", self._write_out)
            except OSError as exc:
                self._writers -= 1
                self._fail(exc)

    def _write_out(self) -> None:
        """The writer's thread: until the outbox is empty, or has nowhere to go."""
        me = threading.get_ident()
        self._threads.add(me)
        waiting = True
        while waiting:
            self.sock.wait_for_room()
            with self._lock:
                if self.outbox:
                    self._flush()
                waiting = bool(self._interest & WRITE)
                if not waiting:
                    self._threads.discard(me)
                    self._writers -= 1
                    self._changed.notify_all()
            self._run_posted()

    # --- calls -------------------------------------------------------------------------------

    def _call(self, name: str, *args: t.Any) -> None:
        """In a call of ``_serial``, and under the lock."""
        self._unlocked(super()._call, name, *args)

    def _unlocked(self, callback: Callable[..., t.Any], *args: t.Any) -> t.Any:
        self._lock.release()
        try:
            return callback(*args)
        finally:
            self._lock.acquire()

    def _locked(self, callback: Callable[..., object], *args: t.Any) -> None:
        with self._lock:
            callback(*args)

    def call_soon(self, callback: Callable[..., object], *args: t.Any) -> None:
        self._serial.post(callback, *args)
        # Our own threads run what is posted before they wait again.
        if threading.get_ident() not in self._threads:
            self.engine.in_main(self._run_posted)

    def _soon(self, callback: Callable[..., object], *args: t.Any) -> None:
        if self.state == CLOSED:  # it is connection_lost, for which our thread is on its way
            self._serial.post(self._locked, callback, *args)
        else:
            self.call_soon(self._locked, callback, *args)

    def _run_posted(self) -> None:
        if self._serial.run_posted():
            self.engine.in_main(self._run_posted)

    def at_once(self, callback: Callable[..., object], *args: t.Any) -> bool:
        """Call now if that is possible: inside a callback of this connection; or in the engine's
        thread, outside of any other's, when nobody runs one."""
        if self._serial.mine:
            callback(*args)
            return True
        if not self.engine.in_main_thread or serving() is not None:
            return False  # it may hold a lock that the callback would wait for
        called = self._serial.try_run(callback, *args)
        if self._serial.pending:
            self.engine.in_main(self._run_posted)
        return called

    def _at_once(self, callback: Callable[..., object], *args: t.Any) -> bool:
        """The same, under the lock."""
        return self.at_once(self._locked, callback, *args)

    # --- what may be called from any thread ----------------------------------------------------

    def write(self, data: Buffer) -> None:
        self._ask_rooms()
        with self._lock:
            super().write(data)

    def deliver(self, data: bytes) -> bool:
        with self._lock:
            return super().deliver(data)

    def _tell_to_pause(self) -> None:
        """Under the lock, alone. Where it cannot be told now it will be: ``_stop_producer`` has
        posted it."""
        if self._serial.mine:
            super()._tell_to_pause()
        else:
            self._unlocked(self._at_once, super()._tell_to_pause)

    def _tell_to_resume(self) -> None:
        if self._serial.mine:
            super()._tell_to_resume()
        else:
            self._soon(self._tell_to_resume)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        with self._lock:
            super().set_write_buffer_limits(high, low)

    def _pause(self, who: int) -> None:
        with self._lock:
            super()._pause(who)

    def _resume(self, who: int) -> None:
        with self._lock:
            super()._resume(who)

    def write_eof(self) -> None:
        self._ask_rooms()
        with self._lock:
            super().write_eof()

    def close(self) -> None:
        self._ask_rooms()
        with self._lock:
            super().close()

    def evict(self, reason: JackfieldError) -> None:
        self._ask_rooms()
        if not self._at_once(self._evict, reason):
            self._soon(self._evict, reason)

    def dismiss(self, reason: JackfieldError) -> None:
        """As ``StreamTransport``, but what has been received is read first, a block of it."""
        self._dismissal = reason
        if self._interest & READ and self.sock.has_input():
            return  # our thread takes it, and finds the dismissal
        self._ask_rooms()
        if not self._at_once(self._dismiss, reason):
            self._soon(self._dismiss, reason)

    def _say_goodbye(self, reason: JackfieldError) -> None:
        super()._say_goodbye(reason)
        self._unlocked(self._ask_rooms)

    def linger_ended(self) -> None:
        with self._lock:
            super().linger_ended()

    def cut(self) -> None:
        """The engine's run is over: end now, whatever the state."""
        with self._lock:
            if self.state == LINGERING:
                self._release()
            else:
                self._fail(self._error)

    def _set_timer(self, delay: float, callback: Callable[[], object]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.engine.later_in_main(delay, functools.partial(self._locked, callback))

    def _fail(self, exc: BaseException | None) -> None:
        with self._lock:
            super()._fail(exc)

    def _release(self) -> None:
        super()._release()
        self._changed.notify_all()  # also where nobody was interested in anything any more

    # --- rooms -------------------------------------------------------------------------------

    def attach(self, gatherer: Gatherer) -> None:
        with self._lock:
            self._rooms = (*self._rooms, gatherer)

    def detach(self, gatherer: Gatherer) -> None:
        with self._lock:
            self._rooms = tuple(g for g in self._rooms if g is not gatherer)

    def _ask_rooms(self) -> None:
        """Without the lock: a room has one of its own, which comes first."""
        for room in self._rooms:
            room.catch_up(self)

    def _end(self, exc: BaseException | None) -> None:
        super()._end(exc)
        self._rooms = ()
