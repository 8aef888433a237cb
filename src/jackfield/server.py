"""A server: endpoints, a protocol and an engine, put together to run here or in a thread.

Everything that can go wrong with an address or option goes wrong in ``open``, before anybody is
served. Must not know any protocol or service.
"""

from __future__ import annotations

import itertools
import signal
import socket
import sys
from _thread import get_ident
from collections.abc import Callable, Iterable, Sequence

from jackfield import engines, limits
from jackfield import lazy_typing as t
from jackfield import server_checks as checks
from jackfield.address import Address, Endpoint, resolve
from jackfield.engines.base import at_least
from jackfield.errors import UsageError
from jackfield.instrument import Instrument
from jackfield.kernel import systemd
from jackfield.kernel.options import shares_port
from jackfield.kernel.signals import handling
from jackfield.kernel.sockets import Listener, adopt, bind_datagram_all, listen, listen_all
from jackfield.log import before_the_first_line, log
from jackfield.tools import listening
from jackfield.tools.connection_log import ConnectionLog
from jackfield.tools.status import Status
from jackfield.tools.status_endpoint import StatusEndpoint
from jackfield.transports import layers

if t.TYPE_CHECKING:  # loaded where they are used: whoever starts a server waits for it
    import logging
    import threading

    from jackfield.supervisor import Supervisor
    from jackfield.tls import TlsConfig

Factory: t.TypeAlias = Callable[[], t.Any]


