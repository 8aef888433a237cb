"""A reactor that holds its acceptors back while as many connections stand as it may serve.

Who connects meanwhile waits in the kernel's backlog: not refused, not served, a descriptor of
nobody's. (``--max-connections`` is the other way: the next one is accepted and closed at once.)
A connection counts until its descriptor is gone, so also while it flushes and lingers.
"""

from __future__ import annotations

import socket
import typing as t
from collections.abc import Sequence

from jackfield.engines.base import Options
from jackfield.engines.reactor import Reactor
from jackfield.instrument import Instrument
from jackfield.pollers.base import Poller


class BoundedReactor(Reactor):
    """``most``: connections at a time, dialled ones included; 0: any number."""

    def __init__(
        self,
        poller: Poller,
        options: Options | None = None,
        instruments: Sequence[Instrument] = (),
        *,
        most: int,
    ) -> None:
        super().__init__(poller, options, instruments)
        self._most = most
        self._full = False

    def _begin(self, sock: socket.socket, peername: t.Any, protocol: t.Any) -> None:
        super()._begin(sock, peername, protocol)
        self._count()

    def gone(self, transport: t.Any) -> None:
        """A transport has ended: the next one may come, from the next tick on."""
        super().gone(transport)
        self._count()

    def _count(self) -> None:
        full = 0 < self._most <= self._admission.count
        if full != self._full:
            self._full = full
            for acceptor in self._acceptors:
                acceptor.hold_back(full)
