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

Under an engine of threads everything happens under the room's lock: joined, fanned out and caught
up one after another, so that the order is one for all. No callback is called under it, and no
other room's lock is taken: who is to be evicted is evicted after it.
"""

from __future__ import annotations

import struct
import typing as t
import weakref
from collections import deque
from collections.abc import Callable, Iterator

from jackfield import limits
from jackfield.errors import LagError, UsageError
from jackfield.protocol import Engine, Transport
from jackfield.replicated import Replicated
from jackfield.rooms.history import History

GATHER_BYTES: t.Final = 256 * 1024
"""A tick's messages are fanned out early when they weigh this much: then who lags is known, and
no longer read, before the rest of a burst has come in."""

Wants: t.TypeAlias = Callable[[object], bool]
"""Given an author, does this member want the message?"""


Said: t.TypeAlias = tuple[bytes, object, bool]
"""One message of this tick: data, author, noise. A plain tuple: one is made per message."""


MESSAGE: t.Final = struct.Struct("!Bq")
"""A message between processes: flags and author, then the data."""

AUTHORS: t.Final = 1 << 63
"""What a signed 64-bit number holds."""

HAS_AUTHOR: t.Final = 1
IS_NOISE: t.Final = 2


_locking = False


def lock() -> None:
    """This process has an engine of threads: from now on every room locks. (A lock costs a tenth
    of ``publish`` even where nobody contends, which engines of one thread do not pay.)"""
    global _locking  # noqa: PLW0603 - of the process, as its threads are
    _locking = True


class Room(Replicated):
    """Send every message to everybody. Belongs to one engine, and to that engine's thread.

    ``soft_limit``: outbox bytes above which a member lags. ``hard_limit``: outbox bytes above
    which it is evicted with a ``LagError``. ``history``: messages kept for who joins.

    With several processes (``--workers``, the fork engine) a room that was made before they part
    is one room: its messages have one order everywhere, and an ``author`` is an ``int`` or None.
    ``shared=False``: each process has its own. ``name``: for who asks which rooms there are.

    From another thread publish with ``transport.engine.call_soon(room.publish, data)``; under the
    engine ``thread`` a room may be used from any thread.
    """

    def __init__(
        self,
        *,
        soft_limit: int = limits.LAG_SOFT,
        hard_limit: int = limits.LAG_HARD,
        history: int = 0,
        shared: bool = True,
        name: str = "",
    ) -> None:
        super().__init__(shared=shared)
        self.name = name
        if history < 0:
            raise UsageError(f"room: history {history} must be 0 or more messages")
        if not 0 <= soft_limit <= hard_limit:
            raise UsageError(f"room: soft limit {soft_limit} must be 0..{hard_limit}, the hard one")
        self._soft = soft_limit
        self._hard = hard_limit
        self.history = History(history) if history else None
        self._members: dict[Transport, None] = {}
        self._wants: dict[Transport, Wants] = {}
        self._lagging: set[Transport] = set()
        self._engine: Engine | None = None
        self._doomed: deque[tuple[Transport, LagError]] = deque()  # to be evicted
        self._clear()
        number = id(self)
        _rooms[number] = weakref.ref(self, lambda _: _rooms.pop(number, None))

    def _clear(self) -> None:
        """Nothing has been said in this tick yet."""
        self._gathered: list[Said] = []
        self._weight = 0
        self._noisy = False
        self._ahead: dict[Transport, int] = {}  # who has how many of the gathered already

    def _alone(self, call: Callable[..., object], *args: t.Any) -> None:
        """``call`` under the lock; evict behind it those who were found to lag too far."""
        if _locking:
            with self._lock:
                call(*args)
        else:
            call(*args)
        while self._doomed:
            try:
                member, why = self._doomed.popleft()
            except IndexError:  # another thread was faster
                return
            member.evict(why)

    # --- members ---------------------------------------------------------------------------

    def join(self, transport: Transport, *, wants: Wants | None = None) -> None:
        """Make ``transport`` a member, and send it the history. Joining twice changes nothing.

        ``wants(author)`` says of each message whether this member is sent it (None: every
        one). A transport that is closing does not become one. Raises ``UsageError`` if the
        members belong to another engine.
        """
        if self.history:
            transport.write(b"")  # before our lock: its other rooms, which have theirs, go first
        self._alone(self._join, transport, wants)

    def _join(self, transport: Transport, wants: Wants | None) -> None:
        if transport in self._members:
            return
        if not self._members:
            self._engine = transport.engine
        elif transport.engine is not self._engine:
            raise UsageError("room: its members belong to another engine; use a room for each")
        if self.history:
            self._replay(transport, self.history, wants)
        if transport.is_closing():  # before, or because another room found that it lags
            return
        self._members[transport] = None
        if self._gathered:
            self._ahead[transport] = len(self._gathered)
        transport.attach(self)
        self._set_wants(transport, wants)

    def _replay(self, transport: Transport, history: History, wants: Wants | None) -> None:
        kept = history.last()
        data = b"".join(said for said, author in kept if wants is None or wants(author))
        if data:
            t.cast(Engine, self._engine).fan_out(data, (transport,))

    def set_wants(self, transport: Transport, wants: Wants | None) -> None:
        """Change what a member wants to hear, from the next message on."""
        self._alone(self._set_wants, transport, wants)

    def _set_wants(self, transport: Transport, wants: Wants | None) -> None:
        self._catch_up(transport)
        if wants is None:
            self._wants.pop(transport, None)
        elif transport in self._members:
            self._wants[transport] = wants

    def leave(self, transport: Transport) -> None:
        """No longer a member; what was published before is still sent to it. Leaving twice, or
        without having joined, changes nothing."""
        self._alone(self._leave, transport)

    def _leave(self, transport: Transport) -> None:
        if transport not in self._members:
            return
        self._catch_up(transport)
        if transport not in self._members:  # which found that it lags too far, and took it out
            return
        del self._members[transport]
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
        if self.bus is not None:
            self.submit(_encode(data, author, noise))
        elif _locking:
            self._alone(self._gather, data, author, noise)
        else:
            self._gather(data, author, noise)

    def apply(self, operation: bytes) -> None:
        """A message whose turn has come, from whichever process (``replicated.Replicated``)."""
        flags, author = MESSAGE.unpack_from(operation)
        self._alone(
            self._gather,
            operation[MESSAGE.size :],
            author if flags & HAS_AUTHOR else None,
            bool(flags & IS_NOISE),
        )

    def _gather(self, data: bytes, author: object, noise: bool) -> None:
        if not noise and self.history is not None:
            self.history.add(data, author)
        if not self._gathered:
            if not self._members:
                return
            t.cast(Engine, self._engine).at_tick_end(self.flush)
        self._gathered.append((data, author, noise))
        if noise:
            self._noisy = True
        self._weight += len(data)
        if self._weight >= GATHER_BYTES:
            self._flush()  # who is found to lag too far is evicted at the end of the tick

    def flush(self) -> None:
        """Fan out now what was gathered. Called at the end of the tick by itself."""
        self._alone(self._flush)

    def _flush(self) -> None:
        if not self._gathered:
            return
        gathered, ahead, noisy = self._gathered, self._ahead, self._noisy
        self._clear()
        members = list(self._members)
        behind: list[Transport] = []
        if ahead or self._wants or (noisy and self._lagging):
            members = self._serve_apart(members, gathered, ahead, noisy, behind)
        engine = t.cast(Engine, self._engine)
        data = b"".join([data for data, _, _ in gathered])
        behind += engine.fan_out(data, members)
        # Only now: an evicted member's last words must not overtake what others have coming.
        self._judge(behind)

    def _serve_apart(
        self,
        members: list[Transport],
        gathered: list[Said],
        ahead: dict[Transport, int],
        noisy: bool,
        behind: list[Transport],
    ) -> list[Transport]:
        """Send their own selection to those who need one; return the others. ``behind`` gets
        those whose outbox is not empty."""
        others = []
        for member in members:
            start = ahead.get(member, 0)
            if start or member in self._wants or (noisy and self._is_lagging(member)):
                behind += self._send_selection(member, gathered[start:])
            else:
                others.append(member)
        return others

    def catch_up(self, transport: Transport) -> None:
        """Send one member now what was gathered so far (``protocol.Gatherer``)."""
        self._alone(self._catch_up, transport)

    def _catch_up(self, transport: Transport) -> None:
        said = len(self._gathered)
        start = self._ahead.get(transport, 0)
        if start < said and transport in self._members:
            self._ahead[transport] = said
            self._judge(self._send_selection(transport, self._gathered[start:]))

    def _send_selection(self, member: Transport, gathered: list[Said]) -> list[Transport]:
        """What ``member`` is to hear of ``gathered``; returns it if its outbox is not empty."""
        wants = self._wants.get(member)
        spared = self._is_lagging(member)
        data = b"".join(
            said
            for said, author, noise in gathered
            if not (spared and noise) and (wants is None or wants(author))
        )
        return t.cast(Engine, self._engine).fan_out(data, (member,)) if data else []

    # --- lag -------------------------------------------------------------------------------

    def lagging(self) -> dict[Transport, int]:
        """The members that lag now, and how many bytes wait for each."""
        sizes = {member: member.get_write_buffer_size() for member in tuple(self._lagging)}
        return {member: size for member, size in sizes.items() if size > self._soft}

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
                self._leave(member)
                why = f"{size} bytes behind, more than the {self._hard} that are kept"
                self._doomed.append((member, LagError(why)))
            elif size > self._soft and member in self._members:
                self._lagging.add(member)


_rooms: dict[int, weakref.ref[Room]] = {}
"""All that are in use."""


def of_engine(engine: object) -> list[Room]:
    """The rooms that have members of ``engine``, or have had some."""
    rooms = [reference() for reference in tuple(_rooms.values())]
    return [room for room in rooms if room is not None and room._engine is engine]


def _encode(data: bytes, author: object, noise: bool) -> bytes:
    """One message for the other processes."""
    if author is not None and not (isinstance(author, int) and -AUTHORS <= author < AUTHORS):
        raise UsageError(
            f"room: between processes an author is an int of 64 bits or None, not {author!r}"
        )
    flags = (HAS_AUTHOR if author is not None else 0) | (IS_NOISE if noise else 0)
    return MESSAGE.pack(flags, author or 0) + data
