"""A connection of the server's own, between its processes. Must not know what travels on it.

A full outbox stops nobody from reading: each end writes as much as it reads, and if both stopped
they would wait for each other; ``pause_writing`` tells. How far a link may lag is the hub's to say.
"""

from __future__ import annotations

from jackfield import lazy_typing as t
from jackfield.transports.stream import BY_OUTBOX, StreamTransport


class LinkTransport(StreamTransport):
    """One end of a link. It has no peer to be counted or logged."""

    __slots__ = ()

    reads_while: t.ClassVar[int] = BY_OUTBOX

    def _bound(self, held: int) -> None:
        """Clients are held to ``Options.max_held``, not we."""
