"""A descriptor that ends another thread's, or a signal's, wait in a poller.

A socket pair: the writing end takes a byte from any thread and from ``signal.set_wakeup_fd``, the
reading end is watched. Must not know pollers or engines.
"""

from __future__ import annotations

import socket


class Wakeup:
    """``fd`` turns readable after ``set()`` until ``clear()``."""

    __slots__ = ("_reader", "_writer", "fd", "signal_fd")

    def __init__(self) -> None:
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)
        self.fd = self._reader.fileno()
        self.signal_fd = self._writer.fileno()

    def set(self) -> None:
        """Wake the waiting thread. Safe from any thread; calls before a wait add up to one."""
        try:
            self._writer.send(b"\0")
        except (BlockingIOError, InterruptedError):
            pass  # full: it is awake already
        except OSError:
            pass  # closed meanwhile: nobody waits any more

    def clear(self) -> None:
        """Forget the calls so far."""
        try:
            while len(self._reader.recv(4096)) == 4096:
                pass
        except (BlockingIOError, InterruptedError):
            pass

    def close(self) -> None:
        """Release both descriptors. May be called twice."""
        self._reader.close()
        self._writer.close()
