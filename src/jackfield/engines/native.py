"""The engine ``native``: the reactor, with what is done for each arrival in C.

Which is waiting, dispatching, accepting, receiving, sending and fanning out; see ``_native``.
Import it only where ``_native.missing("loop")`` is None.
"""

from __future__ import annotations

import functools
import socket
import time
from collections.abc import Callable, Sequence

from jackfield import lazy_typing as t
from jackfield._native.accept import accept
from jackfield._native.loop import HotLoop, NativePoller
from jackfield.engines.acceptor import Accept, Acceptor, AcceptorOwner
from jackfield.engines.base import Options
from jackfield.engines.reactor import Reactor
from jackfield.instrument import Instrument
from jackfield.kernel.sockets import Listener
from jackfield.pollers.base import READ
from jackfield.transports.native import NativeStream
from jackfield.transports.stream import StreamBase


class NativeAcceptor(Acceptor):
    """A listener whose connections are accepted in C."""

    __slots__ = ()

    def __init__(
        self, engine: AcceptorOwner, listener: Listener, factory: Callable[[], t.Any]
    ) -> None:
        super().__init__(engine, listener, factory)
        self.accept = t.cast(Accept, functools.partial(accept, self.fd))


class NativeReactor(HotLoop, Reactor):
    """One thread serves every connection."""

    stream: t.ClassVar[type[StreamBase]] = NativeStream
    acceptor: t.ClassVar[type[Acceptor]] = NativeAcceptor

    @property
    def datagrams(self) -> t.Any:
        from jackfield.transports.native_datagram import NativeDatagrams

        return NativeDatagrams

    def __init__(
        self,
        options: Options | None = None,
        instruments: Sequence[Instrument] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(NativePoller(), options, instruments, clock)

    def _watch_stream(self, sock: socket.socket) -> None:
        poller = t.cast(NativePoller, self._poller)
        # On a Unix socket a receive also stops where a descriptor was sent along (unix(7)), and
        # nothing would report what lies behind.
        news = sock.family in (socket.AF_INET, socket.AF_INET6)
        (poller.register_stream if news else poller.register)(sock.fileno(), READ)
