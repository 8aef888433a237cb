"""What the compiled connections share: what is written may be held back until a tick is through.

Nothing that ends a connection may overtake that: it is sent first. The compiled half says how
(``_push``). Must not know the loop. Import it only where ``_native.missing("stream")`` is None.
"""

from __future__ import annotations

from jackfield import lazy_typing as t
from jackfield._native.accept import LazySocket
from jackfield.errors import JackfieldError
from jackfield.transports.base import NO_FIELDS
from jackfield.transports.stream import StreamBase


class HeldStream(StreamBase):
    """Goes behind the compiled class among the bases of a transport."""

    __slots__ = NO_FIELDS

    def _push(self) -> None:
        """Offer to the kernel now what is held back."""
        raise NotImplementedError

    def _push_blindly(self) -> None:
        """The same at the very end, when a failure interests nobody any more."""
        raise NotImplementedError

    def write_eof(self) -> None:
        self._push()
        super().write_eof()

    def _evict(self, reason: JackfieldError) -> None:
        self._push()  # it may not lag at all
        super()._evict(reason)

    def _begin_to_close(self) -> None:
        self._push()
        super()._begin_to_close()

    def _release(self) -> None:
        self._push_blindly()
        super()._release()

    def get_extra_info(self, name: str, default: t.Any = None) -> t.Any:
        if name == "socket":
            self._push()  # who takes the socket may write to it
            return t.cast(LazySocket, self.sock).socket()
        return super().get_extra_info(name, default)
