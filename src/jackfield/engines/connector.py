"""An outgoing connection under the reactor: try each address in turn, without blocking.

Must not know protocols or pollers. Names were resolved before (``address.resolve``).
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable, Sequence

from jackfield import lazy_typing as t
from jackfield.address import Address
from jackfield.errors import DescriptorTooLarge, UsageError
from jackfield.kernel.sockets import connect_error, dial
from jackfield.pollers.base import WRITE


class ConnectorOwner(t.Protocol):
    """What a connector needs of its engine."""

    def watch(self, fd: int, old: int, new: int) -> None: ...
    def call_soon(self, callback: Callable[..., object], *args: t.Any) -> None: ...
    def call_later(self, delay: float, callback: Callable[..., object], *args: t.Any) -> t.Any: ...

    def dialling(self, connector: Connector) -> None:
        """``connector.fd`` is a new descriptor whose readiness the connector wants."""

    def dialled(self, connector: Connector, sock: socket.socket, address: Address) -> None:
        """Connected: the socket is the engine's now."""

    def dial_failed(self, connector: Connector, sock: socket.socket | None) -> None:
        """One address failed; close the socket, if there is one."""


class Connector:
    """One ``connect``: a list of addresses, the first that answers wins."""

    __slots__ = ("_addresses", "_engine", "_sock", "_timeout", "_timer", "factory", "failed", "fd")

    def __init__(
        self,
        engine: ConnectorOwner,
        addresses: Sequence[Address],
        factory: Callable[[], t.Any],
        failed: Callable[[OSError], object],
        timeout: float,
    ) -> None:
        self._engine = engine
        self._addresses = list(addresses)
        self.factory = factory
        self.failed = failed
        self._timeout = timeout
        self._sock: socket.socket | None = None
        self._timer: t.Any = None
        self.fd = -1

    def try_next(self) -> None:
        """Dial the first address that is left."""
        try:
            self._sock = dial(self._addresses[0])
        except OSError as exc:
            self._give_up(exc)
            return
        except UsageError as exc:  # an option that is for listening, in the address
            self._give_up(OSError(errno.EINVAL, str(exc)))
            return
        self.fd = self._sock.fileno()
        try:
            self._engine.watch(self.fd, 0, WRITE)
        except (DescriptorTooLarge, OSError) as exc:
            self._sock.close()
            self._sock = None
            self._give_up(exc if isinstance(exc, OSError) else OSError(errno.EMFILE, str(exc)))
            return
        self._engine.dialling(self)
        self._timer = self._engine.call_later(self._timeout, self._timed_out)

    def on_ready(self, _flags: int) -> None:
        """The handshake has ended, well or badly: SO_ERROR tells which (connect(2))."""
        sock = self._let_go()
        exc = connect_error(sock)
        if exc is None:
            self._engine.dialled(self, sock, self._addresses[0])
        else:
            self._engine.dial_failed(self, sock)
            self._give_up(exc)

    def _timed_out(self) -> None:
        self._engine.dial_failed(self, self._let_go())
        self._give_up(OSError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT)))

    def _let_go(self) -> socket.socket:
        sock, self._sock = t.cast(socket.socket, self._sock), None
        self._timer.cancel()
        self._engine.watch(self.fd, WRITE, 0)
        return sock

    def _give_up(self, exc: OSError) -> None:
        """This address is no good; report the last failure when none is left."""
        del self._addresses[0]
        if self._addresses:
            self.try_next()
        else:
            self._engine.call_soon(self.failed, exc)  # which may raise: not in our stack

    def cancel(self) -> None:
        """The engine stops: give up without a word."""
        if self._sock is not None:
            self._engine.dial_failed(self, self._let_go())

    def abandon(self) -> None:
        """In a forked process: close the socket, and tell nobody."""
        if self._sock is not None:
            self._sock.close()