class Server:
    """Serve ``protocol_factory()`` to every connection on every endpoint.

    ``endpoints``: text as ``address.Endpoint`` takes it, or several. ``protocol_factory``: a
    protocol class or any callable that makes one, or under the engines ``asyncio`` and ``uvloop``
    a coroutine function that takes a ``Stream``; on ``udp://`` and ``unixgram:`` one protocol
    serves the whole socket, made by ``datagram_factory`` if that is given. ``engine``: a name of
    ``engines.NAMES`` or "auto". ``backlog``: completed connections the kernel keeps waiting.
    The limits are those of ``engines.Options``: counts, and times in seconds; 0 lifts each.
    ``proxy_from``: addresses and networks of proxies, as ``Proxies`` takes them; streams are
    then served to these alone, behind a PROXY header. ``user``, ``group``: whom the process
    becomes once the endpoints are open, as ``privileges.Identity.find`` takes them.
    ``tls``: the certificates for endpoints with TLS; while ``run`` runs, SIGHUP reloads them.
    ``status``: seconds between two status lines. ``status_endpoint``: where to tell, as JSON, how
    the server does: ``unix:/path`` or ``tcp://127.0.0.1:port`` (``jackfield status``).

    Use it in a ``with`` (it runs in a thread), or call ``run()`` to serve in this one::

        with Server("tcp://127.0.0.1:0", Echo) as server:
            host, port = server.addresses[0].sockaddr
    """

    def __init__(
        self,
        endpoints: str | Endpoint | Iterable[str | Endpoint],
        protocol_factory: Callable[..., t.Any],
        *,
        datagram_factory: Factory | None = None,
        engine: str = engines.AUTO,
        backlog: int = limits.BACKLOG,
        max_connections: int = limits.MAX_CONNECTIONS,
        max_per_host: int = limits.MAX_PER_HOST,
        max_per_second: float = limits.MAX_PER_SECOND,
        max_held: int = limits.MAX_HELD,
        idle_timeout: float = limits.IDLE_TIMEOUT,
        login_timeout: float = limits.LOGIN_TIMEOUT,
        drain: float = limits.DRAIN,
        workers: int = 0,
        accept: str = "auto",
        proxy_from: str | Iterable[str] = (),
        user: str = "",
        group: str = "",
        tls: TlsConfig | None = None,
        threads_max: int = limits.THREADS_MAX,
        thread_stack: int = limits.THREAD_STACK,
        status: float = 0,
        status_endpoint: str | Endpoint = "",
        instruments: Sequence[Instrument] = (),
    ) -> None:
        several = [endpoints] if isinstance(endpoints, str | Endpoint) else list(endpoints)
        self.endpoints = [e if isinstance(e, Endpoint) else Endpoint.parse(e) for e in several]
        if not self.endpoints:
            raise UsageError("no endpoint was given; try tcp://127.0.0.1:8888")
        self._tls = tls
        checks.require_tls(self.endpoints, tls)
        self.engine_name = engines.choose(engine, instruments)
        self.listeners: list[Listener] = []
        self._datagram_sockets: list[socket.socket] = []
        self._addresses: list[Address] = []
        self._factory = engines.protocol_factory(self.engine_name, protocol_factory)
        self._datagram_factory = datagram_factory or protocol_factory
        self._backlog = at_least("backlog", backlog, 0)
        self._workers = int(at_least("workers", workers, 0))
        self._reuse_port = self._workers > 0 and checks.reuses_port(accept)
        self._copies: list[list[Listener]] = []
        if self._workers:
            checks.require_one_thread(self.engine_name)
        self._proxies = layers.find_proxies(proxy_from)
        self._identity = checks.identity(user, group)
        self._options = engines.Options(
            max_connections=max_connections,
            max_per_host=max_per_host,
            max_held=max_held,
            max_per_second=max_per_second,
            idle_timeout=idle_timeout,
            login_timeout=login_timeout,
            drain=drain,
            proxies=self._proxies,
            threads_max=threads_max,
            thread_stack=thread_stack,
        )
        self._status = at_least("status", status, 0)
        self._status_endpoint = StatusEndpoint(status_endpoint)
        self._instruments = (ConnectionLog(), *self._status_endpoint.instruments, *instruments)
        self._engine: t.Any = None
        self._thread: threading.Thread | None = None
        self._has_run = False

    @property
    def addresses(self) -> list[Address]:
        """Where it listens, with the real ports where 0 was asked for. Empty before ``open``."""
        return list(self._addresses)

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
            checks.require_privilege(self._identity)
            for endpoint in systemd.expand(self.endpoints):
                self._open_one(endpoint)
            self._addresses = [listener.address for listener in self.listeners]
            self._addresses += [Address.of(sock) for sock in self._datagram_sockets]
            self._status_endpoint.open()
            if self._workers:
                self._engine = self._supervise()
            else:
                self._engine = self._make_engine(0, self._options)
            served = (self.listeners, self._copies, self._datagram_sockets)
            self._status_endpoint.serve(self._engine, self.engine_name, *served, self._options)
            self._drop_privileges()
        except BaseException:
            self._status_endpoint.close()
            if self._engine is not None:
                self._engine.close()
                self._engine = None
            self._close_sockets()
            raise

    def _make_engine(self, worker: int, options: engines.Options) -> t.Any:
        """An engine that serves every endpoint: worker number ``worker``'s, or the only one."""
        engine = engines.make(self.engine_name, options, self._instruments)
        try:
            for listener in self._copies[worker] if self._copies else self.listeners:
                engine.listen(listener, self._layered(listener))
            for sock in self._datagram_sockets:
                engine.serve_datagrams(sock, self._datagram_factory)
        except BaseException:
            engine.close()
            raise
        return engine

    def _supervise(self) -> Supervisor:
        """The parent of the workers, and where SO_REUSEPORT is wanted, each one's listeners."""
        if self._reuse_port:
            self._copies = [self.listeners]
            for _ in range(1, self._workers):
                self._copies.append([self._copy(listener) for listener in self.listeners])
        from jackfield.supervisor import Supervisor

        return Supervisor(self._workers, self._make_worker, self._options, self._close_sockets)

    def _make_worker(self, number: int, options: engines.Options) -> t.Any:
        """In a worker: its engine, without the listeners of the others."""
        for other, listeners in enumerate(self._copies):
            if other != number:
                for listener in listeners:
                    if listener not in self._copies[number]:
                        listener.sock.close()
        return self._make_engine(number, options)

    def _copy(self, listener: Listener) -> Listener:
        """Another listener with the same address, and a queue of its own."""
        if listener.address.scheme not in ("tcp", "tls") or not shares_port(listener.sock):
            return listener  # a Unix or an inherited socket: its queue is shared
        return listen(listener.address, listener.backlog_asked, reuse_port=True)

    def _open_one(self, endpoint: Endpoint) -> None:
        if endpoint.scheme in ("udp", "unixgram"):
            checks.require_datagrams(endpoint, self._datagram_factory)
            self._datagram_sockets += bind_datagram_all(endpoint)
            return
        if endpoint.scheme == "fd":
            adopted = adopt(resolve(endpoint, passive=True)[0], int(self._backlog))
            if isinstance(adopted, Listener):
                self.listeners.append(adopted)
            else:
                checks.require_datagrams(endpoint, self._datagram_factory)
                self._datagram_sockets.append(adopted)
            return
        if self._reuse_port and endpoint.scheme != "unix":
            for alone in listen_all(endpoint, 0):  # is the port free, or a stranger's to share?
                alone.close()
        checks.require_streams(endpoint, self._factory)
        self.listeners += listen_all(endpoint, int(self._backlog), reuse_port=self._reuse_port)

    def _layered(self, listener: Listener) -> Factory:
        """What makes the protocol of a connection, and what lies before it."""
        factory = layers.within_tls(self._factory, self._tls if listener.address.tls else None)
        return layers.behind_proxy(factory, self._proxies)

    def _drop_privileges(self) -> None:
        """Everything is bound, nobody was accepted: the last that needs root."""
        if self._identity is None:
            return
        from jackfield.kernel import privileges

        files = [listener.file for listener in self.listeners]
        files += [getattr(sock, "made", None) for sock in self._datagram_sockets]
        files += [listener.file for listener in self._status_endpoint.listeners]
        for made in files:
            if made is not None:
                privileges.give(made, self._identity)
        log()  # loaded now: who we become may not be able to read Python's files
        privileges.drop(self._identity)

    def _close_sockets(self) -> None:
        for listener in (*self.listeners, *itertools.chain(*self._copies)):
            listener.close()
        for sock in self._datagram_sockets:
            sock.close()
        self.listeners.clear()
        self._copies.clear()
        self._datagram_sockets.clear()

    def describe(self) -> list[str]:
        """A line for each listener: where, which descriptor, engine and backlog."""
        lines = listening.describe(self.listeners, self._datagram_sockets, self.engine_name)
        return lines + self._status_endpoint.describe()

    def clamped(self) -> list[str]:
        """A line for each listener whose backlog the kernel made shorter than asked."""
        return listening.clamped(self.listeners)

    def announce(self) -> None:
        """Say on standard error where it listens."""
        for line in self.describe():
            print(line, file=sys.stderr, flush=True)
        for line in self.clamped():
            log().warning("%s", line)

    def run(self) -> None:
        """Serve in this thread until ``stop``, SIGINT or SIGTERM; a second signal cuts at once.

        Signals are handled in the main thread only, and restored afterwards. A service manager
        is told when it is ready and when it stops, and its watchdog is kept quiet.
        """
        self._run_once()
        engine = self._engine

        def stop() -> None:
            systemd.stopping()
            engine.stop(self._options.drain)

        # In the first tick: whoever hears that we are ready may send a signal at once.
        engine.call_soon(systemd.ready)
        engine.call_soon(systemd.keep_alive, engine.call_later)

        handlers: dict[signal.Signals, Callable[[], object]] = {
            signal.SIGINT: stop,
            signal.SIGTERM: stop,
        }
        if (self._tls is not None or self._workers) and hasattr(signal, "SIGHUP"):
            handlers[signal.SIGHUP] = lambda: engine.call_soon(self._hang_up)
        status = Status(self.engine_name, engine, self.listeners, self._copies)
        if hasattr(signal, "SIGUSR1"):
            handlers[signal.SIGUSR1] = lambda: engine.call_soon(status.say)
        if self._status:
            engine.call_soon(status.repeat, self._status)
        with handling(handlers, engine.wakeup_fd):
            self._serve()

    def _serve(self) -> None:
        try:
            self._engine.run()
        finally:
            self._close_workers_sockets()

    def _close_workers_sockets(self) -> None:
        if self._workers:  # they had copies of these; any other engine closes what it listens on
            self._close_sockets()

    def _hang_up(self) -> None:
        """SIGHUP: certificates are read again, and workers replaced by ones that have them."""
        self.reload_tls()
        if self._workers:
            self._engine.replace_all()

    def reload_tls(self) -> None:
        """Read the certificates again, for new connections. Where that fails those in use stay,
        and a line is logged."""
        if self._tls is None:
            return
        systemd.reloading()
        try:
            self._tls.reload()
        except UsageError as exc:
            log().warning("certificates not reloaded, the old ones stay in use: %s", exc)
        else:
            log().info("certificates reloaded; new connections get them")
        systemd.ready()

    def start(self) -> None:
        """Serve in a new thread; returns when it does."""
        self._run_once()
        import threading

        begun = threading.Event()
        self._engine.call_soon(begun.set)
        self._thread = threading.Thread(target=self._serve, name="jackfield", daemon=True)
        self._thread.start()
        begun.wait()

    def _run_once(self) -> None:
        if self._has_run:
            raise RuntimeError("this server has been started already; make another")
        checks.require_alone(self.engine_name, self._workers)
        self.open()
        self._has_run = True

    def stop(self, drain: float | None = None) -> None:
        """Stop listening, flush and close every connection, for at most ``drain`` seconds (that
        of the constructor by default). Waits for the thread that ``start`` made, unless it is
        this one."""
        if self._engine is None:
            return
        if not self._has_run:
            self._engine.close()
            self._close_workers_sockets()
            return
        self._engine.stop(self._options.drain if drain is None else drain)
        if self._thread is not None and self._thread.ident != get_ident():
            self._thread.join()

    def __enter__(self) -> t.Self:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()


def _to_stderr(logger: logging.Logger) -> None:
    """Unless the program has said where to."""
    import logging

    if not logger.hasHandlers():
        logger.addHandler(logging.StreamHandler())
        logger.setLevel(logging.INFO)


def serve(
    endpoints: str | Endpoint | Iterable[str | Endpoint],
    protocol_factory: Callable[..., t.Any],
    **options: t.Any,
) -> None:
    """Serve until SIGINT or SIGTERM: ``Server(endpoints, protocol_factory, **options).run()``.

    Says on standard error where it listens and, unless the program has set up logging itself,
    who comes and goes.
    """
    before_the_first_line(_to_stderr)
    server = Server(endpoints, protocol_factory, **options)
    server.open()
    # Once it runs: who waits for the lines may send a signal at once, and it must be handled.
    server.engine.call_soon(server.announce)
    server.run()
