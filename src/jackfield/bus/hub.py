"""The hub: the one place where the operations of all processes get their order.

Lives in the parent, in its reactor's thread. The order is that of arrival; the links are members of
a room, so a tick's operations reach each worker in one send. The parent applies them too: who is
forked from it starts with the state of that moment, and misses nothing and sees nothing twice
because its link joins the room between two operations. Must not know how workers are made.

A worker that does not keep up holds the others back for a moment: nothing is read from any worker
until it has caught up, or LINK_PATIENCE has passed. Then only itself is read no more, and what it
is told piles up: to LINK_LAG, where it is given up.
"""

from __future__ import annotations

import typing as t
from collections.abc import Callable

from jackfield import replicated
from jackfield.bus.link import HubLink, deliver
from jackfield.bus.messages import Question, decode, encode, encode_loss
from jackfield.errors import UsageError
from jackfield.rooms.room import Room
from jackfield.wire.frames import encode_frame

LINK_LAG: t.Final = 64 * 1024 * 1024
"""Bytes a worker may be behind before it is given up: some ten seconds of the heaviest traffic. A
worker with a gap in what it was told would answer wrongly for ever after."""

LINK_PATIENCE: t.Final = 0.5
"""Seconds for which one worker may hold the others back. A busy one reads a full outbox in a tenth
of that; one that is stopped must not stop all."""


def require_none() -> None:
    """Raises ``UsageError`` where a hub is at work in this process."""
    if replicated.connected():
        raise UsageError(
            "a server with several processes is running in this process already; "
            "run one, or start a program for each"
        )


class Hub:
    """Orders and distributes. It is the parent's own ``replicated.Bus``.

    ``lost(process)`` is called when a worker's link has ended, after its loss was published;
    ``ready(process)`` when it says that it serves; ``answered(number, data)`` when it answers a
    question. Raises ``UsageError`` where another hub is at work in this process.
    """

    def __init__(
        self,
        lost: Callable[[int], object],
        ready: Callable[[int], object],
        answered: Callable[[int, bytes], object] = lambda number, data: None,
    ) -> None:
        self._lost = lost
        self._ready = ready
        self._answered = answered
        self._room = Room(soft_limit=LINK_LAG // 2, hard_limit=LINK_LAG, shared=False)
        self._links: dict[int, HubLink] = {}  # by process number
        self._waited_for: dict[HubLink, t.Any] = {}  # who is behind, and the end of our patience
        require_none()
        replicated.connect(self, 0)

    def link(self, process: int) -> HubLink:
        """The protocol for the hub's end of a new worker's socket; ``joined`` completes it."""
        return HubLink(self, process)

    def joined(self, link: HubLink) -> None:
        """The link's connection stands: from here on it is told everything."""
        self._links[link.process] = link
        self._room.join(link.transport)
        self._regulate(link)

    def publish(self, topic: int, operation: bytes) -> None:
        """An operation of the parent's own."""
        self.received(encode(topic, operation))

    def received(self, frame: bytes) -> None:
        """This is the order: what comes first here comes first everywhere."""
        operations = decode(frame)
        self._room.publish(encode_frame(frame))
        deliver(operations)

    def retire(self, process: int) -> None:
        """Have a worker end once its clients have left."""
        link = self._links.get(process)
        if link is not None:
            link.retire()

    def ask(self, process: int, question: Question) -> None:
        """Have a worker answer; where it is gone, nobody does. Outside of the order."""
        link = self._links.get(process)
        if link is not None:
            link.ask(question)

    def link_ready(self, link: HubLink) -> None:
        """A worker serves."""
        self._ready(link.process)

    def link_answered(self, number: int, data: bytes) -> None:
        """A worker has answered."""
        self._answered(number, data)

    def link_lost(self, link: HubLink) -> None:
        """A worker is gone."""
        del self._links[link.process]
        self._room.leave(link.transport)
        self._wait_no_more(link)
        self.received(encode_loss(link.process))
        self._lost(link.process)

    def close(self) -> None:
        """Nothing is ordered any more."""
        replicated.disconnect()

    # --- who is read -----------------------------------------------------------------------

    def link_behind(self, link: HubLink, behind: bool) -> None:
        """A worker does not keep up, or does again."""
        if behind:
            later = link.transport.engine.call_later
            self._waited_for[link] = later(LINK_PATIENCE, self._wait_no_more, link)
            self._regulate(*self._links.values())
        else:
            self._wait_no_more(link)
            self._regulate(link)

    def _wait_no_more(self, link: HubLink) -> None:
        timer = self._waited_for.pop(link, None)
        if timer is not None:
            timer.cancel()
            self._regulate(*self._links.values())

    def _regulate(self, *links: HubLink) -> None:
        for link in links:
            if self._waited_for or link.behind:
                link.transport.pause_reading()
            else:
                link.transport.resume_reading()
