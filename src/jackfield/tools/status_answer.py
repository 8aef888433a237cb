"""What a server tells at its status endpoint: its own view as JSON, to each who connects.

One JSON object, then the end of the stream; what the peer sends is ignored::

    {"jackfield": "0.1.0", "server": {...}, "listeners": [...], "counters": {...}, "limits": {...},
     "workers": [...],
     "processes": [...], "connections": [...], "rooms": [...], "lagging": [...],
     "incomplete": [...]}

The first two lines' part is made at once. The third line's comes in chunks, one a tick, each
written only when the peer has read what went before; from workers by way of their links to the
parent. Who did not answer is listed under "incomplete", so that the object is whole whatever
happens. Must not know how an engine finds its facts (``engines.view``).
"""

from __future__ import annotations

import json
import math
import os
import socket
import sys
import time
import typing as t
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence

from jackfield import __version__
from jackfield.address import Address
from jackfield.engines import Options, Statistics, view
from jackfield.engines.base import COUNTERS
from jackfield.errors import JackfieldError
from jackfield.instrument import Instrument
from jackfield.kernel.options import backlog_length, descriptor_limit
from jackfield.kernel.sockets import Listener
from jackfield.protocol import Protocol

PATIENCE: t.Final = 10.0
"""Seconds until who does not read the next part is cut off."""

GATHERING: t.Final = 5.0
"""Seconds for asking all processes; those that have not been asked by then are left out. A thousand
that answer take a second."""

Facts: t.TypeAlias = dict[str, t.Any]
Telling: t.TypeAlias = Generator[bytes | view.Stream, bytes | None, None]


class ServerFacts(t.NamedTuple):
    """What a server has. ``copies``: the listeners of each worker, which may be the same ones;
    empty where all accept from ``listeners``."""

    engine: str
    listeners: Sequence[Listener]
    copies: Sequence[Sequence[Listener]]
    sockets: Sequence[socket.socket]
    options: Options


class Teller:
    """Puts the object together, piece by piece."""

    def __init__(
        self, engine: t.Any, server: ServerFacts, instruments: Iterable[Instrument]
    ) -> None:
        self._engine = engine
        self._server = server
        ledgers = (one for one in instruments if isinstance(one, view.Ledger))
        self._ledger = next(ledgers, view.Ledger())
        self._started = time.time()
        self._started_tick = time.monotonic()

    def tell(self) -> Telling:
        """Yields bytes to be written, and streams whose next chunk is to be sent in."""
        began = time.monotonic()
        yield json.dumps(self._head(), separators=(",", ":")).encode()[:-1]
        silent: dict[int, str] = {}
        for section in view.NAMES:
            separator = f',"{section}":['.encode()
            for source in view.sources(self._engine):
                if source.pid in silent:
                    continue
                if time.monotonic() - began > GATHERING:
                    silent[source.pid] = f"not asked within {GATHERING:g} s"
                    continue
                stream = source.section(section)
                while chunk := (yield stream):
                    yield separator + chunk
                    separator = b","
                if chunk is None:
                    silent[source.pid] = "it did not answer in time"
            yield (separator if separator != b"," else b"") + b"]"
        missing = [{"pid": pid, "why": why} for pid, why in silent.items()]
        yield b',"incomplete":' + json.dumps(missing).encode() + b"}\n"

    def _head(self) -> Facts:
        engine = self._engine
        counts: Callable[[], Iterable[t.Any]] = getattr(engine, "counts", list)
        return {
            "jackfield": __version__,
            "server": {
                "pid": os.getpid(),
                "engine": self._server.engine,
                "started": round(self._started, 3),
                "uptime": round(time.monotonic() - self._started_tick, 3),
                "python": ".".join(map(str, sys.version_info[:3])),
            },
            "listeners": [*_listeners(self._server), *map(_datagrams, self._server.sockets)],
            "counters": _counters(engine.statistics()),
            "refused_for": dict(self._ledger.refusals),
            "lost_for": dict(self._ledger.ends),
            "limits": _limits(self._server.options),
            "workers": [
                {"worker": one.number, "pid": one.pid, "retired": one.retired}
                | _counters(one.statistics)
                for one in counts()
            ],
        }


def _listeners(server: ServerFacts) -> Iterator[Facts]:
    """Each listener once, with the worker that alone accepts from it."""
    if not server.copies:
        yield from (_listener(listener, None) for listener in server.listeners)
    accepting: dict[int, tuple[Listener, list[int]]] = {}
    for number, copy in enumerate(server.copies):
        for listener in copy:
            accepting.setdefault(id(listener), (listener, []))[1].append(number)
    for listener, workers in accepting.values():
        yield _listener(listener, workers[0] if len(workers) == 1 else None)


def _listener(listener: Listener, worker: int | None) -> Facts:
    fd = listener.fileno()
    return {
        "endpoint": str(listener.address),
        "fd": fd if fd >= 0 else None,
        "kind": "stream",
        "tls": listener.address.tls,
        "waiting": backlog_length(listener.sock) if fd >= 0 else None,
        "backlog": listener.backlog,
        "worker": worker,
    }


def _datagrams(sock: socket.socket) -> Facts:
    return {"endpoint": str(Address.of(sock)), "fd": sock.fileno(), "kind": "datagram"}


def _counters(counted: Statistics) -> Facts:
    return {name: getattr(counted, name) for name in COUNTERS if name != "ticks"}  # processes have


LIMITS: t.Final = (
    *("max_connections", "max_per_host", "max_per_second", "max_held"),
    *("idle_timeout", "login_timeout", "drain", "threads_max", "thread_stack"),
)
"""Of ``engines.Options``: the numbers that a person sets."""


def _limits(options: Options) -> Facts:
    """0 lifts each, and so does infinity, which JSON cannot say."""
    values = {name: getattr(options, name) for name in LIMITS}
    finite = {name: value if math.isfinite(value) else 0 for name, value in values.items()}
    return finite | {"descriptors": descriptor_limit()}


class Answering(Protocol):
    """One who asks. Writes as much as the peer reads, a chunk a tick."""

    def __init__(self, engine: t.Any, tell: Callable[[], Telling]) -> None:
        self._engine = engine
        self._telling = tell()
        self._transport: t.Any = None
        self._paused = False  # the peer does not read
        self._due = False  # the next step is under way
        self._timer: t.Any = None

    def connection_made(self, transport: t.Any) -> None:
        self._transport = transport
        self._timer = self._engine.call_later(PATIENCE, transport.abort)
        self._go_on()

    def eof_received(self) -> bool:
        return True  # who half-closes is told all the same

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._go_on()

    def closing(self, reason: JackfieldError) -> None:
        """The server has ended: nobody waits for who asked how it does."""
        self._transport.abort()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._timer.cancel()
        self._telling.close()

    # --- one step after the other ------------------------------------------------------------

    def _go_on(self) -> None:
        """In the next tick, unless that is planned, or the peer has enough to read."""
        if not self._paused and not self._due:
            self._due = True
            self._engine.call_soon(self._step, None)

    def _step(self, chunk: bytes | None) -> None:
        if self._transport.is_closing():
            return
        try:
            said = self._telling.send(chunk)
        except StopIteration:
            self._transport.close()
            return
        if not isinstance(said, bytes):
            said.next(self._step)
            return
        self._due = False
        self._timer.cancel()
        self._timer = self._engine.call_later(PATIENCE, self._transport.abort)
        self._transport.write(said)
        self._go_on()
