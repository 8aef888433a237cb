"""A connection of the server's own, between its processes. Must not know what travels on it.

It differs from a client's in one thing: a full outbox stops nobody from reading. Each end writes as
much as it reads, and if both stopped they would wait for each other. ``pause_writing`` tells.
"""

from __future__ import annotations

import typing as t

from jackfield.transports.stream import BY_OUTBOX, StreamTransport


class LinkTransport(StreamTransport):
    """One end of a link. It has no peer to be counted or logged."""

    __slots__ = ()

    reads_while: t.ClassVar[int] = BY_OUTBOX
