"""The two ends of the link between a worker and the hub: gathers a tick's operations, applies what
comes back.

Neither end may stop reading because its own outbox is full, or both would wait for each other. So a
worker always reads its link, and while its outbox to the hub is full it reads its clients no more;
what the hub does instead is its own affair (``hub``). Must not know what the operations mean, nor
how workers are made.
"""

from __future__ import annotations

import typing as t
from collections.abc import Callable

from jackfield import replicated
from jackfield.bus.messages import (
    FRAME_FULL,
    FRAME_LIMIT,
    LOSS,
    NUMBER,
    QUESTION,
    SIGN,
    Question,
    decode,
    decode_answer,
    decode_question,
    encode,
    encode_answer,
    encode_question,
)
from jackfield.errors import JackfieldError
from jackfield.wire.frames import FrameProtocol

HIGH_WATER: t.Final = 1024 * 1024
"""Bytes in a link's outbox above which less is let in: a few frames of the largest usual size, so
that the process at the other end never waits for work."""


def deliver(operations: list[tuple[int, bytes]]) -> None:
    """Apply the operations of a frame, in this process."""
    for topic, operation in operations:
        if topic == LOSS:
            replicated.deliver_loss(*NUMBER.unpack(operation))
        else:
            replicated.deliver(topic, operation)


class LinkEnd(FrameProtocol):
    """What both ends have in common."""

    frame_limit = FRAME_LIMIT

    def connection_made(self, transport: t.Any) -> None:
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=HIGH_WATER)

    # Not the base's: frames that were read are handled, whatever waits to be written.
    def pause_writing(self) -> None:
        """The other end is behind."""

    def resume_writing(self) -> None:
        """It has caught up."""


class Link(LinkEnd):
    """The protocol on the worker's socket, and its ``replicated.Bus``.

    ``lost`` is called when the hub is gone: without it nothing can be said any more; ``retired``
    when the hub wants this worker to end once its clients have left; ``full(True)`` when the hub
    does not keep up, ``full(False)`` when it does again; ``asked`` with each question of the hub's,
    and returns the answer.
    """

    def __init__(
        self,
        lost: Callable[[], object],
        retired: Callable[[], object] = lambda: None,
        full: Callable[[bool], object] = lambda full: None,
        asked: Callable[[Question], bytes] = lambda question: b"",
    ) -> None:
        self._lost = lost
        self._retired = retired
        self._full = full
        self._asked = asked
        self._gathered: list[bytes] = []
        self._size = 0

    def publish(self, topic: int, operation: bytes) -> None:
        """Send to the hub at the end of this tick, in one frame with the tick's others. Raises
        ``TooLong`` for an operation over ``messages.OPERATION_LIMIT``."""
        encoded = encode(topic, operation)
        if not self._gathered:
            self.transport.engine.at_tick_end(self.flush)
        self._gathered.append(encoded)
        self._size += len(encoded)
        if self._size >= FRAME_FULL:
            self.flush()

    def flush(self) -> None:
        """Send now what was gathered."""
        if self._gathered:
            frame = b"".join(self._gathered)
            self._gathered.clear()
            self._size = 0
            self.send_frame(frame)

    def say_ready(self) -> None:
        """Tell the hub that this worker serves now."""
        self.send_frame(SIGN)

    def frame_received(self, payload: bytes) -> None:
        if payload == SIGN:
            self._retired()
        elif payload.startswith(QUESTION):
            question = decode_question(payload)
            self.send_frame(encode_answer(question.number, self._asked(question)))
        else:
            deliver(decode(payload))

    def pause_writing(self) -> None:
        self._full(True)

    def resume_writing(self) -> None:
        self._full(False)

    def closing(self, reason: JackfieldError) -> None:
        """This worker has ended its work: the end of the link is not the hub's."""
        self._lost = lambda: None

    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        self._lost()


class LinkOwner(t.Protocol):
    """What the hub's end of a link reports to."""

    def received(self, frame: bytes) -> None:
        """A frame of operations came from a worker."""

    def link_ready(self, link: HubLink) -> None:
        """The worker serves now."""

    def link_behind(self, link: HubLink, behind: bool) -> None:
        """The worker does not keep up with what it is told, or does again."""

    def link_answered(self, number: int, data: bytes) -> None:
        """The worker answers a question."""

    def link_lost(self, link: HubLink) -> None:
        """The link has ended, and so has its worker."""


class HubLink(LinkEnd):
    """The protocol on the hub's socket to worker number ``process``."""

    def __init__(self, owner: LinkOwner, process: int) -> None:
        self._owner = owner
        self.process = process
        self.behind = False

    def retire(self) -> None:
        """Have the worker end once its clients have left."""
        self.send_frame(SIGN)

    def ask(self, question: Question) -> None:
        """Have the worker answer: ``LinkOwner.link_answered``."""
        self.send_frame(encode_question(question))

    def frame_received(self, payload: bytes) -> None:
        if payload == SIGN:
            self._owner.link_ready(self)
        elif payload.startswith(QUESTION):
            self._owner.link_answered(*decode_answer(payload))
        else:
            self._owner.received(payload)

    def pause_writing(self) -> None:
        self.behind = True
        self._owner.link_behind(self, True)

    def resume_writing(self) -> None:
        self.behind = False
        self._owner.link_behind(self, False)

    def closing(self, reason: JackfieldError) -> None:
        """The worker is given up: it cannot be waited for until it has read the rest."""
        self.transport.abort()

    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        self._owner.link_lost(self)
