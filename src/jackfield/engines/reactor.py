"""The reactor: one thread serves every connection, on a ``Loop``.

It admits who comes, gives each connection its transport and protocol, fans out, and stops in order.
Must not know what protocols say, nor which poller it runs on.
"""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Callable, Iterable, Sequence

from jackfield import lazy_typing as t
from jackfield import limits
from jackfield.address import Address, format_sockaddr
from jackfield.engines.acceptor import Acceptor
from jackfield.engines.admission import Admission, count_anew
from jackfield.engines.base import Options, Statistics, traced
from jackfield.engines.connector import Connector
from jackfield.engines.deadlines import Deadlines
from jackfield.engines.loop import Loop, Watcher
from jackfield.engines.own import OwnListeners
from jackfield.errors import (
    DescriptorTooLarge,
    JackfieldError,
    ServerStopping,
    UsageError,
    reason_of,
)
from jackfield.instrument import Instrument
from jackfield.kernel.sockets import INHERITS_OPTIONS, Listener, tune_stream
from jackfield.log import log
from jackfield.pollers.base import READ, Poller
from jackfield.transports.base import Datagrams
from jackfield.transports.link import LinkTransport
from jackfield.transports.stream import NO_SIGNAL, StreamBase, StreamTransport

Factory: t.TypeAlias = Callable[[], t.Any]


