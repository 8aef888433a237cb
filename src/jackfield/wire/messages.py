"""MessageProtocol: what line and frame protocols share once a splitter has done its work.

It must not know any wire format: a subclass says how a block of bytes is split (``_split``),
what the end of the stream leaves over (``_finish``) and where a message goes (``_handle``).

Messages are handed on one by one. It stops as soon as the transport is closing: what the peer
sent behind its "quit" is not obeyed. When a reply fills our outbox (``pause_writing``), the
other messages of the block are held and go on at ``resume_writing``: a peer that sends
requests and reads no replies makes us hold one block, not its replies to all of them.

Reading must stop meanwhile. jackfield's transports see to that themselves; on a foreign one
(asyncio, uvloop) this class calls ``pause_reading`` and ``resume_reading``, and undoes only a
pause of its own. Which of the two it is, is found once, in ``connection_made``.
"""

from __future__ import annotations

import typing as t
from collections import deque
from collections.abc import Sequence

from jackfield.errors import TooLong
from jackfield.protocol import Protocol

Message: t.TypeAlias = bytes | TooLong | None
"""``bytes`` is a message; anything else marks one that was too long, in its place."""


class MessageProtocol(Protocol):
    """Base of protocols made of messages. Use ``LineProtocol`` or ``FrameProtocol``.

    All state is set up in ``connection_made``, so that a subclass needs no ``__init__`` of
    ours; one that overrides ``connection_made``, ``data_received``, ``eof_received``,
    ``pause_writing`` or ``resume_writing`` calls ``super()``.
    """

    __slots__ = ("_at_eof", "_held", "_native", "_paused", "_stopped_reading", "transport")

    reports_progress = True

    transport: t.Any

    def connection_made(self, transport: t.Any) -> None:
        """Keep ``transport`` as ``self.transport``."""
        self.transport = transport
        self._native = hasattr(transport, "made_progress")
        self._held: deque[Message] | None = None
        self._paused = False
        self._at_eof = False
        self._stopped_reading = False

    def connection_lost(self, exc: BaseException | None) -> None:
        """Forget the messages that were held."""
        self._held = None

    # --- what a wire format fills in ---------------------------------------------------

    def _split(self, data: bytes) -> Sequence[Message]:
        """The messages that ``data`` completes."""
        raise NotImplementedError

    def _finish(self) -> Sequence[Message]:
        """The messages that the end of the stream completes: often none."""
        return ()

    def _handle(self, message: t.Any) -> None:
        """Call the user's method for one message."""
        raise NotImplementedError

    # --- from the stream to the user's method ------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Split a block; one with a complete message in it counts as the peer's progress."""
        messages = self._split(data)
        if messages:
            if self._native and bytes in map(type, messages):
                self.transport.made_progress()
            self._deliver(messages)

    def _deliver(self, messages: Sequence[Message]) -> None:
        if self._paused or self._held is not None:
            self._hold(messages)
            return
        is_closing = self.transport.is_closing
        remaining = iter(messages)
        for message in remaining:
            self._handle(message)
            if self._paused or is_closing():
                break
        else:
            return
        if not is_closing():
            self._held = deque(remaining) or None

    def _hold(self, messages: Sequence[Message]) -> None:
        if self._held is None:
            self._held = deque()
        self._held.extend(messages)

    def eof_received(self) -> bool | None:
        """Deliver what the end completes. True (stay open) while messages are held: the
        connection is closed when they have been handled. Otherwise None: it closes now.

        An override that keeps the connection open to go on sending returns True; held
        messages still end with a close.
        """
        self._at_eof = True
        last = self._finish()
        if last:
            self._deliver(last)
        return True if self._held else None

    def messages_ended(self) -> None:
        """The stream has ended and the messages that were held have been handled: close."""
        self.transport.close()

    # --- backpressure ------------------------------------------------------------------

    def pause_writing(self) -> None:
        """Hold further messages until the peer has read our replies."""
        self._paused = True
        # After EOF there is nothing to stop, and resuming would report EOF once more.
        if not self._native and not self._at_eof and self.transport.is_reading():
            self._stopped_reading = True
            self.transport.pause_reading()

    def resume_writing(self) -> None:
        """Handle the held messages, as far as the outbox lets us; then read again."""
        self._paused = False
        # Taken away while at work: a callback may fill and drain the outbox, which calls this
        # method again, and the messages must still be handled one after another.
        held, self._held = self._held, None
        if held is not None:
            self._handle_held(held)
        if self._stopped_reading and not self._paused:
            self._stopped_reading = False
            if not self.transport.is_closing():
                self.transport.resume_reading()

    def _handle_held(self, held: deque[Message]) -> None:
        is_closing = self.transport.is_closing
        while held and not self._paused and not is_closing():
            self._handle(held.popleft())
        if is_closing():
            return
        if held:
            self._held = held
        elif self._at_eof:
            self.messages_ended()
