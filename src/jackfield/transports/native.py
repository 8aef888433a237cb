"""A connection whose hot path is compiled: C fields and system calls, Python's way to live and end.

Must not know the loop. Import it only where ``_native.missing("stream")`` is None.
"""

from __future__ import annotations

import typing as t

from jackfield._native.accept import LazySocket
from jackfield._native.stream import HotStream
from jackfield.transports.stream import StreamBase


class NativeStream(HotStream, StreamBase):
    """See ``protocol.Transport`` for the contract."""

    __slots__ = ()

    def get_extra_info(self, name: str, default: t.Any = None) -> t.Any:
        if name == "socket":
            return t.cast(LazySocket, self.sock).socket()
        return super().get_extra_info(name, default)
