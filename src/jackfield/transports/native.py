"""A connection whose hot path is compiled: C fields and system calls, Python's way to live and end.

Must not know the loop. Import it only where ``_native.missing("stream")`` is None.
"""

from __future__ import annotations

from jackfield._native.stream import HotStream
from jackfield.transports.held import HeldStream


class NativeStream(HotStream, HeldStream):
    """See ``protocol.Transport`` for the contract."""

    __slots__ = ()
