"""TLS between a transport and a protocol, under any engine: a layer, which engines do not know.

    engine -> raw transport -> TlsLayer (its protocol) -> TlsTransport -> the user's protocol
                     ciphertext                                    plaintext

The layer shakes hands, within TLS_HANDSHAKE seconds; only then is the user's protocol made, so
that it never sees a byte, nor a peer, that TLS has not vouched for. A handshake that fails ends
the connection with a reason such as ``not-tls``.

Must not know engines, files or certificates: ``jackfield.tls`` makes the contexts.
"""

from __future__ import annotations

import ssl
import typing as t
from collections.abc import Callable

from jackfield import limits
from jackfield.errors import DeadlineError, JackfieldError, TlsError
from jackfield.protocol import Protocol
from jackfield.transports.tls_transport import TlsTransport
from jackfield.wire.tls_session import TlsSession

Factory: t.TypeAlias = Callable[[], t.Any]
Contexts: t.TypeAlias = Callable[[], ssl.SSLContext]


class TlsFactory:
    """Makes layers, each for one connection: give it to ``engine.listen`` or ``engine.connect``.

    ``contexts``: called for each connection, such as ``TlsConfig.context``. ``factory`` makes the
    user's protocol, after the handshake. ``server_hostname``: we are the client, and this is whom
    we expect (None: we are the server, unless ``client``). ``failed``: called instead of
    ``connection_made`` with why the handshake came to nothing.
    """

    __slots__ = ("_client", "_contexts", "_factory", "_failed", "_server_hostname")

    def __init__(
        self,
        contexts: Contexts,
        factory: Factory,
        *,
        server_hostname: str | None = None,
        client: bool = False,
        failed: Callable[[BaseException], object] | None = None,
    ) -> None:
        self._contexts = contexts
        self._factory = factory
        self._server_hostname = server_hostname
        self._client = client or server_hostname is not None
        self._failed = failed

    def __call__(self) -> TlsLayer:
        session = TlsSession(
            self._contexts(),
            server_side=not self._client,
            server_hostname=self._server_hostname,
        )
        return TlsLayer(session, self._factory, self._failed)


class TlsLayer(Protocol):
    """The raw transport's protocol: shakes hands, then passes everything to ``TlsTransport``."""

    __slots__ = ("_factory", "_failed", "_raw", "_refusal", "_session", "_timer", "transport")

    layer = "tls"
    """For who asks what lies between a connection and its protocol."""

    reports_progress = True
    """Bytes of a handshake are no message: they extend no deadline."""

    def __init__(
        self,
        session: TlsSession,
        factory: Factory,
        failed: Callable[[BaseException], object] | None,
    ) -> None:
        self._session = session
        self._factory = factory
        self._failed = failed
        self._raw: t.Any = None
        self._timer: t.Any = None
        self._refusal: JackfieldError | None = None
        self.transport: TlsTransport | None = None  # once the handshake is done

    def connection_made(self, transport: t.Any) -> None:
        self._raw = transport
        self._timer = transport.engine.call_later(limits.TLS_HANDSHAKE, self._too_late)
        if not self._session.object.server_side:
            self._shake_hands(b"")  # the client speaks first

    def data_received(self, data: bytes) -> None:
        if self.transport is not None:
            self.transport.ciphertext_received(data)
        elif self._refusal is None:
            self._shake_hands(data)

    def _shake_hands(self, data: bytes) -> None:
        session = self._session
        try:
            session.feed(data)
            done = session.handshake()
        except TlsError as exc:
            self._say(session.take())  # the alert
            self._refuse(exc)
            return
        self._say(session.take())
        if done:
            self._stop_timer()
            self.transport = TlsTransport(self._raw, session, self._factory())
            self.transport.begin()

    def _say(self, ciphertext: bytes) -> None:
        if ciphertext:
            self._raw.write(ciphertext)

    def _too_late(self) -> None:
        message = f"no TLS handshake within {limits.TLS_HANDSHAKE:g} s"
        self._refuse(DeadlineError(message, "tls-handshake-timeout"))

    def _refuse(self, exc: JackfieldError) -> None:
        self._stop_timer()
        self._refusal = exc
        self._raw.evict(exc)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def eof_received(self) -> bool | None:
        if self.transport is not None:
            return self.transport.raw_ended()
        if self._session.begun:  # else somebody only looked whether the port is open
            self._refuse(TlsError("the peer left during the TLS handshake", "tls-handshake-eof"))
        return False

    def pause_writing(self) -> None:
        if self.transport is not None:
            self.transport.raw_full()

    def resume_writing(self) -> None:
        if self.transport is not None:
            self.transport.raw_drained()

    def closing(self, reason: JackfieldError) -> None:
        if self.transport is not None:
            self.transport.raw_closing(reason)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._stop_timer()
        if self.transport is not None:
            self.transport.raw_lost(exc)
        elif self._failed is not None:
            text = "the connection was closed before the TLS handshake was done"
            self._failed(self._refusal or exc or TlsError(text, "tls-handshake-eof"))
