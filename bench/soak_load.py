"""The clients of a soak: some that behave, and every kind that does not.

    python soak_load.py SECONDS PLAYERS PORTS [SEED]     PORTS: the JSON object of soak_server.py

Each player is a thread that gives one play after the other (connect, do something, leave) until
the time is over: so at most PLAYERS connections and as many lagging outboxes are open at a time.
Prints as JSON how often each was played, and what went wrong of what must not. Must not know
jackfield.
"""

from __future__ import annotations

import contextlib
import json
import random
import socket
import ssl
import struct
import sys
import threading
import time
import typing as t
from collections import Counter
from collections.abc import Callable

HOST: t.Final = "127.0.0.1"

PATIENCE: t.Final = 20.0
"""Seconds for an answer. The server has one core and hundreds of rude clients."""

STALL: t.Final = 0.3
"""Seconds that a stalled client stays: the server's buffers are full long before."""

SMALL: t.Final = 4096
"""Bytes of a receive buffer that is soon full."""

MOST: t.Final = 1 << 20
"""Bytes that one play sends at most."""

Play: t.TypeAlias = Callable[["Player"], None]


class Player:
    """What a play is given: where to go, and luck."""

    def __init__(self, ports: dict[str, int], seed: int) -> None:
        self.ports = ports
        self.luck = random.Random(seed)

    def dial(self, service: str, receive_buffer: int = 0) -> socket.socket:
        sock = socket.socket()
        sock.settimeout(PATIENCE)
        try:
            if receive_buffer:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            # Many hosts: what is kept for each has to go too.
            sock.bind((f"127.0.0.{self.luck.randrange(1, 200)}", 0))
            sock.connect((HOST, self.ports[service]))
        except BaseException:
            sock.close()
            raise
        return sock

    def some(self, most: int = 2000) -> bytes:
        return self.luck.randbytes(self.luck.randrange(1, most))


