"""What a protocol is, and what it may ask of its transport. Sans-I/O: no socket, engine or clock.

The callbacks and the transport's methods are asyncio's by name and meaning, so that an
``asyncio.Protocol`` that uses only its transport runs here unchanged, and ours run there.
What jackfield adds is listed apart: ``Protocol.closing``, ``Transport.made_progress``,
``Transport.evict`` and the pair ``attach``/``detach`` that rooms use.

    connection_made -> data_received* -> eof_received? -> connection_lost
                       pause_writing / resume_writing at any time between

This module must not know sockets, engines, rooms or wire formats.
"""

from __future__ import annotations

import typing as t
from collections.abc import Callable, Iterable

from jackfield.errors import JackfieldError

Buffer: t.TypeAlias = bytes | bytearray | memoryview
"""What ``write`` takes. ``bytes`` is kept by reference while it waits, the others are copied."""

SocketAddress: t.TypeAlias = t.Any
"""A sockaddr as the socket module gives it: a tuple for IP, ``str`` or ``bytes`` for Unix."""


class Protocol:
    """Base of stream protocols: override what you need. One object serves one connection."""

    __slots__ = ()

    reports_progress: t.ClassVar[bool] = False
    """True where the protocol itself calls ``transport.made_progress()`` for each complete
    message. False: every received block counts, as deadlines see it."""

    def connection_made(self, transport: t.Any) -> None:
        """The connection stands; ``transport`` is this protocol's ``Transport``. Keep it."""

    def data_received(self, data: bytes) -> None:
        """Some bytes arrived: as the stream was cut on its way, not as the peer wrote it."""

    def eof_received(self) -> bool | None:
        """The peer will send no more (half-close). Return True to go on sending to it;
        otherwise the transport flushes and closes."""

    def connection_lost(self, exc: BaseException | None) -> None:
        """The connection is over; called exactly once after ``connection_made``.

        ``exc`` is None for a close that either side asked for, else why it broke: an
        ``OSError`` of the system, a ``JackfieldError``, or what a callback of ours raised.
        """

    def pause_writing(self) -> None:
        """The outbox passed its high-water mark: stop producing if you can."""

    def resume_writing(self) -> None:
        """The outbox is below its low-water mark again."""

    def closing(self, reason: JackfieldError) -> None:
        """The server is about to close this connection: deadline, lag, or its own shutdown.

        What is written here is the last the peer reads. Not called for the protocol's own
        ``close()`` or a broken connection.
        """


class BufferedProtocol:
    """Base of stream protocols that bring the buffer which is received into; else as ``Protocol``.

    It saves making and copying a ``bytes`` for each arrival, which pays for large ones. The
    engines with one thread receive straight into the buffer; others, and TLS, copy into it.
    """

    __slots__ = ()

    reports_progress: t.ClassVar[bool] = False
    """As ``Protocol.reports_progress``."""

    def connection_made(self, transport: t.Any) -> None:
        """As ``Protocol.connection_made``."""

    def get_buffer(self, sizehint: int) -> t.Any:
        """A writable buffer (a ``bytearray`` or ``memoryview``, say) for what comes next.

        ``sizehint`` is what may come, in bytes; the buffer may be smaller or larger, but not
        empty, which ends the connection with a ``RuntimeError``.
        """
        raise NotImplementedError

    def buffer_updated(self, nbytes: int) -> None:
        """The first ``nbytes`` of the buffer given last are received. It is yours again."""

    def eof_received(self) -> bool | None:
        """As ``Protocol.eof_received``."""

    def connection_lost(self, exc: BaseException | None) -> None:
        """As ``Protocol.connection_lost``."""

    def pause_writing(self) -> None:
        """As ``Protocol.pause_writing``."""

    def resume_writing(self) -> None:
        """As ``Protocol.resume_writing``."""

    def closing(self, reason: JackfieldError) -> None:
        """As ``Protocol.closing``."""


class DatagramProtocol:
    """Base of datagram protocols. One object serves one socket, whoever sends to it."""

    __slots__ = ()

    def connection_made(self, transport: t.Any) -> None:
        """The socket is bound; ``transport`` is a ``DatagramTransport``."""

    def datagram_received(self, data: bytes, addr: SocketAddress) -> None:
        """One whole datagram, at most 65,507 bytes over UDP, from ``addr``; a Unix peer that has
        no name has none."""

    def error_received(self, exc: OSError) -> None:
        """A send or receive failed (port unreachable, no buffers, too large); the socket lives
        on. ``exc.peername`` is the peer's address where that is known, else None."""

    def connection_lost(self, exc: BaseException | None) -> None:
        """The socket is closed."""

    def pause_writing(self) -> None:
        """The kernel's send buffer is full and datagrams wait."""

    def resume_writing(self) -> None:
        """Waiting datagrams have left."""


