"""What an engine tells of itself: connections, rooms, who lags, what it counted. As JSON.

It comes in sections, each a stream of chunks: some elements of a JSON list, joined with commas. A
chunk is small, and is made only when it is asked for, so that twenty thousand connections hold up
nobody for long; who comes or goes meanwhile may or may not be in it.

    a process of its own    ``Here`` makes the chunks
    children, workers       the parent asks each by way of the hub: ``Afar`` -> ``Answers``

Nothing is counted per message for it. Since when a connection stands and why others ended is kept
by ``Ledger``, an instrument that only a server with a status endpoint has; bytes are those that the
kernel has counted. Must not know who asks.
"""

from __future__ import annotations

import collections
import itertools
import json
import os
import time
import typing as t
from collections.abc import Callable, Iterable, Iterator

from jackfield.address import format_sockaddr
from jackfield.bus.messages import Question
from jackfield.instrument import Instrument
from jackfield.kernel import tcp_info
from jackfield.rooms import room as rooms
from jackfield.transports.base import CLOSED
from jackfield.transports.stream import BY_ENGINE, BY_OUTBOX, BY_PROTOCOL, StreamBase

SLICE: t.Final = 64
"""Elements of a chunk: some 20 KiB."""

LABEL_LIMIT: t.Final = 64
"""Characters of a protocol's own word for its connection."""

REASONS: t.Final = 64
"""Different reasons that are counted. They are words of ours and errno's names; an exception's
type, which somebody's protocol chooses, is one too."""

STREAMS: t.Final = 16
"""Questions that a child has begun to answer: who asked for older ones has given up."""

FORGET: t.Final = 30.0
"""Seconds after which an answer that was begun is dropped, as it holds on to the connections that
there were. A parent asks for no longer than that."""

STATES: t.Final = ("open", "flushing", "lingering", "closed")
"""By ``transports.base``'s numbers."""

PAUSES: t.Final = {BY_PROTOCOL: "protocol", BY_OUTBOX: "outbox", BY_ENGINE: "engine"}
"""Who does not want to read the peer now."""

Heard: t.TypeAlias = Callable[[bytes | None], object]
"""Is called with a chunk; with ``b""`` at the end; with None where no answer came."""


class Ledger(Instrument):
    """Since when connections stand, and why they were refused or lost."""

    def __init__(self) -> None:
        self.since: dict[int, float] = {}  # by descriptor; who gets it next overwrites it
        self.refusals: collections.Counter[str] = collections.Counter()
        self.ends: collections.Counter[str] = collections.Counter()

    def connected(self, transport: t.Any) -> None:
        self.since[transport.fd] = time.monotonic()

    def disconnected(self, transport: t.Any, exc: BaseException | None, reason: str) -> None:
        self._count(self.ends, reason)

    def refused(self, peer: str, reason: str) -> None:
        self._count(self.refusals, reason)

    @staticmethod
    def _count(counter: collections.Counter[str], reason: str) -> None:
        counter[reason if reason in counter or len(counter) < REASONS else "other"] += 1


def chunks(engine: t.Any, section: str) -> Iterator[bytes]:
    """What there is to say in ``section``, one of SECTIONS. In the engine's thread."""
    elements = SECTIONS[section](engine)
    while batch := list(itertools.islice(elements, SLICE)):
        yield b",".join(json.dumps(one, separators=(",", ":")).encode() for one in batch)


def _ledger(engine: t.Any) -> Ledger:
    """The engine's own, or an empty one."""
    return next((one for one in engine._instruments if isinstance(one, Ledger)), Ledger())


# --- sections ----------------------------------------------------------------------------------


def _process(engine: t.Any) -> Iterator[dict[str, t.Any]]:
    """This process: one element."""
    ledger, counted = _ledger(engine), engine.statistics()
    yield {
        "pid": os.getpid(),
        "ticks": engine.ticks,
        "connections": counted.connections,
        "refused_for": dict(ledger.refusals),
        "lost_for": dict(ledger.ends),
    }


def _connections(engine: t.Any) -> Iterator[dict[str, t.Any]]:
    """Every connection with a client, in the order of their coming."""
    since = _ledger(engine).since
    for transport in engine.clients():
        if transport.state != CLOSED:
            try:
                yield _connection(transport, since.get(transport.fd))
            except OSError:  # another thread has closed it
                continue


def _connection(transport: StreamBase, since: float | None) -> dict[str, t.Any]:
    now = time.monotonic()
    family = transport.sock.family
    local, info = tcp_info.look(transport.fd, family)
    protocol, tls = _protocol(transport)
    read_at = max(transport.read_at, since or 0.0)
    return {
        "pid": os.getpid(),
        "fd": transport.fd,
        "peer": transport.peer,
        "local": format_sockaddr(family, local),
        "state": STATES[transport.state],
        "protocol": _name(protocol),
        "label": _label(protocol),
        "tls": tls,
        "age": None if since is None else round(max(0.0, now - since), 3),
        "idle": round(max(0.0, now - read_at), 3) if read_at else None,
        "received": None if info is None else info.bytes_received,
        "sent": None if info is None else info.bytes_acked,
        "outbox": transport.get_write_buffer_size(),
        "paused": [word for bit, word in PAUSES.items() if transport._paused & bit],
    }


