"""The poller's contract: which of many descriptors are ready? Nothing else.

A poller knows descriptor numbers and readiness, and must not know sockets, transports or time
beyond one timeout. The numbers of the flags are those of poll(2) and epoll(7), so that on
Linux the kernel's own answer is handed on untouched; select and kqueue translate into them.
"""

from __future__ import annotations

from collections.abc import Iterable

from jackfield import lazy_typing as t

READ: t.Final = 0x1
"""Bytes, a connection to accept, or the end of the stream wait (POLLIN)."""

WRITE: t.Final = 0x4
"""The kernel would take bytes, or a connect has ended (POLLOUT)."""

ERROR: t.Final = 0x8
"""SO_ERROR is set (POLLERR); reported whatever the interest."""

HANGUP: t.Final = 0x10
"""Both directions are closed (POLLHUP); reported whatever the interest."""

Ready: t.TypeAlias = Iterable[tuple[int, int]]
"""(descriptor, flags) pairs. A poller that cannot tell ERROR or HANGUP says READ or WRITE
instead: the next system call then meets the error."""


class Poller(t.Protocol):
    """Level-triggered readiness. Not safe to share between threads.

    A descriptor is registered while somebody is interested in it, and unregistered before it is
    closed.
    """

    def register(self, fd: int, interest: int) -> None:
        """Watch ``fd`` for ``interest`` (READ, WRITE or both).

        Raises ``ValueError`` if it is registered already, ``DescriptorTooLarge`` if this
        poller cannot hold the number, ``OSError`` if it is not open or cannot be watched.
        """

    def modify(self, fd: int, interest: int) -> None:
        """Replace the interest. Raises ``KeyError`` if ``fd`` is not registered."""

    def unregister(self, fd: int) -> None:
        """Forget ``fd``. Raises ``KeyError`` if it is not registered."""

    def poll(self, timeout: float | None) -> Ready:
        """Wait at most ``timeout`` seconds (None: for ever, 0: not at all) for readiness.

        Goes on waiting when a signal interrupts it (PEP 475).
        """

    def close(self) -> None:
        """Release the poller's own descriptor, if it has one. May be called twice."""


class NestedPoller(Poller, t.Protocol):
    """A poller that is a descriptor itself, so that another one can wait for it."""

    def fileno(self) -> int:
        """The descriptor: readable while ``poll`` has something to say."""