class Gatherer(t.Protocol):
    """Something that holds bytes said earlier in this tick, for many transports at once."""

    def catch_up(self, transport: t.Any) -> None:
        """Hand ``transport`` now what it still has coming, before it is written to."""


class Engine(t.Protocol):
    """What protocols and rooms may ask of the engine behind a transport."""

    def call_soon(self, callback: Callable[..., object], *args: t.Any) -> None:
        """Call in the engine's thread, in this or the next tick. Safe from any thread."""

    def call_later(self, delay: float, callback: Callable[..., object], *args: t.Any) -> t.Any:
        """Call after ``delay`` seconds. Returns a timer with ``cancel()``."""

    def at_tick_end(self, callback: Callable[[], object]) -> None:
        """Call once at the end of this tick (one turn of the loop)."""

    def fan_out(self, data: bytes, transports: Iterable[t.Any]) -> list[t.Any]:
        """Write one ``bytes`` to every transport, of which each is named once; return those whose
        outbox is not empty."""


class Transport(t.Protocol):
    """What a stream protocol is given in ``connection_made``. asyncio's, and a little more."""

    engine: Engine

    def write(self, data: Buffer) -> None:
        """Send now what the kernel takes; queue the rest. Never blocks, never raises for a
        peer that is gone (``connection_lost`` tells)."""

    def writelines(self, lines: Iterable[Buffer]) -> None:
        """Write all of them, in order, as one."""

    def write_eof(self) -> None:
        """Half-close: flush, then tell the peer that no more comes. Reading goes on."""

    def can_write_eof(self) -> bool:
        """True: every stream here can be half-closed."""

    def close(self) -> None:
        """Flush, then close, lingering so that the last bytes arrive."""

    def abort(self) -> None:
        """Close now; what is queued is lost (a TCP peer may see a reset)."""

    def is_closing(self) -> bool:
        """True once closing has begun, by either side."""

    def pause_reading(self) -> None:
        """Stop ``data_received`` until ``resume_reading``; the kernel's window fills up."""

    def resume_reading(self) -> None:
        """Go on with ``data_received``."""

    def is_reading(self) -> bool:
        """False while paused or closing."""

    def get_write_buffer_size(self) -> int:
        """Bytes in the outbox: accepted by ``write``, not yet taken by the kernel."""

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """(low, high) water marks in bytes."""

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Set the water marks, as asyncio does: ``low`` defaults to a quarter of ``high``.
        Raises ``ValueError`` unless high >= low >= 0."""

    def get_extra_info(self, name: str, default: t.Any = None) -> t.Any:
        """``peername``, ``sockname``, ``socket``, ``fd`` (int), ``peer`` (text for people), and
        for Unix sockets ``peercred``: (pid, uid, gid) of who connected."""

    def get_protocol(self) -> t.Any:
        """The protocol that now receives the callbacks."""

    def set_protocol(self, protocol: t.Any) -> None:
        """Hand the connection to another protocol; ``connection_made`` is not called again."""

    # --- beyond asyncio ----------------------------------------------------------------

    def deliver(self, data: bytes) -> bool:
        """``write`` for a fan-out: asks no gatherer, calls no callback before it returns, keeps
        ``data`` by reference while it waits. True: something is left in the outbox."""

    def set_peername(self, peername: SocketAddress) -> None:
        """The peer speaks for ``peername``: from now on that is its address, in logs and for
        the count per host. Closes the connection if there are too many of that host."""

    def made_progress(self) -> None:
        """The peer completed a message: ends the login deadline, restarts the idle one."""

    def evict(self, reason: JackfieldError) -> None:
        """Close a peer that lags or misbehaves: drop what is queued behind the chunk under
        way, call ``Protocol.closing(reason)``, flush that, close. ``connection_lost`` gets
        ``reason``."""

    def attach(self, gatherer: Gatherer) -> None:
        """Before every ``write`` call ``gatherer.catch_up(self)``, so that order is kept."""

    def detach(self, gatherer: Gatherer) -> None:
        """Undo ``attach``."""


class DatagramTransport(t.Protocol):
    """What a datagram protocol is given in ``connection_made``."""

    engine: Engine

    def sendto(self, data: Buffer, addr: SocketAddress = None) -> None:
        """Send one datagram to ``addr``. Queued while the send buffer is full; dropped and
        counted when the queue is full too. Failures reach ``error_received``."""

    def close(self) -> None:
        """Send what is queued, then close."""

    def abort(self) -> None:
        """Close now."""

    def is_closing(self) -> bool:
        """True once closing has begun."""

    def get_extra_info(self, name: str, default: t.Any = None) -> t.Any:
        """``sockname``, ``socket``, ``fd``; ``peername`` where the socket is connected."""
