"""A session over a datagram socket. See ``session`` for the whole.

One input line, its LF included, is one datagram, whether it was typed or comes from a file, so
that the same text always makes the same datagrams; no byte is added or changed. A line longer
than DATAGRAM_PAYLOAD is cut there, and what follows the last LF is sent at the end of the input.
Replies are written as they come. Nothing marks their end, so that after the end of the input
the session waits a while from the last datagram in either direction.
"""

from __future__ import annotations

import socket
import time
from collections import deque

from jackfield import limits
from jackfield.address import SockAddr
from jackfield.pollers import Poller
from jackfield.tools.session import Session


class DatagramSession(Session):
    """Lines out, replies in. ``reply_wait``: seconds to wait for a reply after the last
    datagram once the input has ended. ``to``: where to send with a socket that is not
    connected (multicast, broadcast), which takes replies from anybody."""

    def __init__(
        self,
        sock: socket.socket,
        input_fd: int,
        output_fd: int,
        poller: Poller,
        *,
        reply_wait: float = limits.REPLY_WAIT,
        to: SockAddr | None = None,
    ) -> None:
        super().__init__(sock, input_fd, output_fd, poller)
        self._to = to
        self._reply_wait = reply_wait
        self._partial = bytearray()
        self._waiting: deque[bytes] = deque()
        self._wait_until = 0.0  # nothing was sent, so no reply will come

    def _room_for_input(self) -> bool:
        return not self._waiting

    def _sending(self) -> bool:
        return bool(self._waiting)

    def _take(self, data: bytes) -> None:
        self._partial += data
        while end := self._end_of_datagram():
            self._waiting.append(bytes(self._partial[:end]))
            del self._partial[:end]
        self._send()

    def _end_of_datagram(self) -> int:
        """Bytes of ``_partial`` that are the next datagram; 0: it is not complete."""
        end = self._partial.find(b"\n", 0, limits.DATAGRAM_PAYLOAD) + 1
        if end:
            return end
        most = min(len(self._partial), limits.DATAGRAM_PAYLOAD)
        return most if most == limits.DATAGRAM_PAYLOAD or not self._input_open else 0

    def _input_ended(self) -> None:
        self._take(b"")

    def _send(self) -> None:
        try:
            while self._waiting:
                self._send_one(self._waiting[0])
                self._waiting.popleft()
                self._wait_until = time.monotonic() + self._reply_wait
        except BlockingIOError:
            return
        except OSError as exc:
            self._break(exc)

    def _send_one(self, data: bytes) -> None:
        if self._to is None:
            self._sock.send(data)
        else:
            self._sock.sendto(data, self._to)

    def _receive(self) -> None:
        try:
            self._show(self._sock.recv(limits.DATAGRAM_SIZE), final=True)
            self._wait_until = time.monotonic() + self._reply_wait
        except BlockingIOError:  # the checksum was wrong (select(2), BUGS)
            return
        except OSError as exc:
            self._break(exc)

    def _break(self, exc: OSError) -> None:
        """Linux reports an error before the datagrams that came ahead of it: take those too."""
        self.fail(exc)
        self._waiting.clear()
        try:
            for _ in range(limits.DATAGRAM_BURST):
                self._show(self._sock.recv(limits.DATAGRAM_SIZE), final=True)
        except OSError:
            pass
        self._peer_ended()

    def _over(self) -> bool:
        return super()._over() or (self._all_sent() and not self._printing and self._left() <= 0)

    def _patience(self) -> float | None:
        return max(0.0, self._left()) if self._all_sent() and not self._printing else None

    def _all_sent(self) -> bool:
        return not (self._input_open or self._waiting)

    def _left(self) -> float:
        return self._wait_until - time.monotonic()