def reset(sock: socket.socket) -> None:
    """Close it so that the server sees a reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def receive(sock: socket.socket, count: int) -> bytes:
    """``count`` bytes, or fewer where the stream ends."""
    parts = []
    while count > 0 and (data := sock.recv(min(count, 65_536))):
        parts.append(data)
        count -= len(data)
    return b"".join(parts)


# --- those who behave ----------------------------------------------------------------------------


def come_and_go(player: Player) -> None:
    with player.dial("echo") as sock:
        for _ in range(player.luck.randrange(1, 20)):
            exchange(player, sock, 2000)


def much(player: Player) -> None:
    with player.dial("echo") as sock:
        exchange(player, sock, 100_000)


def by_buffer(player: Player) -> None:
    with player.dial("filled") as sock:
        exchange(player, sock, 20_000)


def exchange(player: Player, sock: socket.socket, most: int) -> None:
    data = player.some(most)
    sock.sendall(data)
    echoed = receive(sock, len(data))
    expect(len(echoed) == len(data), "closed before all was echoed")
    expect(echoed == data, "the echo is not what was sent")


def half_close(player: Player) -> None:
    data = player.some(50_000)
    with player.dial("echo") as sock:
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        expect(receive(sock, MOST) == data, "bytes were lost behind a half-close")


def talk(player: Player) -> None:
    """Join rooms, say something there, leave: in good order or not."""
    rooms = [b"/join room%d\n" % player.luck.randrange(20) for _ in range(5)]
    with player.dial("chat") as sock:
        for line in (*rooms, b"/who\n", b"/leave\n"):
            sock.sendall(line + b"hello\n" * player.luck.randrange(10))
            receive(sock, 1)
        if player.luck.random() < 0.5:
            sock.sendall(b"/quit\n")


def greet(player: Player) -> None:
    """A room of bytes: everybody's come, one's own among them."""
    with player.dial("room") as sock:
        for _ in range(player.luck.randrange(1, 30)):
            sock.sendall(player.some(500))
            receive(sock, 1)


def secretly(player: Player) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with player.dial("tls") as plain, context.wrap_socket(plain) as sock:
        exchange(player, sock, 30_000)


def datagrams(player: Player) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect((HOST, player.ports["udp"]))
        sock.settimeout(STALL)
        with contextlib.suppress(TimeoutError):  # some are lost: that is UDP
            for _ in range(20):
                for _ in range(player.luck.randrange(1, 80)):
                    sock.send(player.some(1000))
                sock.recv(65_536)


# --- those who do not ----------------------------------------------------------------------------


def to_closed_ports(player: Player) -> None:
    """Gone before the answer, which meets a closed port: ICMP tells the server."""
    for _ in range(20):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.sendto(player.some(), (HOST, player.ports["udp"]))


def resets(player: Player) -> None:
    sock = player.dial(player.luck.choice(["echo", "chat", "room", "filled"]))
    for _ in range(player.luck.randrange(3)):  # or before it has said anything
        sock.send(player.some())
    reset(sock)


def stalls(player: Player) -> None:
    """A member that never reads: its outbox grows until it is closed, or resets."""
    sock = player.dial("room", SMALL)
    deadline = time.monotonic() + STALL
    with contextlib.suppress(OSError):
        while time.monotonic() < deadline:
            sock.send(player.some(20_000))
            time.sleep(0.01)
    leave(player, sock)


def pipelines(player: Player) -> None:
    """Sends as long as the server takes it, and reads no answer."""
    sock = player.dial(player.luck.choice(["echo", "filled"]), SMALL)
    sent = 0
    sock.settimeout(STALL)
    with contextlib.suppress(OSError):
        while sent < MOST:
            sent += sock.send(bytes(65_536))
    leave(player, sock)


def leave(player: Player, sock: socket.socket) -> None:
    if player.luck.random() < 0.5:
        reset(sock)
    else:
        sock.close()


def garbage(player: Player) -> None:
    """Any bytes at all, to who expects lines or TLS."""
    services = [name for name in ("chat", "tls") if name in player.ports]
    with player.dial(player.luck.choice(services)) as sock:
        sock.settimeout(STALL)
        sock.send(player.luck.randbytes(3000))
        sock.send(bytes(player.luck.choices(b"/\r\n\0\xff\xfa\xf0\xfd help", k=3000)))
        sock.recv(1000)


def silent(player: Player) -> None:
    """Says nothing until the login deadline closes it, or it has waited long enough."""
    with player.dial(player.luck.choice(["echo", "chat", "room"])) as sock:
        sock.settimeout(player.luck.uniform(0, 4))
        sock.recv(65_536)


def raises(player: Player) -> None:
    """Makes a callback of the server fail."""
    with player.dial("fails") as sock:
        sock.send(player.luck.choice([b"raise", b"not now"]))
        sock.recv(100)


HONEST: t.Final[tuple[Play, ...]] = (come_and_go, much, by_buffer, half_close, secretly)
"""Nothing may go wrong with these."""

RUDE: t.Final[tuple[Play, ...]] = (
    *(talk, greet),  # who reads less than comes may be closed as lagging
    *(resets, resets, stalls, pipelines, garbage, silent, raises),
)
DATAGRAMS: t.Final[tuple[Play, ...]] = (datagrams, to_closed_ports)


class Wrong(Exception):
    """The server did what it must not."""


def expect(true: bool, otherwise: str) -> None:
    if not true:
        raise Wrong(otherwise)


def plays(ports: dict[str, int]) -> list[Play]:
    """Those that find their service."""
    chosen = [*HONEST, *RUDE, *(DATAGRAMS if "udp" in ports else ())]
    return [play for play in chosen if play is not secretly or "tls" in ports]


def perform(player: Player, until: float, played: Counter[str], wrong: Counter[str]) -> None:
    """In a thread of its own. Who is rude may be refused, reset and left waiting."""
    choice = plays(player.ports)
    while time.monotonic() < until:
        play = player.luck.choice(choice)
        try:
            play(player)
        except Wrong as exc:
            wrong[f"{play.__name__}: {exc}"] += 1
        except OSError as exc:
            if play in HONEST:
                wrong[f"{play.__name__}: {type(exc).__name__}"] += 1
        played[play.__name__] += 1


def main(seconds: float, count: int, ports: dict[str, int], seed: int) -> None:
    until = time.monotonic() + seconds
    books: list[tuple[Counter[str], Counter[str]]] = [(Counter(), Counter()) for _ in range(count)]
    threads = [
        threading.Thread(target=perform, args=(Player(ports, seed + number), until, *book))
        for number, book in enumerate(books)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    played = sum((book[0] for book in books), Counter())
    wrong = sum((book[1] for book in books), Counter())
    print(json.dumps({"played": played, "wrong": wrong}))


if __name__ == "__main__":
    main(float(sys.argv[1]), int(sys.argv[2]), json.loads(sys.argv[3]), int([*sys.argv, "0"][4]))
