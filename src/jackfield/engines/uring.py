"""The engine ``uring``: the reactor on io_uring(7), Linux: what is asked for completes by itself.

A tick enters the kernel once: with everything that was written in the tick before, and to wait.
What arrived then lies in our memory already. What is no stream and no listener (datagrams,
dialling, links between processes, the wakeup) is told when it is ready, by the same ring. Import
it only where ``kernel.io_uring.missing()`` is None.
"""

from __future__ import annotations

import functools
import os
import socket
import time
from collections.abc import Callable, Sequence

from jackfield import lazy_typing as t
from jackfield._native.accept import accept
from jackfield._native.uring import Ring
from jackfield._native.uring_accept import Accepting
from jackfield._native.uring_loop import RingLoop
from jackfield.engines.acceptor import Accept, Acceptor, AcceptorOwner
from jackfield.engines.base import Options
from jackfield.engines.reactor import Reactor
from jackfield.instrument import Instrument
from jackfield.kernel.sockets import Listener
from jackfield.transports.stream import StreamBase
from jackfield.transports.uring import UringStream


class UringAcceptor(Acceptor):
    """A listener whose connections come as completions; unless other processes accept, too. Then it
    is told when somebody waits, as all of them are: the kernel would give everybody to one."""

    __slots__ = ("_accepting",)

    def __init__(
        self, engine: AcceptorOwner, listener: Listener, factory: Callable[[], t.Any]
    ) -> None:
        self._accepting: Accepting | None = None
        take: t.Any = functools.partial(accept, listener.sock.fileno())
        if listener.process == os.getpid():
            self._accepting = Accepting(t.cast(UringReactor, engine).ring, listener.sock.fileno())
            take = self._accepting.accept
        super().__init__(engine, listener, factory)
        self.accept = t.cast(Accept, take)

    def close(self, most: int) -> None:
        if most and self._accepting is not None:
            self._accepting.settle()
        super().close(most)
        if self._accepting is not None:
            self._accepting.close()


class UringReactor(RingLoop, Reactor):
    """One thread serves every connection."""

    stream: t.ClassVar[type[StreamBase]] = UringStream
    acceptor: t.ClassVar[type[Acceptor]] = UringAcceptor

    @property
    def datagrams(self) -> t.Any:
        from jackfield.transports.native_datagram import NativeDatagrams

        return NativeDatagrams

    def __init__(
        self,
        options: Options | None = None,
        instruments: Sequence[Instrument] = (),
        clock: Callable[[], float] = time.monotonic,
        ring: Ring | None = None,
    ) -> None:
        super().__init__(ring or Ring(), options, instruments, clock)

    def _watch_stream(self, sock: socket.socket) -> None:
        """Nothing: a stream itself asks the ring for what it wants."""

    def abandon(self) -> None:
        """In a process forked from the engine's: close its descriptors, and tell nobody."""
        self.ring.abandon()
        super().abandon()
