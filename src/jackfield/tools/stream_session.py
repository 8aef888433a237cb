"""A session over a stream socket, TCP or Unix. See ``session`` for the whole.

The end of the input half-closes the connection (shutdown(2), SHUT_WR). The end of the peer's
stream ends the session: a peer that only half-closed and would read on looks the same as one
that is gone, and somebody at a terminal wants the prompt back. Input that was read and not yet
sent is then a failure, since it would be lost without a word.
"""

from __future__ import annotations

import errno
import os
import socket

from jackfield import limits
from jackfield.pollers import Poller
from jackfield.tools.session import Session
from jackfield.wire.outbox import Outbox


class StreamSession(Session):
    """Bytes in order, both ways, until the peer ends."""

    def __init__(self, sock: socket.socket, input_fd: int, output_fd: int, poller: Poller) -> None:
        super().__init__(sock, input_fd, output_fd, poller)
        self._outbox = Outbox()

    def _room_for_input(self) -> bool:
        return self._outbox.size <= limits.HIGH_WATER

    def _sending(self) -> bool:
        return self._outbox.size > 0

    def _take(self, data: bytes) -> None:
        self._outbox.append(data)
        self._send()

    def _send(self) -> None:
        try:
            while self._outbox:
                self._outbox.advance(self._sock.sendmsg(self._outbox.buffers()))
        except BlockingIOError:
            return
        except OSError as exc:
            # What the peer had said before it went can still be read.
            self._outbox.clear()
            self.fail(exc)
        if not self._input_open:
            self._half_close()

    def _input_ended(self) -> None:
        if not self._outbox:
            self._half_close()

    def _half_close(self) -> None:
        try:
            self._sock.shutdown(socket.SHUT_WR)
        except OSError:  # broken already: receiving tells how
            pass

    def _receive(self) -> None:
        try:
            data = self._sock.recv(limits.RECEIVE_SIZE)
        except BlockingIOError:
            return
        except OSError as exc:
            self.fail(exc)
            data = b""
        if data:
            self._received(data)
        else:
            self._stream_ended()

    def _received(self, data: bytes) -> None:
        self._show(data)

    def _stream_ended(self) -> None:
        self._peer_done()

    def _peer_done(self) -> None:
        """The peer's stream has ended. Input that it did not wait for is lost."""
        self._peer_ended()
        if self._outbox:
            self._outbox.clear()
            self.fail(OSError(errno.EPIPE, os.strerror(errno.EPIPE)))
