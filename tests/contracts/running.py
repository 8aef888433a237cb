"""An engine at work in a thread, for the suites: what it serves, and what its protocols saw.

Nothing here waits for ever: sockets time out, conditions and joins have a deadline.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import typing as t
from collections.abc import Callable, Iterator

import pytest
from tests.support import PATIENCE, until

from jackfield.address import Address, Endpoint
from jackfield.instrument import Instrument
from jackfield.kernel.sockets import listen_all
from jackfield.protocol import Protocol


class Recorder(Protocol):
    """Remembers every callback, in order. ``events`` holds tuples that begin with its name."""

    def __init__(self) -> None:
        self.events: list[tuple[t.Any, ...]] = []
        self.data = b""
        self.transport: t.Any = None

    def connection_made(self, transport: t.Any) -> None:
        self.transport = transport
        self.events.append(("made",))

    def data_received(self, data: bytes) -> None:
        self.data += data
        self.events.append(("data", data))

    def eof_received(self) -> bool | None:
        self.events.append(("eof",))
        return None

    def pause_writing(self) -> None:
        self.events.append(("pause",))

    def resume_writing(self) -> None:
        self.events.append(("resume",))

    def closing(self, reason: Exception) -> None:
        self.events.append(("closing", reason))

    def connection_lost(self, exc: BaseException | None) -> None:
        self.events.append(("lost", exc))

    def names(self) -> list[str]:
        return [event[0] for event in self.events]

    def await_event(self, name: str) -> t.Any:
        """The first event called ``name``, once it is there."""
        until(lambda: name in self.names())
        return next(event for event in self.events if event[0] == name)

    def await_lost(self) -> BaseException | None:
        """What ``connection_lost`` was given."""
        exc: BaseException | None = self.await_event("lost")[1]
        return exc


class KeepsOpen(Recorder):
    """Goes on sending after the peer's half-close."""

    def eof_received(self) -> bool | None:
        super().eof_received()
        return True


class Echo(Recorder):
    """Sends everything back; remembers how large the outbox became, not the data."""

    def __init__(self) -> None:
        super().__init__()
        self.largest_outbox = 0
        self.largest_block = 0

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)
        self.largest_block = max(self.largest_block, len(data))
        self.largest_outbox = max(self.largest_outbox, self.transport.get_write_buffer_size())


class Witness(Instrument):
    """Remembers what an engine tells its instruments."""

    def __init__(self) -> None:
        self.connections: list[t.Any] = []
        self.reasons: list[str] = []
        self.exceptions: list[BaseException | None] = []
        self.refusals: list[tuple[str, str]] = []
        self.failures: list[OSError] = []

    def connected(self, transport: t.Any) -> None:
        self.connections.append(transport)

    def disconnected(self, transport: t.Any, exc: BaseException | None, reason: str) -> None:
        self.reasons.append(reason)
        self.exceptions.append(exc)

    def refused(self, peer: str, reason: str) -> None:
        self.refusals.append((peer, reason))

    def accept_failed(self, listener: str, exc: OSError) -> None:
        self.failures.append(exc)


class Running:
    """``engine`` in a thread of its own. Use ``close`` (or the ``serve`` fixture) to end it."""

    def __init__(self, engine: t.Any, witness: Witness) -> None:
        self.engine = engine
        self.witness = witness
        self.protocols: list[t.Any] = []
        self.addresses: list[Address] = []
        self._sockets: list[socket.socket] = []
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="engine under test")

    def listen(self, endpoint: str, factory: Callable[[], t.Any], backlog: int = 128) -> None:
        """Before ``start``: serve ``endpoint`` and remember each protocol made."""

        def make() -> t.Any:
            protocol = factory()
            self.protocols.append(protocol)
            return protocol

        for listener in listen_all(Endpoint.parse(endpoint), backlog):
            self.addresses.append(listener.address)
            self.engine.listen(listener, make)

    def start(self) -> None:
        self._thread.start()

    def _run(self) -> None:
        try:
            self.engine.run()
        except BaseException as exc:  # reported by close(), in the test
            self._failure = exc

    @property
    def running(self) -> bool:
        return self._thread.is_alive()

    # --- clients ---------------------------------------------------------------------------

    def dial(self, which: int = 0, receive_buffer: int = 0) -> socket.socket:
        """A client, connected; its calls time out. ``receive_buffer`` bytes, if not 0."""
        address = self.addresses[which]
        sock = socket.socket(address.family, address.type)
        self._sockets.append(sock)
        sock.settimeout(PATIENCE)
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.connect(address.sockaddr)
        return sock

    def adopt(self, sock: socket.socket) -> None:
        """Close ``sock`` too, at the end."""
        self._sockets.append(sock)

    def meet(self, receive_buffer: int = 0) -> tuple[socket.socket, t.Any]:
        """A client and the protocol that serves it."""
        known = len(self.protocols)
        sock = self.dial(receive_buffer=receive_buffer)
        return sock, self.protocol(known)

    def protocol(self, index: int = 0) -> t.Any:
        """The protocol of the connection accepted as number ``index``, once it is made."""
        until(lambda: len(self.protocols) > index)
        until(lambda: self.protocols[index].transport is not None)
        return self.protocols[index]

    # --- the engine's thread -----------------------------------------------------------------

    def call(self, callback: Callable[..., t.Any], *args: t.Any) -> t.Any:
        """``callback(*args)`` in the engine's thread; its result, or what it raises."""
        done: list[tuple[bool, t.Any]] = []

        def work() -> None:
            try:
                done.append((True, callback(*args)))
            except Exception as exc:
                done.append((False, exc))

        self.engine.call_soon(work)
        until(lambda: done)
        worked, result = done[0]
        if not worked:
            raise result
        return result

    def reasons(self, count: int = 1) -> list[str]:
        """Why connections ended, in order, once ``count`` have."""
        until(lambda: len(self.witness.reasons) >= count)
        return list(self.witness.reasons)

    def settle(self, ticks: int = 3) -> None:
        """Let a few whole ticks pass, so that what was to happen has happened."""
        for _ in range(ticks):
            self.call(lambda: None)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """While the block runs the engine's thread stands still between two ticks, so that what
        the clients do meanwhile is found all at once."""
        here, go_on = threading.Event(), threading.Event()

        def hold() -> None:
            here.set()
            go_on.wait(PATIENCE)

        self.engine.call_soon(hold)
        assert here.wait(PATIENCE)
        try:
            yield
        finally:
            go_on.set()

    # --- the end -----------------------------------------------------------------------------

    def join(self) -> None:
        """The engine has to end now."""
        self._thread.join(PATIENCE)
        if self._thread.is_alive():
            pytest.fail("the engine does not stop")
        if self._failure is not None:
            raise self._failure

    def forgive(self) -> None:
        """What the engine raised was meant."""
        self._failure = None

    def close(self) -> None:
        for sock in self._sockets:
            sock.close()
        if self._thread.ident is None:
            return
        self.engine.stop(0)
        self.join()


Serve = Callable[..., Running]
