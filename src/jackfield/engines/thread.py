"""A thread for each connection, which waits in recv(2); what every program did before epoll.

The thread that calls ``run`` is a reactor without connections: it accepts, dials, serves datagrams,
fires timers, handles signals and keeps the books (who is admitted, deadlines, instruments). Each
connection is a ``ThreadTransport`` with a thread of its own, which a protocol may block without
stalling any other.

What that asks of a protocol: its own callbacks never overlap, and what it plans with ``call_soon``
or ``call_later`` does not overlap them either. What several connections share needs a lock.

Rooms gather from all threads and fan out in the engine's: their sends never wait.
Must not know what protocols say.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import threading
import time
import typing as t
from collections.abc import Callable, Sequence

from jackfield import limits, pollers
from jackfield.engines.base import Options
from jackfield.engines.bounded import BoundedReactor
from jackfield.engines.timers import Timer
from jackfield.errors import UsageError
from jackfield.instrument import Instrument
from jackfield.kernel.blocking import BlockingSocket
from jackfield.kernel.traced_socket import traced
from jackfield.log import log
from jackfield.rooms import room
from jackfield.transports.datagram import DatagramBase
from jackfield.transports.serialiser import serving
from jackfield.transports.threaded import ThreadTransport

_starting = threading.Lock()
"""threading.stack_size() is the process's: one thread is started at a time."""


class SharedTimer:
    """A timer that any thread may set or cancel; it fires in the engine's."""

    __slots__ = ("_call", "_engine", "_timer")

    def __init__(
        self, engine: ThreadEngine, callback: Callable[..., object], args: tuple[t.Any, ...]
    ) -> None:
        self._engine = engine
        self._call: tuple[Callable[..., object], tuple[t.Any, ...]] | None = (callback, args)
        self._timer: Timer | None = None

    def start(self, when: float) -> None:
        """In the engine's thread."""
        if self._call is not None:
            self._timer = self._engine.add_timer(when, self._fire)

    def cancel(self) -> None:
        """Do not call after all."""
        if self._call is not None:
            self._call = None
            self._engine.in_main(self._stop)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _fire(self) -> None:
        call, self._call = self._call, None
        if call is not None:
            call[0](*call[1])


