"""A process per connection: the parent accepts and forks, the child serves one client and ends.

The parent is the hub of its children's rooms. A child keeps its client and its link and closes
every other descriptor. Must not know what protocols say.
"""

from __future__ import annotations

import itertools
import signal
import socket
import typing as t
from collections.abc import Callable, Sequence

from jackfield import pollers
from jackfield.address import format_sockaddr
from jackfield.engines.base import Options
from jackfield.engines.family import KILL_AFTER, Child, Parent
from jackfield.engines.reactor import Reactor
from jackfield.engines.scoreboard import BoardCounts, Scoreboard
from jackfield.errors import ServerStopping, UsageError, reason_of
from jackfield.instrument import Instrument
from jackfield.kernel.processes import Ended
from jackfield.log import log


class Client(t.NamedTuple):
    """What a child serves. ``number``: none of those before has the same."""

    number: int
    sock: socket.socket
    peername: t.Any
    factory: Callable[[], t.Any]


class ForkEngine(Parent):
    """Whoever is accepted is handed to a child of its own."""

    def __init__(
        self, options: Options | None = None, instruments: Sequence[Instrument] = ()
    ) -> None:
        super().__init__(options, instruments)
        self._numbers = itertools.count(1)
        # Only a child hears from a proxy whom it speaks for: so there the children count.
        count_hosts = self.options.proxies is not None and self.options.max_per_host > 0
        self._board = Scoreboard(self.options, 1, 1) if count_hosts else None

    def serve_datagrams(self, sock: socket.socket, protocol_factory: Callable[[], t.Any]) -> None:
        """Refused: a datagram socket has no connections to fork for."""
        raise UsageError(
            "the fork engine makes a process for each connection, and datagrams have none; "
            "use another engine for udp:// and unixgram:"
        )

    def _admit(
        self, factory: Callable[[], t.Any], sock: socket.socket, peername: t.Any
    ) -> str | None:
        client = Client(next(self._numbers), sock, peername, factory)
        try:
            self.family.bear(client)
        except OSError as exc:
            log().warning("cannot fork for %s: %s", format_sockaddr(sock.family, peername), exc)
            return reason_of(exc)
        self._admission.enter(peername)
        sock.close()  # the child has it
        return None

    def make_engine(self, client: Client) -> Reactor:
        """An engine with one client, that ends when the client has left."""
        options = self.options
        if self._board is not None:
            shared = BoardCounts(self._board, client.number, None)
            options = options.sharing(shared)
        engine = Reactor(pollers.make(pollers.best()), options, self._instruments)
        engine.call_soon(self._serve, engine, client)  # when its link to the hub stands
        return engine

    @staticmethod
    def _serve(engine: Reactor, client: Client) -> None:
        if engine._admit(client.factory, client.sock, client.peername) is not None:
            client.sock.close()
        engine.retire()

    def child_ended(self, child: Child, how: Ended) -> None:
        """Its place is free for another client."""
        self._statistics.lost += 1
        self._admission.leave(child.what.peername)
        if self._board is not None and how != Ended(0, 0):
            self._board.forget(child.what.number)
        if how.signal and not self._stopping:
            log().warning("process %d ended by %s", child.pid, how)
        self._stop_when_empty()

    def close(self) -> None:
        """Close every descriptor; ``run`` does it at its end."""
        super().close()
        if self._board is not None:
            self._board.close()

    # --- stopping --------------------------------------------------------------------------

    def _drain(self, reason: t.Any) -> None:
        assert isinstance(reason, ServerStopping)
        self.family.signal_all(signal.SIGTERM)
        super()._drain(reason)

    def _cut(self) -> None:
        """The drain is over: each child cuts its client, and tells its protocol. One that cannot,
        because a callback of its protocol does not return, is killed."""
        if self._family:
            self._family.signal_all(signal.SIGTERM)  # the second one
            self.call_later(KILL_AFTER, super()._cut)
        else:
            super()._cut()
