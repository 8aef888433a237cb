"""A lock between processes that were forked from one another.

A record lock (fcntl(2), F_SETLKW) on a file without a name: the kernel lets go of it when its
holder dies, however it dies, which a semaphore in shared memory does not promise. Such a lock
belongs to a process, so that it keeps no threads apart. Must not know what it guards.
"""

from __future__ import annotations

import os
import tempfile

from jackfield.errors import UsageError


class ProcessLock:
    """Made before the fork, then held in a ``with`` by one process at a time. Not reentrant.

    Raises ``UsageError`` where the system has no fcntl(2), which is where it has no fork either.
    """

    __slots__ = ("_fd",)

    def __init__(self) -> None:
        try:
            import fcntl  # noqa: F401
        except ImportError as exc:
            raise UsageError("this system has no locks between processes (fcntl)") from exc
        self._fd = _unnamed_file()

    def __enter__(self) -> None:
        """May wait; a signal's handler runs meanwhile, and the wait goes on."""
        import fcntl

        fcntl.lockf(self._fd, fcntl.LOCK_EX)

    def __exit__(self, *exc: object) -> None:
        import fcntl

        fcntl.lockf(self._fd, fcntl.LOCK_UN)

    def close(self) -> None:
        """Give the descriptor back. May be called twice."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


def _unnamed_file() -> int:
    """The descriptor of a file that ends with its last descriptor; close-on-exec."""
    if hasattr(os, "memfd_create"):  # Linux: no directory is needed that could be read-only
        return os.memfd_create("jackfield-lock")
    with tempfile.TemporaryFile() as file:
        fd = os.dup(file.fileno())
        os.set_inheritable(fd, False)
        return fd
