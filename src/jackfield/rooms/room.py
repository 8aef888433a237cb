"""A room: whatever is published in one tick is joined once and handed to every member.

Sans-I/O: a room knows transports by their contract and asks their engine for two things,
``at_tick_end`` and ``fan_out``. It must not know sockets, protocols or what is said in it.

K messages to N members cost K + N steps: the tick's messages become one immutable ``bytes``, every
member is sent that same object, and a member whose kernel buffer is full keeps a reference to it.
Three kinds of members get a selection of their own instead, each at its own cost:

- one that was written to, or joined, in the midst of a tick has part of it already (``catch_up``
  keeps what a protocol says to one member and what the room says in the order they were said);
- one that lags is spared the noise (``publish(..., noise=True)``);
- one that does not want to hear everybody (``wants``).

A member whose outbox passes the hard limit is evicted, so that nobody else's memory or latency
pays for it, and never finds a hole in its stream.
"""

from __future__ import annotations

import typing as t
from collections.abc import Callable, Iterator

from jackfield import limits
from jackfield.errors import LagError, UsageError
from jackfield.protocol import Engine, Transport
from jackfield.rooms.history import History

GATHER_BYTES: t.Final = 256 * 1024
"""A tick's messages are fanned out early when they weigh this much: then who lags is known, and
no longer read, before the rest of a burst has come in."""

Wants: t.TypeAlias = Callable[[object], bool]
"""Given an author, does this member want the message?"""


class Said(t.NamedTuple):
    """One message of this tick."""

    data: bytes
    author: object
    noise: bool


