"""TLS for the suites: a client like a socket, and an engine that serves behind the layer."""

from __future__ import annotations

import errno
import socket
import ssl
import threading
import typing as t
from collections.abc import Callable

from tests.certificates import certificates
from tests.contracts.running import Running, Witness
from tests.support import drain

from jackfield import limits
from jackfield.address import Endpoint
from jackfield.kernel.sockets import listen_all
from jackfield.tls import TlsClientConfig, TlsConfig
from jackfield.transports.tls import TlsFactory
from jackfield.wire.tls_session import TlsSession

NAME: t.Final = "server.test"


def server_config(**options: t.Any) -> TlsConfig:
    return TlsConfig(*certificates().issue(NAME, "127.0.0.1", "::1"), **options)


def client_context(**options: t.Any) -> ssl.SSLContext:
    return TlsClientConfig(ca=certificates().authority, **options).context()


class TlsClient:
    """What the tests use of a socket, over TLS; ``shutdown`` sends close_notify, then the FIN.
    One thread may send while another receives."""

    def __init__(self, sock: socket.socket, name: str = NAME, **options: t.Any) -> None:
        self.sock = sock
        self.session = TlsSession(
            client_context(**options), server_side=False, server_hostname=name
        )
        self._lock = threading.Lock()
        self._unsent = b""
        self._unread = b""
        self._resets = False

    def handshake(self) -> t.Self:
        while not self.session.handshake():
            self.sock.sendall(self.session.take())
            data = self.sock.recv(65536)
            if not data:
                raise ConnectionResetError("the server ended the handshake")
            self.session.feed(data)
        self.sock.sendall(self.session.take())
        return self

    def send(self, data: bytes) -> int:
        """How many bytes left in whole records. On a non-blocking socket the rest of a record
        waits for the next call, and BlockingIOError says that nothing could leave."""
        self._send_rest()
        sent = 0
        while sent < len(data):
            block = data[sent : sent + limits.TLS_RECORD]
            with self._lock:
                self.session.encrypt(block)
                self._unsent = self.session.take()
            try:
                self._send_rest()
            except BlockingIOError:
                break
            sent += len(block)
        return sent

    def _send_rest(self) -> None:
        while self._unsent:
            self._unsent = self._unsent[self.sock.send(self._unsent) :]

    def sendall(self, data: bytes) -> None:
        """On a blocking socket."""
        assert self.send(data) == len(data)

    def recv(self, count: int) -> bytes:
        while not self._unread and not self.session.ended:
            with self._lock:
                self._unread = self.session.decrypt()
            if self.session.failure:
                raise self.session.failure
            if self._unread or self.session.ended:
                break
            data = self.sock.recv(65536)
            if not data:
                raise ConnectionResetError("the stream ended without close_notify")
            with self._lock:
                self.session.feed(data)
        taken, self._unread = self._unread[:count], self._unread[count:]
        return taken

    def shutdown(self, how: int) -> None:
        self._send_rest()
        with self._lock:
            self.session.close_notify()
            self._unsent = self.session.take()
        self._send_rest()
        try:
            self.sock.shutdown(how)
        except OSError as exc:
            if exc.errno != errno.ENOTCONN:  # the server was faster
                raise

    def setsockopt(self, level: int, option: int, value: t.Any) -> None:
        self._resets = self._resets or option == socket.SO_LINGER
        self.sock.setsockopt(level, option, value)

    def close(self) -> None:
        """As a well-behaved client: close_notify, and nothing left unread (session tickets), which
        would make the kernel reset the connection."""
        if self.sock.fileno() >= 0 and not self._resets:
            self.sock.setblocking(False)
            try:
                self.shutdown(socket.SHUT_WR)
                drain(self.sock)
            except OSError:
                pass
        self.sock.close()

    def __getattr__(self, name: str) -> t.Any:
        return getattr(self.sock, name)  # settimeout, fileno, ...

    def __enter__(self) -> t.Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class TlsRunning(Running):
    """An engine that serves TLS, and clients that speak it. ``config`` is the server's."""

    def __init__(self, engine: t.Any, witness: Witness, config: TlsConfig | None = None) -> None:
        super().__init__(engine, witness)
        self.config = config or server_config()

    def listen(self, endpoint: str, factory: Callable[[], t.Any], backlog: int = 128) -> None:
        def make() -> t.Any:
            protocol = factory()
            self.protocols.append(protocol)
            return protocol

        for listener in listen_all(Endpoint.parse(endpoint), backlog):
            self.addresses.append(listener.address)
            self.engine.listen(listener, TlsFactory(self.config.context, make))

    def dial(self, which: int = 0, receive_buffer: int = 0) -> t.Any:
        return TlsClient(super().dial(which, receive_buffer)).handshake()

    def dial_as(self, name: str, **options: t.Any) -> t.Any:
        """A client that expects ``name``; ``options`` are a ``TlsClientConfig``'s."""
        return TlsClient(super().dial(), name, **options).handshake()

    def dial_plain(self, which: int = 0) -> socket.socket:
        """A client that has sent nothing yet."""
        return super().dial(which)

    def listen_plain(self, factory: Callable[[], t.Any]) -> None:
        """In the engine's thread: serve without TLS too."""
        super().listen("tcp://127.0.0.1:0", factory)
