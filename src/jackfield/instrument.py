"""What tools hang on an engine to see connections come and go. Imports nothing of jackfield.

An engine without instruments pays nothing for them: the hooks are called once per connection,
never per message. Must not know any engine's insides.
"""

from __future__ import annotations

import typing as t


class Instrument:
    """Base of instruments: override what you need. Called in the engine's thread; must not
    block, and must not raise."""

    def connected(self, transport: t.Any) -> None:
        """A connection was accepted or made; ``transport`` is its ``Transport``."""

    def proxied(self, transport: t.Any, via: str) -> None:
        """A proxy said whom it speaks for: ``transport`` has the client's address now, ``via``
        is the proxy's, as text."""

    def disconnected(self, transport: t.Any, exc: BaseException | None, reason: str) -> None:
        """It is over. ``exc`` as for ``connection_lost``; ``reason`` is a word for people:
        "eof", "closed", "aborted", an errno's name, or a ``JackfieldError``'s reason."""

    def refused(self, peer: str, reason: str) -> None:
        """A connection was accepted and closed at once: "max-connections", "max-per-host",
        "max-per-second", "uid" (not in the listener's list) or "descriptor-too-large"."""

    def accept_failed(self, listener: str, exc: OSError) -> None:
        """Accepting failed and pauses for a moment: no descriptors, no memory."""
