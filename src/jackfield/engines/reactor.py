"""The reactor: one thread, one poller, every socket. One turn of its loop is a tick.

    poll -> what is ready -> timers due -> call_soon -> close what ended -> at_tick_end

A tick's end is when rooms fan out what was gathered. Descriptors that ended in a tick are closed
only after their ``connection_lost``, and never before the tick's events are done: a number that
an accept took anew could otherwise receive its predecessor's event, or be logged before the
predecessor's end. Must not know what protocols say, nor which poller it runs on.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
import typing as t
from collections import deque
from collections.abc import Callable, Iterable, Sequence

from jackfield import limits
from jackfield.address import Address, format_sockaddr
from jackfield.engines.acceptor import Acceptor
from jackfield.engines.admission import Admission
from jackfield.engines.base import Options, Statistics
from jackfield.engines.connector import Connector
from jackfield.engines.deadlines import Deadlines
from jackfield.engines.timers import Call, Timer, Timers
from jackfield.errors import (
    DescriptorTooLarge,
    JackfieldError,
    ServerStopping,
    UsageError,
    reason_of,
)
from jackfield.instrument import Instrument
from jackfield.kernel.sockets import INHERITS_OPTIONS, Listener, tune_stream
from jackfield.kernel.wakeup import Wakeup
from jackfield.pollers.base import READ, Poller
from jackfield.transports.datagram import ReactorDatagramTransport
from jackfield.transports.stream import NO_SIGNAL, StreamTransport

log = logging.getLogger("jackfield")

Factory: t.TypeAlias = Callable[[], t.Any]


class Watcher(t.Protocol):
    """What the loop dispatches to: an acceptor, a connector, a transport, the wakeup."""

    def on_ready(self, flags: int) -> None: ...


class Reactor:
    """The one-thread engine, on any poller. See ``protocol.Engine`` for what protocols may ask.

    Everything but ``call_soon`` and ``stop`` belongs to the thread that calls ``run``.
    """

    def __init__(
        self,
        poller: Poller,
        options: Options | None = None,
        instruments: Sequence[Instrument] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.options = options or Options()
        self.now = clock()
        self._clock = clock
        self._poller = poller
        self._instruments = tuple(instruments)
        self._statistics = Statistics()
        self._admission = Admission(self.options)
        self._timers = Timers()
        self._deadlines = Deadlines(self.options, self)
        self._watchers: dict[int, Watcher] = {}
        self._acceptors: list[Acceptor] = []
        self._soon: deque[Call] = deque()
        self._ends: list[Callable[[], object]] = []
        self._graves: list[socket.socket] = []
        self._stopping = self._stopped = False
        self._thread: int | None = None
        self._wakeup = Wakeup()
        self._watchers[self._wakeup.fd] = self
        poller.register(self._wakeup.fd, READ)

    # --- what an engine offers -------------------------------------------------------------

    def listen(self, listener: Listener, protocol_factory: Factory) -> None:
        """Serve every connection to ``listener`` with a new protocol. The engine owns it now."""
        fd = listener.sock.fileno()
        acceptor = Acceptor(self, listener, protocol_factory)
        self._watchers[fd] = acceptor
        self._acceptors.append(acceptor)

    def serve_datagrams(self, sock: socket.socket, protocol_factory: Factory) -> None:
        """Serve a bound datagram socket with one protocol. The engine owns the socket now."""
        transport = ReactorDatagramTransport(self, sock, protocol_factory())
        self._watchers[transport.fd] = transport
        transport.start()

    def connect(
        self,
        addresses: Address | Sequence[Address],
        protocol_factory: Factory,
        failed: Callable[[OSError], object],
        timeout: float = limits.CONNECT_TIMEOUT,
    ) -> None:
        """Connect to the first address that answers, each within ``timeout`` seconds.

        Then a new protocol's ``connection_made`` is called, or ``failed`` with the last
        address's ``OSError``; never before this call has returned.
        """
        several = [addresses] if isinstance(addresses, Address) else list(addresses)
        if not several:
            raise UsageError("connect: no address was given")
        connector = Connector(self, several, protocol_factory, failed, timeout)
        self.call_soon(connector.try_next)

    def call_soon(self, callback: Callable[..., object], *args: t.Any) -> None:
        """Call in the engine's thread, in this or the next tick. Safe from any thread."""
        self._soon.append((callback, args))
        if self._thread != threading.get_ident():
            self._wakeup.set()

    def call_later(self, delay: float, callback: Callable[..., object], *args: t.Any) -> Timer:
        """Call ``delay`` seconds after this tick began."""
        return self._timers.add(self.now + delay, callback, *args)

    def at_tick_end(self, callback: Callable[[], object]) -> None:
        """Call once, at the end of this tick."""
        self._ends.append(callback)

    def fan_out(self, data: bytes, transports: Iterable[StreamTransport]) -> list[StreamTransport]:
        """One ``send`` of the same ``bytes`` per transport; what does not fit waits by reference.

        Returns those whose outbox is not empty: the ones that may be lagging.
        """
        size = len(data)
        behind = []
        for transport in transports:
            if transport.write_closed:
                continue
            if transport.outbox:
                transport.queue_rest(data, 0)
                behind.append(transport)
                continue
            try:
                sent = transport.sock.send(data, NO_SIGNAL)
            except (BlockingIOError, InterruptedError):
                sent = 0
            except OSError as exc:
                transport.write_failed(exc)
                continue
            if sent != size:
                transport.queue_rest(data, sent)
                behind.append(transport)
        return behind

    def statistics(self) -> Statistics:
        """The counters so far."""
        self._statistics.connections = self._admission.count
        return self._statistics

    @property
    def wakeup_fd(self) -> int:
        """The descriptor that ends the poller's wait when a byte is written to it; for
        ``signal.set_wakeup_fd``."""
        return self._wakeup.signal_fd

    def stop(self, drain_seconds: float = limits.DRAIN) -> None:
        """End ``run``: stop listening, flush every connection, cut those left after
        ``drain_seconds``. A second call cuts at once. Safe from a signal handler or another
        thread."""
        self.call_soon(self._begin_stop, drain_seconds)

    # --- the loop --------------------------------------------------------------------------

    def run(self) -> None:
        """Serve until ``stop``. Afterwards every descriptor is closed."""
        self._thread = threading.get_ident()
        try:
            self.now = self._clock()
            while not self._stopped:
                self._tick()
        finally:
            self._shut_down()

    def _tick(self) -> None:
        ready = self._poller.poll(self._patience())
        self.now = self._clock()
        self._statistics.ticks += 1
        watcher_of = self._watchers.get
        for fd, flags in ready:
            watcher = watcher_of(fd)
            if watcher is not None:  # else it ended earlier in this tick
                watcher.on_ready(flags)
        for callback, args in self._timers.due(self.now):
            self._guarded(callback, *args)
        graves, self._graves = self._graves, []
        self._run_soon()
        for sock in graves:
            sock.close()
        if self._ends:
            self._end_tick()

    def _patience(self) -> float | None:
        """How long the poller may wait, in seconds."""
        if self._soon or self._ends or self._graves:
            return 0
        when = self._timers.next_at()
        return None if when is None else max(0.0, when - self._clock())

    def _run_soon(self) -> None:
        for _ in range(len(self._soon)):  # what they add waits for the next tick
            callback, args = self._soon.popleft()
            self._guarded(callback, *args)

    def _end_tick(self) -> None:
        ends, self._ends = self._ends, []
        for callback in ends:
            self._guarded(callback)

    @staticmethod
    def _guarded(callback: Callable[..., object], *args: t.Any) -> None:
        """A callback that belongs to no connection must not end the others."""
        try:
            callback(*args)
        except Exception:
            log.exception("exception in %r", callback)

    def on_ready(self, _flags: int) -> None:
        """The wakeup descriptor: its only purpose was to end the wait."""
        self._wakeup.clear()

    # --- what transports, acceptors and connectors ask -------------------------------------

    def watch(self, fd: int, old: int, new: int) -> None:
        """The interest in ``fd`` changes; none means that the poller does not know it."""
        if not old:
            self._poller.register(fd, new)
        elif new:
            self._poller.modify(fd, new)
        else:
            self._poller.unregister(fd)

    def accepted(self, acceptor: Acceptor, sock: socket.socket, peername: t.Any) -> None:
        """A connection came in: admit it or close it at once."""
        refusal = self._admission.refusal(peername) or self._admit(acceptor, sock, peername)
        if refusal is None:
            self._statistics.accepted += 1
            return
        self._statistics.refused += 1
        peer = format_sockaddr(sock.family, peername)
        sock.close()
        for instrument in self._instruments:
            instrument.refused(peer, refusal)

    def _admit(self, acceptor: Acceptor, sock: socket.socket, peername: t.Any) -> str | None:
        """Begin to serve; or say why this one connection cannot be served."""
        sock.setblocking(False)
        if not INHERITS_OPTIONS:
            tune_stream(sock)
        try:
            protocol = acceptor.factory()
        except Exception:
            log.exception("exception in the protocol factory")
            return "factory"
        try:
            self._begin(sock, peername, protocol)
        except (DescriptorTooLarge, OSError) as exc:
            return reason_of(exc)
        return None

    def _begin(self, sock: socket.socket, peername: t.Any, protocol: t.Any) -> None:
        """A connection stands: watch it, then tell its protocol.

        Raises what the poller raises for a descriptor that it cannot hold.
        """
        self._poller.register(sock.fileno(), READ)
        transport = StreamTransport(self, sock, peername, protocol)
        self._watchers[transport.fd] = transport
        self._admission.enter(peername)
        self._deadlines.start(transport)
        for instrument in self._instruments:
            instrument.connected(transport)
        transport.start()

    def accept_failed(self, acceptor: Acceptor, exc: OSError) -> None:
        """Accepting pauses."""
        self._statistics.accept_failures += 1
        for instrument in self._instruments:
            instrument.accept_failed(str(acceptor.listener.address), exc)

    def dialling(self, connector: Connector) -> None:
        """A connector's descriptor is to be dispatched to it."""
        self._watchers[connector.fd] = connector

    def dialled(self, connector: Connector, sock: socket.socket, address: Address) -> None:
        """An outgoing connection stands."""
        del self._watchers[connector.fd]
        self._begin(sock, address.sockaddr, connector.factory())

    def dial_failed(self, connector: Connector, sock: socket.socket | None) -> None:
        """An outgoing connection came to nothing."""
        self._watchers.pop(connector.fd, None)
        if sock is not None:
            self._graves.append(sock)

    def lost(self, transport: StreamTransport, exc: BaseException | None, reason: str) -> None:
        """A connection's ``connection_lost`` has been called."""
        self._statistics.lost += 1
        self._deadlines.stop(transport)
        for instrument in self._instruments:
            instrument.disconnected(transport, exc, reason)

    def gone(self, transport: t.Any) -> None:
        """A transport has ended: forget it, and close its socket when the tick is over."""
        del self._watchers[transport.fd]
        if isinstance(transport, StreamTransport):
            self._admission.leave(transport.peername)
        self._graves.append(transport.sock)
        self._stop_when_empty()

    # --- stopping --------------------------------------------------------------------------

    def _begin_stop(self, drain_seconds: float) -> None:
        if self._stopping:
            self._stopped = True
            return
        self._stopping = True
        for acceptor in self._acceptors:
            self._watchers.pop(acceptor.fd, None)
            acceptor.close(most=acceptor.listener.backlog)
        for watcher in list(self._watchers.values()):
            if isinstance(watcher, Connector):
                watcher.cancel()
        self.call_later(drain_seconds, self._cut)
        # In the next tick, so that what has been received already is read first.
        self.call_soon(self._drain, ServerStopping("the server is shutting down"))

    def _drain(self, reason: JackfieldError) -> None:
        for watcher in list(self._watchers.values()):
            if isinstance(watcher, StreamTransport):
                watcher.say_goodbye(reason)
                watcher.close()
            elif isinstance(watcher, ReactorDatagramTransport):
                watcher.close()
        self._stop_when_empty()

    def _stop_when_empty(self) -> None:
        if self._stopping and len(self._watchers) == 1:  # the wakeup alone
            self._stopped = True

    def _cut(self) -> None:
        self._stopped = True

    def _shut_down(self) -> None:
        """Tell who is left, and close every descriptor."""
        for watcher in list(self._watchers.values()):
            if isinstance(watcher, (StreamTransport, ReactorDatagramTransport)):
                watcher.abort()
        for acceptor in self._acceptors:
            acceptor.close(most=0)
        self._run_soon()
        for sock in self._graves:
            sock.close()
        for watcher in self._watchers.values():  # those that were lingering
            if isinstance(watcher, StreamTransport):
                watcher.sock.close()
        self._watchers.clear()
        self._poller.close()
        self._wakeup.close()
