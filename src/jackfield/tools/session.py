"""One conversation between two descriptors and a connected socket, multiplexed by a poller.

    input --read--> outbox --send--> socket --recv--> printing --write--> output

Each of the three descriptors is watched only while there is something to do with it, and
nothing is read while what was read before still waits: more than HIGH_WATER for the socket
stops the input, more than HIGH_WATER for the output stops the socket. So memory is bounded
whichever side is slow, and no byte is dropped.

The input and output are shared with other programs (a shell's terminal, a pipe), so they are
not made non-blocking: that flag belongs to the open file and would change it for all of them.
They are read and written only when the poller says so. A pipe that is reported writable takes
PIPE_BUF bytes without blocking (POSIX, pipe(7)), so that no more is written at a time.

A terminal's peer must not command it: where the output is a terminal, ``terminal_text`` stands
between.

What differs between streams and datagrams is in ``stream_session`` and ``datagram_session``.
This module must not know endpoints, names or how the socket was connected.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import typing as t

from jackfield import limits
from jackfield.errors import ConnectError
from jackfield.pollers import ERROR, HANGUP, READ, WRITE, Poller
from jackfield.tools.terminal_text import TerminalText
from jackfield.wire.outbox import Outbox

PIPE_BUF: t.Final[int] = getattr(select, "PIPE_BUF", 512)
"""512 is the least that POSIX allows."""


class Session:
    """What both kinds have in common: the input, the output, and who is watched for what.

    ``sock`` is connected and non-blocking, and stays the caller's, as ``input_fd``,
    ``output_fd`` (two different descriptors) and ``poller`` do.
    """

    def __init__(self, sock: socket.socket, input_fd: int, output_fd: int, poller: Poller) -> None:
        self._sock = sock
        self._input_fd = input_fd
        self._output_fd = output_fd
        self._poller = poller
        self._escaper = TerminalText() if os.isatty(output_fd) else None
        self._printing = Outbox()
        self._input_open = True
        self._peer_open = True
        self._output_open = True
        self._failure: OSError | ConnectError | None = None
        self._interests: dict[int, int] = {}

    def run(self) -> None:
        """Talk until the peer is done and all it sent is written, or nobody reads the output.

        Raises the ``OSError`` that broke the connection, after writing what came before it,
        or ``ConnectError`` when the input or output failed.
        """
        try:
            while not self._over():
                self._watch()
                for fd, flags in self._poller.poll(self._patience()):
                    self._on_ready(fd, flags)
        finally:
            for fd in self._interests:
                self._poller.unregister(fd)
            self._interests.clear()
        if self._failure is not None:
            raise self._failure

    def fail(self, exc: OSError | ConnectError) -> None:
        """Send no more, hear the peer out, then raise ``exc`` from ``run``. The first failure
        is the one to report; those that follow come from it."""
        self._failure = self._failure or exc

    # --- what a kind of session decides ------------------------------------------------

    def _room_for_input(self) -> bool:
        """May more input be taken?"""
        raise NotImplementedError

    def _sending(self) -> bool:
        """Does anything wait for the socket?"""
        raise NotImplementedError

    def _take(self, data: bytes) -> None:
        """Some input came."""
        raise NotImplementedError

    def _input_ended(self) -> None:
        """No more input comes."""

    def _send(self) -> None:
        """The socket takes bytes: send what waits."""
        raise NotImplementedError

    def _receive(self) -> None:
        """The socket has bytes, an end or an error."""
        raise NotImplementedError

    def _over(self) -> bool:
        return not self._output_open or not (self._peer_open or self._printing)

    def _patience(self) -> float | None:
        """Seconds to wait for something to happen; None: for ever."""
        return None

    # --- the three descriptors ---------------------------------------------------------

    def _watch(self) -> None:
        takes_input = self._input_open and self._failure is None and self._room_for_input()
        self._interest(self._input_fd, READ if takes_input else None)
        receiving = self._peer_open and self._printing.size <= limits.HIGH_WATER
        wanted = (READ if receiving else 0) | (WRITE if self._sending() else 0)
        self._interest(self._sock.fileno(), wanted or None)
        # Watched even for nothing: a pipe whose reader is gone then reports an error, so that
        # "| head -1" ends at once and not with the next thing the peer says.
        self._interest(self._output_fd, WRITE if self._printing else 0)

    def _interest(self, fd: int, new: int | None) -> None:
        """Watch ``fd`` for ``new``; None: not at all, since hangups are reported whatever the
        interest, again and again."""
        old = self._interests.get(fd)
        if new == old:
            return
        if new is None:
            del self._interests[fd]
            self._poller.unregister(fd)
            return
        if old is None:
            self._poller.register(fd, new)
        else:
            self._poller.modify(fd, new)
        self._interests[fd] = new

    def _on_ready(self, fd: int, flags: int) -> None:
        broken = flags & (ERROR | HANGUP)
        if fd == self._input_fd:
            self._read_input()
        elif fd == self._output_fd:
            self._output_open = self._output_open and not broken
            self._print()
        else:  # an error is learned from the call that meets it
            interest = self._interests[fd]
            if interest & READ and flags & (READ | broken):
                self._receive()
            if interest & WRITE and flags & (WRITE | broken):
                self._send()

    def _read_input(self) -> None:
        if not self._peer_open:  # it ended in this very turn
            return
        try:
            data = os.read(self._input_fd, limits.RECEIVE_SIZE)
        except BlockingIOError:  # somebody else made it non-blocking and read it first
            return
        except OSError as exc:
            if exc.errno != errno.EIO:  # EIO: the terminal hung up, which is its end
                self.fail(_local_failure("standard input", exc))
            data = b""
        if data:
            self._take(data)
        else:
            self._input_open = False
            self._input_ended()

    def _show(self, data: bytes, final: bool = False) -> None:
        """Queue what the peer sent for the output."""
        self._printing.append(self._escaper.escape(data, final) if self._escaper else data)

    def _print(self) -> None:
        """Write one piece, as much as is sure not to block."""
        if not (self._output_open and self._printing):
            return
        try:
            n = os.write(self._output_fd, self._printing.buffers(1)[0][:PIPE_BUF])
        except BlockingIOError:
            return
        except OSError as exc:
            self._output_open = False
            # EPIPE: who read it has seen enough. EIO: the terminal hung up.
            if exc.errno not in (errno.EPIPE, errno.EIO):
                self.fail(_local_failure("standard output", exc))
        else:
            self._printing.advance(n)

    def _peer_ended(self) -> None:
        self._peer_open = False
        self._show(b"", final=True)


def _local_failure(what: str, exc: OSError) -> ConnectError:
    return ConnectError(
        f"{what}: {exc.strerror or exc}", reason=errno.errorcode.get(exc.errno or 0, "io")
    )