class Reactor(Loop):
    """The one-thread engine, on any poller. See ``protocol.Engine`` for what protocols may ask.

    Everything but ``call_soon`` and ``stop`` belongs to the thread that calls ``run``.
    """

    stream: t.ClassVar[type[StreamBase]] = StreamTransport
    """What serves one connection."""

    acceptor: t.ClassVar[type[Acceptor]] = Acceptor
    """What serves one listener."""

    def __init__(
        self,
        poller: Poller,
        options: Options | None = None,
        instruments: Sequence[Instrument] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(poller, clock)
        self.options = options or Options()
        self.max_held = self.options.max_held
        self._instruments = tuple(instruments)
        self._statistics = self.options.statistics or Statistics()
        self._admission = Admission(self.options)
        self._deadlines = Deadlines(self.options, self)
        self._acceptors: list[Acceptor] = []
        self._links: set[LinkTransport] = set()  # the server's own connections
        self._own = OwnListeners(self, self._watchers)
        self._stopping = self._retiring = self._finishing = self._holding = False

    # --- what an engine offers -------------------------------------------------------------

    def listen(self, listener: Listener, protocol_factory: Factory) -> None:
        """Serve every connection to ``listener`` with a new protocol. The engine owns it now."""
        fd = listener.sock.fileno()
        listener.sock = traced(listener.sock, self._instruments)
        acceptor = self.acceptor(self, listener, protocol_factory)
        self._watchers[fd] = acceptor
        self._acceptors.append(acceptor)

    @property
    def datagrams(self) -> t.Any:
        """What serves one datagram socket, loaded with the first."""
        from jackfield.transports.datagram import ReactorDatagramTransport

        return ReactorDatagramTransport

    def serve_datagrams(self, sock: socket.socket, protocol_factory: Factory) -> None:
        """Serve a bound datagram socket with one protocol. The engine owns the socket now."""
        sock = traced(sock, self._instruments)
        transport = self.datagrams(self, sock, protocol_factory())
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
        for address in several:
            if address.type != socket.SOCK_STREAM:
                raise UsageError(f"connect: {address} is for datagrams, which have no connection")
        connector = Connector(self, several, protocol_factory, failed, timeout)
        self.call_soon(self._dial, connector)

    def _dial(self, connector: Connector) -> None:
        if not self._stopping:
            connector.try_next()

    def fan_out(self, data: bytes, transports: Iterable[t.Any]) -> list[t.Any]:
        """One ``send`` of the same ``bytes`` per transport; what does not fit waits by reference.

        Returns those whose outbox is not empty: the ones that may be lagging.
        """
        size = len(data)
        behind: list[t.Any] = []
        for transport in transports:
            if type(transport) is not StreamTransport:  # a layer's, such as TLS
                if transport.deliver(data):
                    behind.append(transport)
                continue
            # What StreamTransport.deliver does, without a call for each member.
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
        self._statistics.ticks = self.ticks
        return self._statistics

    def stop(self, drain_seconds: float = limits.DRAIN) -> None:
        """End ``run``: stop listening, flush every connection, cut those left after
        ``drain_seconds``. A second call cuts at once. Safe from a signal handler or another
        thread."""
        self.call_soon(self._begin_stop, drain_seconds)

    # --- what transports, acceptors and connectors ask -------------------------------------

    def accepted(self, acceptor: Acceptor, sock: socket.socket, peername: t.Any) -> None:
        """A connection came in: admit it or close it at once."""
        refusal = (
            self._admission.refusal(peername)
            or acceptor.listener.refusal(sock)
            or self._admit(acceptor.factory, sock, peername)
        )
        if refusal is None:
            self._statistics.accepted += 1
            return
        self._statistics.refused += 1
        self._admission.withdraw(peername)
        peer = format_sockaddr(sock.family, peername)
        sock.close()
        for instrument in self._instruments:
            instrument.refused(peer, refusal)

    def _admit(self, factory: Factory, sock: socket.socket, peername: t.Any) -> str | None:
        """Begin to serve; or say why this one connection cannot be served."""
        try:
            protocol = factory()
        except Exception:
            log().exception("exception in the protocol factory")
            return "factory"
        try:
            sock.setblocking(False)
            if not INHERITS_OPTIONS:
                tune_stream(sock)  # macOS: EINVAL if the peer has reset it already
            self._begin(sock, peername, protocol)
        except (DescriptorTooLarge, OSError) as exc:
            return reason_of(exc)
        return None

    def _begin(self, sock: socket.socket, peername: t.Any, protocol: t.Any) -> None:
        """A connection stands: watch it, then tell its protocol. Raises what the poller raises
        for a descriptor that it cannot hold."""
        self._watch_stream(sock)
        transport = self.stream(self, sock, peername, protocol)
        self._enter(transport)
        transport.start()

    def _watch_stream(self, sock: socket.socket) -> None:
        self._poller.register(sock.fileno(), READ)

    def _enter(self, transport: StreamBase) -> None:
        """Put a connection into the books; ``gone`` and ``lost`` take it out."""
        self._watchers[transport.fd] = transport
        self._admission.enter(transport.peername)
        if self._deadlines.any:
            self._deadlines.start(transport)
        for instrument in self._instruments:
            instrument.connected(transport)
        if self._holding:
            transport.hold(True)

    def add_link(self, sock: socket.socket, protocol: t.Any) -> LinkTransport:
        """Serve a connection of the server's own (to its hub, say): neither counted nor logged,
        and the last to be closed when the engine stops."""
        sock.setblocking(False)
        self._poller.register(sock.fileno(), READ)
        transport = LinkTransport(self, sock, "", protocol)
        self._watchers[transport.fd] = transport
        self._links.add(transport)
        transport.start()
        return transport

    def listen_own(self, listener: Listener, protocol_factory: Factory) -> None:
        """Serve every connection to ``listener`` as one of the server's own, until ``run`` ends.
        The engine owns it now."""
        self._own.add(listener, protocol_factory)

    def hold_clients(self, hold: bool) -> None:
        """Read nobody but the links (who is told what clients say, and does not keep up), until
        this is called with False. Clients are written to all the while."""
        self._holding = hold
        for client in self.clients():
            client.hold(hold)

    def clients(self) -> list[StreamBase]:
        """The connections that are not the server's own."""
        return [
            watcher
            for watcher in self._watchers.values()
            if isinstance(watcher, StreamBase) and not isinstance(watcher, LinkTransport)
        ]

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
        sock = traced(sock, self._instruments)
        refusal = self._admit(connector.factory, sock, address.sockaddr)
        if refusal is not None:
            self._graves.append(sock)
            self.call_soon(connector.failed, OSError(errno.ECONNABORTED, f"{address}: {refusal}"))

    def dial_failed(self, connector: Connector, sock: socket.socket | None) -> None:
        """An outgoing connection came to nothing."""
        self._watchers.pop(connector.fd, None)
        if sock is not None:
            self._graves.append(sock)

    def renamed(self, transport: StreamBase, before: t.Any) -> None:
        """A proxy has said whom it speaks for: that host is counted from now on."""
        count_anew(transport, before, self._admission, self._statistics, self._instruments)

    def lost(self, transport: StreamBase, exc: BaseException | None, reason: str) -> None:
        """A connection's ``connection_lost`` has been called."""
        if isinstance(transport, LinkTransport):
            return
        self._statistics.lost += 1
        if self._deadlines.any:
            self._deadlines.stop(transport)
        for instrument in self._instruments:
            instrument.disconnected(transport, exc, reason)

    def gone(self, transport: t.Any) -> None:
        """A transport has ended: forget it, and close its socket when the tick is over."""
        del self._watchers[transport.fd]
        if isinstance(transport, LinkTransport):
            self._links.discard(transport)
        elif isinstance(transport, StreamBase):
            self._admission.leave(transport.peername)
        self._graves.append(transport.sock)
        self._stop_when_empty()

    # --- stopping --------------------------------------------------------------------------

    def _begin_stop(self, drain_seconds: float) -> None:
        if self._stopping:
            self._stopped = True
            return
        self._stopping = True
        self._stop_accepting(take_waiting=True)
        for watcher in list(self._watchers.values()):
            if isinstance(watcher, Connector):
                watcher.cancel()
        self.call_later(drain_seconds, self._cut)
        # In the next tick, so that what has been received already is read first.
        self.call_soon(self._drain, ServerStopping("the server is shutting down"))

    def _drain(self, reason: JackfieldError) -> None:
        for watcher in list(self._watchers.values()):
            if isinstance(watcher, Datagrams):
                watcher.close()
        for client in self.clients():
            client.dismiss(reason)
        self._stop_when_empty()

    def _stop_accepting(self, *, take_waiting: bool) -> None:
        for acceptor in self._acceptors:
            self._watchers.pop(acceptor.fd, None)
            acceptor.close(most=acceptor.listener.backlog if take_waiting else 0)

    def retire(self) -> None:
        """Accept nobody any more, serve those who are here until they leave, then end ``run``.

        What waits in a backlog stays there for another process that has the listener.
        """
        self._retiring = True
        self._stop_accepting(take_waiting=False)
        self._stop_when_empty()

    def _stop_when_empty(self) -> None:
        """Of the watched, the wakeup and the links do not count; datagram sockets outlive
        neither a drain nor the last connection of an engine that retires."""
        own = len(self._links) + len(self._own)
        if (self._stopping and len(self._watchers) <= 1 + own) or (
            self._retiring and not self._admission.count
        ):
            if not self._links:
                self._stopped = True
            elif not self._finishing:
                self._finishing = True
                # In the next tick: at this one's end leaves what the last one said.
                self.call_soon(self.call_soon, self._finish_links)

    def _finish_links(self) -> None:
        self._own.close()
        for link in list(self._links):
            link.dismiss(ServerStopping("no client is left"))

    def _cut(self) -> None:
        self._stopped = True

    def close(self) -> None:
        """Tell who is left, and close every descriptor; ``run`` does it at its end. For an
        engine that is not going to run. May be called twice."""
        self._stopped = True
        for acceptor in self._acceptors:
            acceptor.close(most=0)
        self._own.close()
        self._abort([w for w in self._watchers.values() if not isinstance(w, LinkTransport)])
        self._end_tick()  # what was said of those who left is gathered for the links
        self._abort(list(self._links))
        for watcher in self._watchers.values():  # those that were lingering
            if isinstance(watcher, StreamBase):
                watcher.sock.close()
        super().close()

    def _abort(self, watchers: Sequence[Watcher]) -> None:
        for watcher in watchers:
            if isinstance(watcher, (StreamBase, Datagrams)):
                watcher.abort()
            elif isinstance(watcher, Connector):
                watcher.cancel()
        self._run_soon()
        self._bury()

    def abandon(self) -> None:
        """In a process forked from the engine's: close its descriptors, and tell nobody. The
        poller is not asked to forget them: it is the parent's too."""
        for acceptor in self._acceptors:
            acceptor.listener.sock.close()
        self._own.abandon()
        for watcher in self._watchers.values():
            if isinstance(watcher, (StreamBase, Datagrams)):
                watcher.sock.close()
            elif isinstance(watcher, Connector):
                watcher.abandon()
        self._bury()
        super().close()
