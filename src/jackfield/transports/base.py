"""What every stream transport shares, whichever way its bytes travel: the protocol and its
callbacks, the rooms that gather for it, water marks, and what it tells of its connection.

Must not read or write: a subclass does that, and says in ``_fail`` how it ends at once.

``BaseTransport``, ``ClosingTransport`` and ``StreamBase`` have behaviour and no fields of their
own. The class at the end of each line has the fields: slots here, a C structure in ``_native``;
two such layouts could not be joined.
"""

from __future__ import annotations

import socket
from collections.abc import Callable

from jackfield import lazy_typing as t
from jackfield import limits
from jackfield.address import format_sockaddr
from jackfield.errors import JackfieldError, LagError
from jackfield.log import log
from jackfield.transports.buffered import Filler, is_buffered

if t.TYPE_CHECKING:
    from jackfield.protocol import Gatherer, SocketAddress
    from jackfield.transports.driver import Driver

OPEN, FLUSHING, LINGERING, CLOSED = range(4)
"""The states of a connection; ``stream`` draws how one leads to the next."""


NO_FIELDS: t.Final = ()

BASE_FIELDS: t.Final = (
    "_gatherers",
    "_high",
    "_low",
    "engine",
    "fd",
    "filling",
    "peername",
    "progress_at",
    "protocol",
    "read_at",
    "receiver",
    "sock",
    "state",
)


class Datagrams:
    """What an engine knows a datagram transport by, before any is loaded (``datagram``)."""

    __slots__ = NO_FIELDS

    sock: socket.socket

    def close(self) -> None:
        """End when what waits is sent."""
        raise NotImplementedError

    def abort(self) -> None:
        """End now."""
        raise NotImplementedError


class BaseTransport:
    """One connection: ``protocol`` gets the callbacks, ``receiver`` what is received."""

    __slots__ = NO_FIELDS

    def __init__(self, engine: Driver, sock: socket.socket, peer: t.Any, protocol: t.Any) -> None:
        self.engine = engine
        self.sock = sock
        self.fd = sock.fileno()
        self.protocol = protocol
        self._receive_with(protocol)
        self.peername = peer
        self.state = OPEN
        self.read_at = self.progress_at = 0.0  # engine time of the last bytes, last message
        self._gatherers: tuple[Gatherer, ...] = ()
        self._low, self._high = limits.LOW_WATER, limits.HIGH_WATER

    # --- callbacks ---------------------------------------------------------------------------

    def _call(self, name: str, *args: t.Any) -> None:
        """Call the protocol; an exception ends this connection alone."""
        try:
            getattr(self.protocol, name)(*args)
        except Exception as exc:
            self.callback_failed(exc)

    def callback_failed(self, exc: Exception) -> None:
        """The protocol, or what it began, has raised ``exc``: log it, end this connection."""
        log().error("exception in a callback fd=%d peer=%s", self.fd, self.peer, exc_info=exc)
        self._fail(exc)

    def _fail(self, exc: BaseException | None) -> None:
        """End the connection now, for the reason given."""
        raise NotImplementedError

    def at_once(self, callback: Callable[..., object], *args: t.Any) -> bool:
        """Call now, if this thread may call the protocol: False where another one might."""
        callback(*args)
        return True

    def call_soon(self, callback: Callable[..., object], *args: t.Any) -> None:
        self.engine.call_soon(callback, *args)

    def _soon(self, callback: Callable[..., object], *args: t.Any) -> None:
        """The same, for what the transport itself has to do."""
        self.engine.call_soon(callback, *args)

    def _bound(self, held: int) -> None:
        """Evict a peer for whom more waits than may be held."""
        most = self.engine.max_held
        if 0 < most < held:
            why = f"{held} bytes wait for it, more than the {most} that are held"
            self.call_soon(self.evict, LagError(why))

    def evict(self, reason: JackfieldError) -> None:
        """Close a peer that misbehaves (``protocol.Transport``)."""
        raise NotImplementedError

    def made_progress(self) -> None:
        self.progress_at = self.engine.now

    # --- water marks -------------------------------------------------------------------------

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._low, self._high

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        if high is None:
            high = limits.HIGH_WATER if low is None else 4 * low
        if low is None:
            low = high // 4
        if not high >= low >= 0:
            raise ValueError(f"high ({high!r}) must be >= low ({low!r}) must be >= 0")
        self._low, self._high = low, high

    # --- rooms -----------------------------------------------------------------------------

    def attach(self, gatherer: Gatherer) -> None:
        self._gatherers = (*self._gatherers, gatherer)

    def detach(self, gatherer: Gatherer) -> None:
        self._gatherers = tuple(g for g in self._gatherers if g is not gatherer)

    def _catch_up(self) -> None:
        for gatherer in self._gatherers:
            gatherer.catch_up(self)

    # --- information -------------------------------------------------------------------------

    def set_peername(self, peername: SocketAddress) -> None:
        before, self.peername = self.peername, peername
        self.read_at = 0.0  # what was received so far were the proxy's words
        self.engine.renamed(self, before)

    @property
    def peer(self) -> str:
        """The peer's address as text for people and logs."""
        return format_sockaddr(self.sock.family, self.peername)

    def get_protocol(self) -> t.Any:
        return self.protocol

    def set_protocol(self, protocol: t.Any) -> None:
        self.protocol = protocol
        if self.state == OPEN:
            self._receive_with(protocol)

    def _receive_with(self, protocol: t.Any) -> None:
        self.filling = is_buffered(protocol)
        self.receiver: t.Any = Filler(self, protocol) if self.filling else protocol

    def get_extra_info(self, name: str, default: t.Any = None) -> t.Any:
        match name:
            case "peername":
                return self.peername
            case "peer":
                return self.peer
            case "fd":
                return self.fd
            case "socket":
                return self.sock
            case "sockname":
                return self._sockname(default)
            case "peercred":
                from jackfield.kernel.peercred import peer_credentials

                return peer_credentials(self.sock) or default
        return default

    def _sockname(self, default: t.Any) -> t.Any:
        try:
            return self.sock.getsockname()
        except OSError:
            return default


class Discarder:
    """Receives in the protocol's place once closing has begun."""

    __slots__ = ("_transport",)

    def __init__(self, transport: t.Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        pass

    def eof_received(self) -> None:
        self._transport.linger_ended()