class Room:
    """Send every message to everybody. Belongs to one engine, and to that engine's thread.

    ``soft_limit``: outbox bytes above which a member lags. ``hard_limit``: outbox bytes above
    which it is evicted with a ``LagError``. ``history``: messages kept for who joins.

    From another thread publish with ``transport.engine.call_soon(room.publish, data)``.
    """

    def __init__(
        self,
        *,
        soft_limit: int = limits.LAG_SOFT,
        hard_limit: int = limits.LAG_HARD,
        history: int = 0,
    ) -> None:
        if not 0 <= soft_limit <= hard_limit:
            raise UsageError(f"room: soft limit {soft_limit} must be 0..{hard_limit}, the hard one")
        self._soft = soft_limit
        self._hard = hard_limit
        self.history = History(history) if history else None
        self._members: dict[Transport, None] = {}
        self._wants: dict[Transport, Wants] = {}
        self._lagging: set[Transport] = set()
        self._engine: Engine | None = None
        self._clear()

    def _clear(self) -> None:
        """Nothing has been said in this tick yet."""
        self._gathered: list[Said] = []
        self._weight = 0
        self._noisy = False
        self._ahead: dict[Transport, int] = {}  # who has how many of the gathered already

    # --- members ---------------------------------------------------------------------------

    def join(self, transport: Transport, *, wants: Wants | None = None) -> None:
        """Make ``transport`` a member, and send it the history. Joining twice changes nothing.

        ``wants(author)`` says of each message whether this member is sent it (None: every
        one). Raises ``UsageError`` if the members belong to another engine.
        """
        if transport in self._members:
            return
        if not self._members:
            self._engine = transport.engine
        elif transport.engine is not self._engine:
            raise UsageError("room: its members belong to another engine; use a room for each")
        if self.history:
            self._replay(transport, self.history, wants)
        self._members[transport] = None
        if self._gathered:
            self._ahead[transport] = len(self._gathered)
        transport.attach(self)
        self.set_wants(transport, wants)

    @staticmethod
    def _replay(transport: Transport, history: History, wants: Wants | None) -> None:
        entries = history.last()
        data = b"".join(e.data for e in entries if wants is None or wants(e.author))
        if data:
            transport.write(data)

    def set_wants(self, transport: Transport, wants: Wants | None) -> None:
        """Change what a member wants to hear, from the next message on."""
        self.catch_up(transport)
        if wants is None:
            self._wants.pop(transport, None)
        else:
            self._wants[transport] = wants

    def leave(self, transport: Transport) -> None:
        """No longer a member; what was published before is still sent to it. Leaving twice, or
        without having joined, changes nothing."""
        if transport not in self._members:
            return
        self.catch_up(transport)  # which may find that it lags too far, and end up here again
        self._members.pop(transport, None)
        self._wants.pop(transport, None)
        self._lagging.discard(transport)
        self._ahead.pop(transport, None)
        transport.detach(self)

    def __len__(self) -> int:
        return len(self._members)

    def __contains__(self, transport: object) -> bool:
        return transport in self._members

    def __iter__(self) -> Iterator[Transport]:
        return iter(tuple(self._members))

    # --- messages --------------------------------------------------------------------------

    def publish(self, data: bytes, *, author: object = None, noise: bool = False) -> None:
        """Send ``data`` to every member at the end of this tick, in the order of publishing.

        ``author`` is what ``wants`` is asked about. ``noise``: members that lag are spared it,
        and history does not keep it.
        """
        if not self._members:
            self._remember(data, author, noise)
            return
        if not self._gathered:
            t.cast(Engine, self._engine).at_tick_end(self.flush)
        self._gathered.append(Said(data, author, noise))
        self._noisy = self._noisy or noise
        self._remember(data, author, noise)
        self._weight += len(data)
        if self._weight >= GATHER_BYTES:
            self.flush()

    def _remember(self, data: bytes, author: object, noise: bool) -> None:
        if self.history is not None and not noise:
            self.history.add(data, author)

    def flush(self) -> None:
        """Fan out now what was gathered. Called at the end of the tick by itself."""
        if not self._gathered:
            return
        gathered, ahead, noisy = self._gathered, self._ahead, self._noisy
        self._clear()
        members = list(self._members)
        if ahead or self._wants or (noisy and self._lagging):
            members = self._serve_apart(members, gathered, ahead, noisy)
        engine = t.cast(Engine, self._engine)
        data = b"".join([said.data for said in gathered])
        self._judge(engine.fan_out(data, members))

    def _serve_apart(
        self,
        members: list[Transport],
        gathered: list[Said],
        ahead: dict[Transport, int],
        noisy: bool,
    ) -> list[Transport]:
        """Send their own selection to those who need one; return the others."""
        others = []
        for member in members:
            start = ahead.get(member, 0)
            if start or member in self._wants or (noisy and self._is_lagging(member)):
                self._send_selection(member, gathered[start:])
            else:
                others.append(member)
        return others

    def catch_up(self, transport: Transport) -> None:
        """Send one member now what was gathered so far (``protocol.Gatherer``)."""
        said = len(self._gathered)
        start = self._ahead.get(transport, 0)
        if start < said and transport in self._members:
            self._ahead[transport] = said
            self._send_selection(transport, self._gathered[start:])

    def _send_selection(self, member: Transport, gathered: list[Said]) -> None:
        wants = self._wants.get(member)
        spared = self._is_lagging(member)
        data = b"".join(
            said.data
            for said in gathered
            if not (spared and said.noise) and (wants is None or wants(said.author))
        )
        if data:
            self._judge(t.cast(Engine, self._engine).fan_out(data, (member,)))

    # --- lag -------------------------------------------------------------------------------

    def _is_lagging(self, member: Transport) -> bool:
        if member in self._lagging:
            if member.get_write_buffer_size() > self._soft:
                return True
            self._lagging.discard(member)
        return False

    def _judge(self, behind: list[Transport]) -> None:
        """Of those whose outbox is not empty: who lags, and who lags too far?"""
        for member in behind:
            size = member.get_write_buffer_size()
            if size > self._hard:
                self.leave(member)
                member.evict(
                    LagError(f"{size} bytes behind, more than the {self._hard} that are kept")
                )
            elif size > self._soft and member in self._members:
                self._lagging.add(member)