def _protocol(transport: StreamBase) -> tuple[t.Any, bool]:
    """The user's protocol, and whether TLS lies between."""
    protocol = transport.get_protocol()
    if getattr(protocol, "layer", None) != "tls":  # not its class: that would load OpenSSL
        return protocol, False
    return (protocol if protocol.transport is None else protocol.transport.get_protocol()), True


def _name(protocol: t.Any) -> str:
    return type(protocol).__name__[:LABEL_LIMIT]


def _label(protocol: t.Any) -> str:
    """Its ``status_label``: a nickname, say."""
    try:
        label = getattr(protocol, "status_label", "")
    except Exception:  # a property of the user's that fails: the view is not the place to say it
        return ""
    return label[:LABEL_LIMIT] if isinstance(label, str) else ""


def _rooms(engine: t.Any) -> Iterator[dict[str, t.Any]]:
    """The rooms that have had members here."""
    for room in rooms.of_engine(engine):
        history = room.history
        yield {
            "pid": os.getpid(),
            "name": room.name[:LABEL_LIMIT],
            "members": len(room),
            "lagging": len(room.lagging()),
            "history": 0 if history is None else len(history),
            "history_bytes": 0 if history is None else history.size,
        }


def _lagging(engine: t.Any) -> Iterator[dict[str, t.Any]]:
    """Who lags, in which room, and by how much."""
    for room in rooms.of_engine(engine):
        for member, size in room.lagging().items():
            yield {
                "pid": os.getpid(),
                "fd": member.get_extra_info("fd"),
                "peer": member.get_extra_info("peer"),
                "room": room.name[:LABEL_LIMIT],
                "outbox": size,
            }


SECTIONS: t.Final[dict[str, Callable[[t.Any], Iterator[dict[str, t.Any]]]]] = {
    "processes": _process,
    "connections": _connections,
    "rooms": _rooms,
    "lagging": _lagging,
}
"""In the order in which they are told."""

NAMES: t.Final = tuple(SECTIONS)


# --- who is asked ------------------------------------------------------------------------------


class Stream(t.Protocol):
    """The chunks of one section of one process."""

    def next(self, heard: Heard) -> None:
        """Have ``heard`` called with the next chunk, once, now or later."""


class Source(t.Protocol):
    """One process that can be asked."""

    pid: int

    def section(self, name: str) -> Stream:
        """What it has to say there."""


class Here:
    """This process, whose engine is ``engine``."""

    def __init__(self, engine: t.Any) -> None:
        self.pid = os.getpid()
        self._engine = engine

    def section(self, name: str) -> Stream:
        return _HereStream(chunks(self._engine, name))


class _HereStream:
    def __init__(self, parts: Iterator[bytes]) -> None:
        self._parts = parts

    def next(self, heard: Heard) -> None:
        heard(next(self._parts, b""))


class Asking(t.Protocol):
    """What carries a question to child number ``process``, in the parent."""

    def ask(self, process: int, topic: int, stream: int, part: int, heard: Heard) -> None: ...
    def new_stream(self) -> int: ...


class Afar:
    """A child of this process: number ``process``, ``pid``."""

    def __init__(self, asking: Asking, process: int, pid: int) -> None:
        self.pid = pid
        self._asking = asking
        self._process = process

    def section(self, name: str) -> Stream:
        return _AfarStream(self._asking, self._process, NAMES.index(name))


class _AfarStream:
    def __init__(self, asking: Asking, process: int, topic: int) -> None:
        self._asking = asking
        self._where = (process, topic, asking.new_stream())
        self._parts = itertools.count()

    def next(self, heard: Heard) -> None:
        self._asking.ask(*self._where, next(self._parts), heard)


class Answers:
    """A child's end: answers the parent's questions about ``engine``."""

    def __init__(self, engine: t.Any) -> None:
        self._engine = engine
        self._begun: dict[int, Iterator[bytes]] = {}  # the oldest first

    def __call__(self, question: Question) -> bytes:
        """The next chunk; ``b""`` at the end, and for what cannot be answered."""
        number, topic, part = question
        if part == 0 and topic < len(NAMES):
            self._begun[number] = chunks(self._engine, NAMES[topic])
            self._engine.call_later(FORGET, self._begun.pop, number, None)
            if len(self._begun) > STREAMS:
                del self._begun[next(iter(self._begun))]
        chunk = next(self._begun.get(number, iter(())), b"")
        if not chunk:
            self._begun.pop(number, None)
        return chunk


def sources(engine: t.Any) -> Iterable[Source]:
    """Who is to be asked how ``engine`` does: its children, where they do the serving."""
    children: Callable[[], Iterable[Source]] | None = getattr(engine, "sources", None)
    return [Here(engine)] if children is None else children()
