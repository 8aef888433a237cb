"""The server of a soak: every service on one engine, and what is alive in it, told on request.

    python soak_server.py ENGINE [CERTIFICATE KEY]

Prints where it listens, a JSON object of ports by name, then answers each line ``measure`` on
standard input with what this process holds, as JSON; the end of input stops it. What another
process can see, descriptors and memory, is not told here. The load is in soak_load.py.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import json
import logging
import sys
import threading
import typing as t
from collections import Counter

from jackfield import engines, services
from jackfield.address import Endpoint
from jackfield.engines.base import Options
from jackfield.kernel.sockets import bind_datagram_all, listen_all
from jackfield.protocol import Protocol
from jackfield.rooms.room import Room
from jackfield.services import ServiceOptions
from jackfield.services.echo import Echo
from jackfield.tls import TlsConfig
from jackfield.transports.tls import TlsFactory

HOST: t.Final = "127.0.0.1"

ANSWER_WITHIN: t.Final = 60.0
"""Seconds: an engine that does not come round to a call in a minute hangs, which is a finding."""


class Fails(Echo):
    """Raises in ``data_received`` when told so, and in ``connection_lost`` always."""

    __slots__ = ()

    def data_received(self, data: bytes) -> None:
        if data.startswith(b"raise"):
            raise ZeroDivisionError
        super().data_received(data)

    def connection_lost(self, exc: BaseException | None) -> None:
        raise ZeroDivisionError


class Filled(Protocol):
    """Echoes by way of a buffer of its own."""

    def connection_made(self, transport: t.Any) -> None:
        self._transport = transport
        self._buffer = bytearray(4096)

    data_received: t.Any = property()  # hasattr() is false: it takes no bytes

    def get_buffer(self, _size: int) -> bytearray:
        return self._buffer

    def buffer_updated(self, count: int) -> None:
        self._transport.write(self._buffer[:count])


class Member(Protocol):
    """What one sends goes to all; who does not read is closed."""

    room: t.ClassVar = Room(soft_limit=65_536, hard_limit=262_144)

    def connection_made(self, transport: t.Any) -> None:
        self._transport = transport
        self.room.join(transport)

    def data_received(self, data: bytes) -> None:
        self.room.publish(data)

    def connection_lost(self, exc: BaseException | None) -> None:
        self.room.leave(self._transport)


def streams(certificate: str, key: str) -> dict[str, t.Callable[[], t.Any]]:
    """The stream services by name; ``tls`` only where there is a certificate."""
    chat = services.make("chat", ServiceOptions(flood=0)).stream
    found: dict[str, t.Callable[[], t.Any]] = {
        "echo": Echo,
        "chat": chat,
        "room": Member,
        "fails": Fails,
        "filled": Filled,
    }
    if certificate:
        found["tls"] = TlsFactory(TlsConfig(certificate, key).context, Echo)
    return found


def serve(name: str, certificate: str, key: str) -> None:
    # Deadlines are at work, and pass: 2 s of silence is more than any play keeps but a stalled one.
    options = Options(
        max_connections=0, max_per_host=0, max_per_second=0, idle_timeout=5, login_timeout=2
    )
    engine = engines.make(name, options)
    ports: dict[str, int] = {}
    for service, factory in streams(certificate, key).items():
        for listener in listen_all(Endpoint.parse(f"tcp://{HOST}:0"), 512):
            ports[service] = listener.address.port
            engine.listen(listener, factory)
    echo = services.make("echo", ServiceOptions()).datagram
    if echo is not None and name not in ("iterative", "fork"):
        for sock in bind_datagram_all(Endpoint.parse(f"udp://{HOST}:0")):
            ports["udp"] = sock.getsockname()[1]
            engine.serve_datagrams(sock, echo)
    print(json.dumps(ports), flush=True)
    threading.Thread(target=obey, args=(engine,), daemon=True).start()
    engine.run()


def obey(engine: t.Any) -> None:
    """In a thread of its own: the engine's does not wait for standard input."""
    for line in sys.stdin:
        if line.strip() == "measure":
            answered = threading.Event()
            engine.call_soon(answer, engine, answered)
            answered.wait(ANSWER_WITHIN)
    engine.stop(0)


def answer(engine: t.Any, answered: threading.Event) -> None:
    print(json.dumps(held(engine)), flush=True)
    answered.set()


def held(engine: t.Any) -> dict[str, t.Any]:
    """What is alive here, after everything that nobody reaches any more was collected."""
    while gc.collect():
        pass
    give_back()
    statistics = engine.statistics()
    types = Counter(type(one).__qualname__ for one in gc.get_objects())
    return {
        "connections": statistics.connections,
        "accepted": statistics.accepted,
        "uncollectable": len(gc.garbage),
        "objects": sum(types.values()),
        "blocks": sys.getallocatedblocks(),
        "allocated": allocated(),
        "references": getattr(sys, "gettotalrefcount", lambda: None)(),
        "types": dict(types.most_common(200)),
    }


class MallInfo(ctypes.Structure):
    """mallinfo(3), of glibc 2.33 and later."""

    _fields_: t.ClassVar = [
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks"),
            *("uordblks", "fordblks", "keepcost"),
        )
    ]


def allocated() -> int | None:
    """Bytes that C code has from malloc and has not given back, ours and OpenSSL's, whatever pages
    they are on; None where that is not told."""
    try:
        ask = ctypes.CDLL(None).mallinfo2
    except (AttributeError, OSError):
        return None
    ask.restype = MallInfo
    found = ask()
    return int(found.uordblks) + int(found.hblkhd)


def give_back() -> None:
    """What malloc keeps for the next call is not left behind by us: back to the system with it."""
    with contextlib.suppress(AttributeError, OSError):  # glibc alone has malloc_trim(3)
        ctypes.CDLL(None).malloc_trim(0)


if __name__ == "__main__":
    logging.getLogger("jackfield").setLevel(logging.CRITICAL)  # the callbacks fail on purpose
    serve(sys.argv[1], *([*sys.argv[2:4], "", ""][:2]))
