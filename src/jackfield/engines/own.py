"""A listener of the server's own: who connects to it is no client, and is told something.

It has its own acceptor, which no limit, log or held-back engine concerns; what it accepts are
``Reactor.add_link``'s connections. So it answers also where a client occupies the server, where all
places are taken, and while the server stops. How many it serves at a time is bounded: others wait
in its backlog. Must not know what is told.
"""

from __future__ import annotations

import socket
from collections.abc import Callable

from jackfield import lazy_typing as t
from jackfield.engines.acceptor import Acceptor
from jackfield.errors import DescriptorTooLarge
from jackfield.kernel.sockets import Listener
from jackfield.transports.base import CLOSED

MOST: t.Final = 8
"""Connections at a time: a few people and their monitoring."""

LOOK_AGAIN: t.Final = 0.1
"""Seconds until one that is gone makes room, while there is none."""


class OwnListenerEngine(t.Protocol):
    """What an own listener needs of its engine."""

    def watch(self, fd: int, old: int, new: int) -> None: ...
    def call_later(self, delay: float, callback: Callable[..., object], *args: t.Any) -> t.Any: ...

    def add_link(self, sock: socket.socket, protocol: t.Any) -> t.Any:
        """Serve a connection of the server's own; returns its transport."""


class OwnListener:
    """Serves each who connects to ``listener`` with ``factory()``. An ``AcceptorOwner``."""

    def __init__(
        self, engine: OwnListenerEngine, listener: Listener, factory: Callable[[], t.Any]
    ) -> None:
        self._engine = engine
        self._factory = factory
        self._served: list[t.Any] = []
        self.listener = listener
        self.fd = listener.sock.fileno()
        self.watch = engine.watch
        self.call_later = engine.call_later
        self._acceptor = Acceptor(self, listener, factory)
        self.on_ready = self._acceptor.on_ready

    def accepted(self, acceptor: Acceptor, sock: socket.socket, _peername: t.Any) -> None:
        """A connection came in."""
        if acceptor.listener.refusal(sock) is not None:
            sock.close()
            return
        try:
            transport = self._engine.add_link(sock, self._factory())
        except (OSError, DescriptorTooLarge):  # no number that the poller can hold
            sock.close()
            return
        self._served.append(transport)
        self._look()

    def accept_failed(self, _acceptor: Acceptor, _exc: OSError) -> None:
        """The acceptor tries again by itself; that there are no descriptors is said of others."""

    def _look(self) -> None:
        """Is there room for one more?"""
        self._served = [one for one in self._served if one.state != CLOSED]
        full = len(self._served) >= MOST
        self._acceptor.hold_back(full)
        if full:
            self.call_later(LOOK_AGAIN, self._look)

    def close(self) -> None:
        """Listen no more, and cut off who is served. May be called twice."""
        self._acceptor.close(most=0)
        for one in self._served:
            one.abort()
            one.linger_ended()


class OwnListeners:
    """Those of one engine, which dispatches to them by way of ``watchers``."""

    def __init__(self, engine: OwnListenerEngine, watchers: dict[int, t.Any]) -> None:
        self._engine = engine
        self._watchers = watchers
        self._listeners: list[OwnListener] = []

    def __len__(self) -> int:
        return len(self._listeners)

    def add(self, listener: Listener, factory: Callable[[], t.Any]) -> None:
        """One more."""
        own = OwnListener(self._engine, listener, factory)
        self._watchers[own.fd] = own
        self._listeners.append(own)

    def close(self) -> None:
        """Listen no more, and cut off who is served. May be called twice."""
        for own in self._listeners:
            self._watchers.pop(own.fd, None)
            own.close()
        self._listeners.clear()

    def abandon(self) -> None:
        """In a forked process: they are the parent's, and so is its poller."""
        for own in self._listeners:
            own.listener.sock.close()