class ThreadEngine(BoundedReactor):
    """See ``protocol.Engine`` for what protocols may ask; here they may from any thread."""

    def __init__(
        self, options: Options | None = None, instruments: Sequence[Instrument] = ()
    ) -> None:
        options = options or Options()
        _check_stack(options.thread_stack)
        room.lock()
        super().__init__(
            pollers.make(pollers.best()), options, instruments, most=options.threads_max
        )

    @property
    def now(self) -> float:
        """The time; not a tick's, as threads have none in common."""
        return self._clock()

    @now.setter
    def now(self, _tick: float) -> None:
        pass

    # --- what an engine offers -------------------------------------------------------------

    def call_soon(self, callback: Callable[..., object], *args: t.Any) -> None:
        """In the engine's thread; inside a connection's callback: before or after its other ones,
        in its thread."""
        transport = serving()
        if transport is not None and transport.engine is self:
            transport.call_soon(callback, *args)
        else:
            super().call_soon(callback, *args)

    def call_later(self, delay: float, callback: Callable[..., object], *args: t.Any) -> t.Any:
        """As ``call_soon``, in ``delay`` seconds."""
        transport = serving()
        if transport is not None and transport.engine is self:
            return self.later_in_main(delay, transport.call_soon, callback, *args)
        return self.later_in_main(delay, callback, *args)

    def at_tick_end(self, callback: Callable[[], object]) -> None:
        """In the engine's thread, at the end of a tick of it: so what many threads publish within
        one is fanned out once, and none of them can hold it up."""
        if self.in_main_thread:
            super().at_tick_end(callback)
        else:
            self.in_main(super().at_tick_end, callback)

    # --- what transports ask ---------------------------------------------------------------

    @property
    def in_main_thread(self) -> bool:
        """Is this the thread that runs the engine?"""
        return self._thread == threading.get_ident()

    def in_main(self, callback: Callable[..., object], *args: t.Any) -> None:
        """``call_soon`` in the engine's thread, whoever asks."""
        super().call_soon(callback, *args)

    def later_in_main(self, delay: float, callback: Callable[..., object], *args: t.Any) -> t.Any:
        """``call_later`` in the engine's thread, whoever asks."""
        timer = SharedTimer(self, callback, args)
        when = self._clock() + delay
        if self.in_main_thread:
            timer.start(when)
        else:
            self.in_main(timer.start, when)
        return timer

    def add_timer(self, when: float, callback: Callable[[], object]) -> Timer:
        """In the engine's thread."""
        return self._timers.add(when, callback)

    def start_thread(self, name: str, target: Callable[[], object]) -> None:
        """A new daemon thread, with the stack that the options ask for."""

        def run() -> None:
            with contextlib.suppress(SystemExit):  # a callback's: it ends this thread alone
                target()

        thread = threading.Thread(target=run, name=f"jackfield {name}", daemon=True)
        try:
            _start(thread, self.options.thread_stack)
        except RuntimeError as exc:
            raise OSError(errno.EAGAIN, f"no thread to be had: {exc}") from exc

    def lost(self, transport: t.Any, exc: BaseException | None, reason: str) -> None:
        """A connection's ``connection_lost`` has been called."""
        self.in_main(super().lost, transport, exc, reason)

    def renamed(self, transport: t.Any, before: t.Any) -> None:
        """A proxy has said whom it speaks for."""
        self.in_main(super().renamed, transport, before)

    def gone(self, transport: t.Any) -> None:
        """A transport has ended; a connection's threads have to be told, and then end."""
        if isinstance(transport, ThreadTransport):
            self.in_main(transport.sock.cut)
        else:
            super().gone(transport)

    def finished(self, transport: ThreadTransport) -> None:
        """Its threads have ended: its descriptor may be closed."""
        self.in_main(super().gone, transport)

    # --- connections -----------------------------------------------------------------------

    def _begin(self, sock: socket.socket, peername: t.Any, protocol: t.Any) -> None:
        own = traced(BlockingSocket.take_over(sock), self._instruments)
        transport = ThreadTransport(self, own, peername, protocol)
        entered = threading.Lock()
        with entered:  # it begins when it stands in the books
            try:
                self.start_thread(f"fd={transport.fd}", lambda: _serve(transport, entered))
            except OSError:
                transport.sock.close()
                raise
            self._enter(transport)
        self._count()

    # --- the end ---------------------------------------------------------------------------

    def close(self) -> None:
        """Tell who is left, and close every descriptor. A thread that is still in a protocol's
        callback after THREAD_END seconds is left behind."""
        self._stopped = True
        for acceptor in self._acceptors:
            acceptor.close(most=0)
        for watcher in list(self._watchers.values()):
            if isinstance(watcher, ThreadTransport):
                watcher.cut()
            elif isinstance(watcher, DatagramBase):
                watcher.abort()
        self._await_threads(time.monotonic() + limits.THREAD_END)
        super().close()

    def _await_threads(self, deadline: float) -> None:
        while True:
            self._run_soon()
            left = sum(isinstance(watcher, ThreadTransport) for watcher in self._watchers.values())
            patience = deadline - time.monotonic()
            if not left:
                return
            if patience < 0:
                log().warning("threads left behind in a protocol's callback: %d", left)
                return
            self._poller.poll(0 if self._soon else patience)
            self._wakeup.clear()


def _serve(transport: ThreadTransport, entered: threading.Lock) -> None:
    with entered:
        pass
    transport.serve()


def _start(thread: threading.Thread, stack: int) -> None:
    """Raises ``ValueError`` for a stack that Python or the system never gives, ``RuntimeError``
    where there is no thread to be had now."""
    with _starting:
        before = threading.stack_size(stack)
        try:
            thread.start()
        finally:
            threading.stack_size(before)


def _check_stack(size: int) -> None:
    """Raises ``UsageError`` where the system gives no stack of ``size`` bytes."""
    probe = threading.Thread(target=int, daemon=True)
    try:
        _start(probe, size)
    except (ValueError, RuntimeError, OverflowError) as exc:
        raise UsageError(
            f"thread_stack {size}: {exc}; give whole pages, at least 32768 bytes, or 0 for the "
            f"system's own"
        ) from exc
    probe.join()
