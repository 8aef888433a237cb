"""A connection on a ring: C's hot path, Python's way to live and end.

What was written and what the kernel has not yet taken is one thing to who asks for ``outbox``,
though a part of it may be under way and cannot be dropped any more. Must not know the loop. Import
it only where ``_native.missing("uring_stream")`` is None.
"""

from __future__ import annotations

from jackfield import lazy_typing as t
from jackfield._native.uring_stream import RingStream
from jackfield.transports.held import HeldStream
from jackfield.wire.outbox import Outbox


class RingOutbox:
    """What waits for one connection, as those see it who only ask how much, or drop it."""

    __slots__ = ("_stream",)

    def __init__(self, stream: UringStream) -> None:
        self._stream = stream

    @property
    def size(self) -> int:
        """Bytes that the kernel has not taken."""
        return self._stream.get_write_buffer_size()

    def truncate(self) -> int:
        """Drop what is not under way; how many bytes that were."""
        return self._stream._truncate()

    def clear(self) -> None:
        """Drop everything that can be."""
        self._stream._forget_unsent()


class UringStream(RingStream, HeldStream):
    """See ``protocol.Transport`` for the contract."""

    __slots__ = ()

    @property
    def outbox(self) -> t.Any:
        """What waits, or None."""
        return RingOutbox(self) if self.get_write_buffer_size() else None

    @outbox.setter
    def outbox(self, _none: t.Any) -> None:
        self._forget_unsent()

    @staticmethod
    def _new_outbox() -> Outbox:
        return Outbox()
