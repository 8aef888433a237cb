"""A process per connection: the parent accepts and forks, the child serves one client and ends.

The parent is a reactor whose only connections are the links to its children; it is the hub of their
rooms. A child keeps its client and its link and closes every other descriptor. Must not know what
protocols say.
"""

from __future__ import annotations

import logging
import signal
import socket
import typing as t
from collections.abc import Callable, Sequence

from jackfield import pollers
from jackfield.address import format_sockaddr
from jackfield.engines.base import Options
from jackfield.engines.family import Child, Family
from jackfield.engines.reactor import Reactor
from jackfield.errors import ServerStopping, UsageError, reason_of
from jackfield.instrument import Instrument
from jackfield.kernel.processes import Ended

log = logging.getLogger("jackfield")


class Client(t.NamedTuple):
    """What a child serves."""

    sock: socket.socket
    peername: t.Any
    factory: Callable[[], t.Any]


class ForkEngine(Reactor):
    """A reactor that serves nobody itself."""

    def __init__(
        self, options: Options | None = None, instruments: Sequence[Instrument] = ()
    ) -> None:
        super().__init__(pollers.make(pollers.best()), options, instruments)
        self._family: Family | None = None

    def serve_datagrams(self, sock: socket.socket, protocol_factory: Callable[[], t.Any]) -> None:
        """Refused: a datagram socket has no connections to fork for."""
        raise UsageError(
            "the fork engine makes a process for each connection, and datagrams have none; "
            "use another engine for udp:// and unixgram:"
        )

    def run(self) -> None:
        """Serve until ``stop``; then every child has ended."""
        self._family = Family(self, self._make_child, self._child_ended, drain=self.options.drain)
        try:
            super().run()
        finally:
            self._family.close()

    def _admit(
        self, factory: Callable[[], t.Any], sock: socket.socket, peername: t.Any
    ) -> str | None:
        client = Client(sock, peername, factory)
        try:
            t.cast(Family, self._family).bear(client)
        except OSError as exc:
            log.warning("cannot fork for %s: %s", format_sockaddr(sock.family, peername), exc)
            return reason_of(exc)
        self._admission.enter(peername)
        sock.close()  # the child has it
        return None

    def _make_child(self, client: Client) -> Reactor:
        """In the child: an engine with one client, that ends when the client has left."""
        engine = Reactor(pollers.make(pollers.best()), self.options, self._instruments)
        engine.call_soon(self._serve, engine, client)  # when its link to the hub stands
        return engine

    @staticmethod
    def _serve(engine: Reactor, client: Client) -> None:
        if engine._admit(client.factory, client.sock, client.peername) is not None:
            client.sock.close()
        engine.retire()

    def _child_ended(self, child: Child, how: Ended) -> None:
        self._statistics.lost += 1
        self._admission.leave(child.what.peername)
        if how.signal and not self._stopping:
            log.warning("process %d ended by %s", child.pid, how)
        self._stop_when_empty()

    # --- stopping --------------------------------------------------------------------------

    def _drain(self, reason: t.Any) -> None:
        assert isinstance(reason, ServerStopping)
        t.cast(Family, self._family).signal_all(signal.SIGTERM)
        super()._drain(reason)

    def _stop_when_empty(self) -> None:
        if self._stopping and not self._family:  # no family, or nobody left in it
            self._stopped = True

    def _cut(self) -> None:
        if self._family:
            self._family.signal_all(signal.SIGKILL)
        super()._cut()
