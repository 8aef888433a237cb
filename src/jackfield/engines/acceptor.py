"""A listener under the reactor: accept in bursts, go on after a passing trouble, never spin.

Which errors pass and which pause is accept(2)'s own list. Must not know protocols or pollers.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable

from jackfield import lazy_typing as t
from jackfield import limits
from jackfield.kernel.sockets import Listener
from jackfield.pollers.base import READ

Accept: t.TypeAlias = Callable[[], tuple[socket.socket, t.Any] | None]
"""What accepts one connection: its socket, and its peer's address. Nobody waits: None, or
``BlockingIOError``."""

GONE_ALREADY = frozenset(
    number
    for name in (
        # The client reset or was filtered between its handshake and our accept (accept(2)).
        *("ECONNABORTED", "EPERM", "EPROTO"),
        # Linux hands pending network errors of the new socket to accept (accept(2)).
        *("ENETDOWN", "ENOPROTOOPT", "EHOSTDOWN", "ENONET", "EHOSTUNREACH", "EOPNOTSUPP"),
        "ENETUNREACH",
    )
    if (number := getattr(errno, name, None)) is not None
)
"""That client is lost; the next one is not."""


class AcceptorOwner(t.Protocol):
    """What an acceptor needs of its engine."""

    def watch(self, fd: int, old: int, new: int) -> None: ...
    def call_later(self, delay: float, callback: Callable[..., object], *args: t.Any) -> t.Any: ...

    def accepted(self, acceptor: Acceptor, sock: socket.socket, peername: t.Any) -> None:
        """A new connection."""

    def accept_failed(self, acceptor: Acceptor, exc: OSError) -> None:
        """Accepting pauses for ACCEPT_RETRY seconds."""


class Acceptor:
    """One listener and the factory of its protocols."""

    __slots__ = (
        *("_closed", "_engine", "_held_back", "_paused"),
        *("accept", "factory", "fd", "listener"),
    )

    def __init__(
        self, engine: AcceptorOwner, listener: Listener, factory: Callable[[], t.Any]
    ) -> None:
        self._engine = engine
        self.listener = listener
        self.accept: Accept = listener.sock.accept
        self.factory = factory
        self.fd = listener.sock.fileno()
        self._paused = False  # after a failure
        self._held_back = False  # by the engine
        self._closed = False
        engine.watch(self.fd, 0, READ)

    @property
    def _watched(self) -> bool:
        return not (self._paused or self._held_back or self._closed)

    def on_ready(self, _flags: int) -> None:
        """Take a bounded burst, so that those already served are not kept waiting."""
        for _ in range(limits.ACCEPT_BURST):
            if self._closed or self._held_back or self._paused or not self._accept_one():
                return

    def _accept_one(self) -> bool:
        """Accept one connection; False when there is none, or accepting pauses."""
        try:
            accepted = self.accept()
        except (BlockingIOError, InterruptedError):
            return False
        except OSError as exc:
            if exc.errno in GONE_ALREADY:
                return True
            # EMFILE, ENFILE, ENOBUFS, ENOMEM, or what nobody foresaw: the waiting stay in the
            # backlog, and a level-triggered poller would report them without end.
            self._pause(exc)
            return False
        if accepted is None:
            return False
        self._engine.accepted(self, *accepted)
        return True

    def hold_back(self, hold: bool) -> None:
        """Accept nobody until this is called with False: who connects waits in the backlog."""
        before, self._held_back = self._watched, hold
        self._watch(before)

    def _watch(self, before: bool) -> None:
        if before != self._watched:
            self._engine.watch(self.fd, READ * before, READ * self._watched)

    def _pause(self, exc: OSError) -> None:
        before, self._paused = self._watched, True
        self._watch(before)
        self._engine.call_later(limits.ACCEPT_RETRY, self._resume)
        self._engine.accept_failed(self, exc)

    def _resume(self) -> None:
        before, self._paused = self._watched, False
        self._watch(before)
        self.on_ready(READ)

    def close(self, most: int) -> None:
        """Take those (at most ``most``) who have connected already, then stop listening."""
        if self._closed:
            return
        while most > 0 and self._watched and self._accept_one():
            most -= 1
        before, self._closed = self._watched, True
        self._watch(before)
        self.listener.close()
