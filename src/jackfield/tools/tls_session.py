"""A session over TLS: a stream session whose bytes are encrypted, after a handshake.

    Expected --client(endpoint)--> TlsClient --shake_hands(socket)--> session(...).run()

The end of the input is close_notify, which half-closes. A server that ends without its own may
have been cut off by anybody: what it sent is written, and then that is an error. Imported only for
``tls://``, since it loads OpenSSL. Must not know the command line.
"""

from __future__ import annotations

import dataclasses
import errno
import os
import socket
import time

from jackfield import limits
from jackfield.address import printable
from jackfield.endpoint import Endpoint
from jackfield.errors import AddressError, ConnectError, TlsError, UsageError
from jackfield.pollers import READ, WRITE, Poller
from jackfield.tls import TlsClientConfig
from jackfield.tools.stream_session import StreamSession
from jackfield.wire.tls_session import TlsSession


@dataclasses.dataclass(frozen=True)
class Expected:
    """Whom we believe, what we show, and the server's ``name``: "" for the host dialled."""

    config: TlsClientConfig = dataclasses.field(default_factory=TlsClientConfig)
    name: str = ""

    def client(self, endpoint: Endpoint) -> TlsClient:
        """For one connection to ``endpoint``. Raises ``UsageError``."""
        # An IPv6 scope means something on this machine only: no certificate has it.
        name = self.name or endpoint.host.partition("%")[0] or "localhost"
        try:
            tls = TlsSession(self.config.context(), server_side=False, server_hostname=name)
        except UsageError:
            raise
        except ValueError as exc:  # UnicodeError too: more than a DNS name can be
            raise AddressError(f"{endpoint}: no server is called '{printable(name)}'") from exc
        return TlsClient(tls, str(endpoint))


class TlsClient:
    """Our end of one connection to ``name``, an endpoint's text."""

    def __init__(self, tls: TlsSession, name: str) -> None:
        self._tls = tls
        self._name = name

    def shake_hands(
        self, sock: socket.socket, poller: Poller, timeout: float = limits.TLS_HANDSHAKE
    ) -> None:
        """Over a connected, non-blocking ``sock``, within ``timeout`` seconds.

        Raises ``ConnectError`` or ``OSError``.
        """
        deadline = time.monotonic() + timeout
        try:
            while not _step(self._tls, sock, poller, deadline):
                data = _receive(sock, poller, deadline)
                if not data:
                    text = "it closed the connection before the TLS handshake was done"
                    raise TlsError(text, "tls-handshake-eof")
                self._tls.feed(data)
        except TlsError as exc:
            raise ConnectError(f"{self._name}: {exc}", "peer", exc.reason) from exc

    def session(
        self, sock: socket.socket, input_fd: int, output_fd: int, poller: Poller
    ) -> TlsStreamSession:
        """What talks over ``sock``, once hands are shaken."""
        return TlsStreamSession(sock, input_fd, output_fd, poller, tls=self._tls, name=self._name)


def _step(tls: TlsSession, sock: socket.socket, poller: Poller, deadline: float) -> bool:
    """Go on with the handshake and send what it says, also why it failed."""
    try:
        return tls.handshake()
    finally:
        said = tls.take()
        while said:
            _wait(sock, WRITE, poller, deadline)
            said = said[sock.send(said) :]


def _receive(sock: socket.socket, poller: Poller, deadline: float) -> bytes:
    while True:
        _wait(sock, READ, poller, deadline)
        try:
            return sock.recv(limits.RECEIVE_SIZE)
        except BlockingIOError:
            pass


def _wait(sock: socket.socket, interest: int, poller: Poller, deadline: float) -> None:
    poller.register(sock.fileno(), interest)
    try:
        while not list(poller.poll(max(0.0, deadline - time.monotonic()))):
            if time.monotonic() >= deadline:
                raise OSError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
    finally:
        poller.unregister(sock.fileno())


class TlsStreamSession(StreamSession):
    """``tls`` has shaken hands over ``sock``. ``name``: the peer, for error lines."""

    def __init__(
        self,
        sock: socket.socket,
        input_fd: int,
        output_fd: int,
        poller: Poller,
        *,
        tls: TlsSession,
        name: str,
    ) -> None:
        super().__init__(sock, input_fd, output_fd, poller)
        self._tls = tls
        self._name = name
        self._said_close = False
        self._read()  # what came with the end of the handshake

    def _take(self, data: bytes) -> None:
        try:
            for start in range(0, len(data), limits.TLS_RECORD):
                self._tls.encrypt(data[start : start + limits.TLS_RECORD])
        except TlsError as exc:
            self._broken(exc)
        super()._take(self._tls.take())

    def _half_close(self) -> None:
        if not self._said_close:
            self._said_close = True
            self._tls.close_notify()
            super()._take(self._tls.take())

    def _received(self, data: bytes) -> None:
        self._tls.feed(data)
        self._read()

    def _stream_ended(self) -> None:
        text = "it ended without close_notify: what it sent may have been cut short"
        self._broken(TlsError(text, "tls-truncated"))

    def _read(self) -> None:
        tls = self._tls
        while data := tls.decrypt():
            self._show(data)
        answer = tls.take()
        if answer:
            super()._take(answer)
        if tls.failure:
            self._broken(tls.failure)
        elif tls.ended:
            self._half_close()  # a reply in kind, if the kernel takes it
            self._peer_done()

    def _broken(self, exc: TlsError) -> None:
        self.fail(ConnectError(f"{self._name}: {exc}", "peer", exc.reason))
        self._outbox.clear()
        self._peer_ended()
