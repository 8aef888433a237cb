"""A socket that waits when it is read and never when it is written: for a thread per connection.

O_NONBLOCK belongs to the socket, both directions of it; MSG_DONTWAIT belongs to one call
(send(2)). Must not know transports or threads.
"""

from __future__ import annotations

import select
import socket
import typing as t

DONT_WAIT: t.Final[int] = getattr(socket, "MSG_DONTWAIT", 0)
"""0 on Windows, which has no such flag: ``engines.missing`` says so."""


class BlockingSocket(socket.socket):
    """``recv`` waits, ``send`` and ``sendmsg`` raise ``BlockingIOError`` instead."""

    __slots__ = ()

    @classmethod
    def take_over(cls, sock: socket.socket) -> BlockingSocket:
        """The descriptor of ``sock``, which has none afterwards."""
        own = cls(sock.family, sock.type, sock.proto, fileno=sock.detach())
        own.setblocking(True)
        return own

    def send(self, data: t.Any, flags: int = 0, /) -> int:
        """As send(2), without waiting."""
        return super().send(data, flags | DONT_WAIT)

    def sendmsg(
        self, buffers: t.Any, ancdata: t.Any = (), flags: int = 0, address: t.Any = None, /
    ) -> int:
        """As sendmsg(2), without waiting."""
        return super().sendmsg(buffers, ancdata, flags | DONT_WAIT, address)

    def wait_for_input(self) -> None:
        """Return when there is something to receive, be it the end of the stream; nothing is
        taken. Raises the ``OSError`` that waits on the socket."""
        self.recv(1, socket.MSG_PEEK)

    def has_input(self) -> bool:
        """Would ``recv`` return at once?"""
        try:
            self.recv(1, socket.MSG_PEEK | DONT_WAIT)
        except BlockingIOError:
            return False
        except OSError:
            pass  # so it would, with this error
        return True

    def wait_for_room(self) -> None:
        """Return when a send may succeed, or fails for good."""
        if hasattr(select, "poll"):  # select() has no room for large descriptor numbers
            poller = select.poll()
            poller.register(self.fileno(), select.POLLOUT)
            poller.poll()
        else:
            select.select([], [self], [])

    def cut(self) -> None:
        """End the waiting of every thread that waits for this socket."""
        try:
            self.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # the peer was faster: nobody waits any more
