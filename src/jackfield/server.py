"""A server: endpoints, a protocol and an engine, put together to run here or in a thread.

Everything that can go wrong with an address or option goes wrong in ``open``, before anybody is
served. Must not know any protocol or service.
"""

from __future__ import annotations

import logging
import signal
import socket
import sys
import threading
import typing as t
from collections.abc import Callable, Iterable, Sequence

from jackfield import engines, limits
from jackfield.address import Address, Endpoint, resolve
from jackfield.errors import UsageError
from jackfield.instrument import Instrument
from jackfield.kernel.signals import handling
from jackfield.kernel.sockets import Listener, adopt, bind_datagram_all, listen_all
from jackfield.protocol import DatagramProtocol
from jackfield.tools.connection_log import ConnectionLog

log = logging.getLogger("jackfield")

Factory: t.TypeAlias = Callable[[], t.Any]


class Server:
    """Serve ``protocol_factory()`` to every connection on every endpoint.

    ``endpoints``: text as ``address.Endpoint`` takes it, or several. ``protocol_factory``: a
    protocol class or any callable that makes one; on ``udp://`` one protocol serves the whole
    socket, made by ``datagram_factory`` if that is given. ``engine``: a name of
    ``engines.NAMES`` or "auto". ``backlog``: completed connections the kernel keeps waiting.
    The limits are those of ``engines.Options``: counts, and times in seconds; 0 lifts each.

    Use it in a ``with`` (it runs in a thread), or call ``run()`` to serve in this one::

        with Server("tcp://127.0.0.1:0", Echo) as server:
            host, port = server.addresses[0].sockaddr
    """

    def __init__(
        self,
        endpoints: str | Endpoint | Iterable[str | Endpoint],
        protocol_factory: Factory,
        *,
        datagram_factory: Factory | None = None,
        engine: str = engines.AUTO,
        backlog: int = limits.BACKLOG,
        max_connections: int = limits.MAX_CONNECTIONS,
        max_per_host: int = limits.MAX_PER_HOST,
        idle_timeout: float = limits.IDLE_TIMEOUT,
        login_timeout: float = limits.LOGIN_TIMEOUT,
        drain: float = limits.DRAIN,
        instruments: Sequence[Instrument] = (),
    ) -> None:
        several = [endpoints] if isinstance(endpoints, str | Endpoint) else list(endpoints)
        self.endpoints = [e if isinstance(e, Endpoint) else Endpoint.parse(e) for e in several]
        if not self.endpoints:
            raise UsageError("no endpoint was given; try tcp://127.0.0.1:8888")
        self.engine_name = engines.choose(engine)
        self.listeners: list[Listener] = []
        self._datagram_sockets: list[socket.socket] = []
        self._factory = protocol_factory
        self._datagram_factory = datagram_factory or protocol_factory
        self._backlog = _at_least("backlog", backlog, 0)
        self._drain = _at_least("drain", drain, 0)
        self._options = engines.Options(
            max_connections=int(_at_least("max_connections", max_connections, 0)),
            max_per_host=int(_at_least("max_per_host", max_per_host, 0)),
            idle_timeout=_at_least("idle_timeout", idle_timeout, 0),
            login_timeout=_at_least("login_timeout", login_timeout, 0),
        )
        self._instruments = (ConnectionLog(), *instruments)
        self._engine: t.Any = None
        self._thread: threading.Thread | None = None

    @property
    def addresses(self) -> list[Address]:
        """Where it listens, with the real ports where 0 was asked for. Empty before ``open``."""
        bound = [Address.of(sock) for sock in self._datagram_sockets]
        return [listener.address for listener in self.listeners] + bound

    @property
    def engine(self) -> t.Any:
        """The engine; None before ``open``. From other threads only its ``call_soon``,
        ``stop`` and ``statistics`` may be called."""
        return self._engine

    def open(self) -> None:
        """Bind and listen on every endpoint.

        Raises ``AddressError`` for a name that does not resolve, ``SystemRefused`` where the
        system says no, ``UsageError`` for a protocol that does not fit its endpoint.
        """
        if self._engine is not None:
            return
        try:
            for endpoint in self.endpoints:
                self._open_one(endpoint)
            engine = engines.make(self.engine_name, self._options, self._instruments)
            for listener in self.listeners:
                engine.listen(listener, self._factory)
            for sock in self._datagram_sockets:
                engine.serve_datagrams(sock, self._datagram_factory)
        except BaseException:
            self._close_sockets()
            raise
        self._engine = engine

    def _open_one(self, endpoint: Endpoint) -> None:
        if endpoint.scheme == "udp":
            _require_datagrams(endpoint, self._datagram_factory)
            self._datagram_sockets += bind_datagram_all(endpoint)
            return
        if endpoint.scheme == "fd":
            adopted = adopt(resolve(endpoint, passive=True)[0], int(self._backlog))
            if isinstance(adopted, Listener):
                self.listeners.append(adopted)
            else:
                _require_datagrams(endpoint, self._datagram_factory)
                self._datagram_sockets.append(adopted)
            return
        self.listeners += listen_all(endpoint, int(self._backlog))

    def _close_sockets(self) -> None:
        for listener in self.listeners:
            listener.close()
        for sock in self._datagram_sockets:
            sock.close()
        self.listeners.clear()
        self._datagram_sockets.clear()

    def describe(self) -> list[str]:
        """A line for each listener: where, which descriptor, engine and backlog."""
        lines = [
            f"listening {listener.address} fd={listener.sock.fileno()} "
            f"engine={self.engine_name} backlog={listener.backlog}"
            for listener in self.listeners
        ]
        lines += [
            f"listening {Address.of(sock)} fd={sock.fileno()} engine={self.engine_name}"
            for sock in self._datagram_sockets
        ]
        return lines

    def clamped(self) -> list[str]:
        """A line for each listener whose backlog the kernel made shorter than asked."""
        return [
            f"{listener.address}: backlog {listener.backlog_asked} was asked for, the kernel "
            f"allows {listener.backlog}; raise it with: "
            f"sysctl net.core.somaxconn={listener.backlog_asked}"
            for listener in self.listeners
            if listener.backlog < listener.backlog_asked
        ]

    def run(self) -> None:
        """Serve in this thread until ``stop``, SIGINT or SIGTERM; a second signal cuts at once.

        Signals are handled in the main thread only, and restored afterwards.
        """
        self.open()
        engine = self._engine

        def stop() -> None:
            engine.stop(self._drain)

        handlers = {signal.SIGINT: stop, signal.SIGTERM: stop}
        with handling(handlers, engine.wakeup_fd):
            engine.run()

    def start(self) -> None:
        """Serve in a new thread; returns when the endpoints are open."""
        if self._thread is not None:
            raise RuntimeError("this server has been started already")
        self.open()
        self._thread = threading.Thread(target=self._engine.run, name="jackfield", daemon=True)
        self._thread.start()

    def stop(self, drain: float | None = None) -> None:
        """Stop listening, flush and close every connection, for at most ``drain`` seconds (that
        of the constructor by default). Waits for the thread that ``start`` made, unless it is
        this one."""
        if self._engine is None:
            return
        self._engine.stop(self._drain if drain is None else drain)
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def __enter__(self) -> t.Self:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()


def serve(
    endpoints: str | Endpoint | Iterable[str | Endpoint],
    protocol_factory: Factory,
    **options: t.Any,
) -> None:
    """Serve until SIGINT or SIGTERM: ``Server(endpoints, protocol_factory, **options).run()``.

    Says on standard error where it listens and, unless the program has set up logging itself,
    who comes and goes.
    """
    if not log.hasHandlers():
        handler = logging.StreamHandler()
        log.addHandler(handler)
        log.setLevel(logging.INFO)
    server = Server(endpoints, protocol_factory, **options)
    server.open()
    for line in (*server.describe(), *server.clamped()):
        print(line, file=sys.stderr, flush=True)
    server.run()


def _at_least(name: str, value: float, least: float) -> float:
    if not value >= least:  # also a NaN
        raise UsageError(f"{name} must be {least:g} or more, not {value!r}")
    return value


def _require_datagrams(endpoint: Endpoint, factory: Factory) -> None:
    if isinstance(factory, type) and not hasattr(factory, "datagram_received"):
        raise UsageError(
            f"{endpoint}: {factory.__name__} serves streams; on udp:// give a protocol with "
            f"datagram_received, such as a {DatagramProtocol.__name__}"
        )
