"""Draw docs/pictures/wire.svg: a real connection on loopback as ``jackfield wire`` shows it.

``jackfield serve echo`` on port 8888, ``jackfield wire`` on a pseudo-terminal beside it, and a
client that says hello, half-closes and reads the answer; then the server is stopped and the client
tries once more. The picture is what the terminal shows, colours included. Wants root or
CAP_NET_RAW. Run it with ``make pictures``.
"""

from __future__ import annotations

import contextlib
import socket
import typing as t
from pathlib import Path

from docs.pictures.terminal import draw, terminal

PICTURE: t.Final = Path(__file__).with_name("wire.svg")
PLACE: t.Final = ("127.0.0.1", 8888)
ENDPOINT: t.Final = "tcp://127.0.0.1:8888"
COMMAND: t.Final = f"jackfield wire {ENDPOINT} --payload"
TITLE: t.Final = "A connection drawn as a ladder between its two ends"


def record() -> str:
    """What ``jackfield wire`` shows of the two attempts."""
    with (
        terminal(f"jackfield serve echo {ENDPOINT}") as server,
        terminal(COMMAND) as wire,
    ):
        server.wait_for("listening")
        wire.wait_for("capturing")
        with socket.create_connection(PLACE) as client:
            client.sendall(b"hello\n")
            client.recv(100)
            client.shutdown(socket.SHUT_WR)
            while client.recv(100):
                pass
        wire.wait_for("TIME-WAIT")
        server.interrupt()
        with contextlib.suppress(ConnectionRefusedError):
            socket.create_connection(PLACE)
        wire.wait_for("RST")
        wire.interrupt()
        return wire.shown.partition("\n")[2]  # without the line on standard error


if __name__ == "__main__":
    PICTURE.write_text(draw(TITLE, COMMAND, record()))
    print(f"drawn: docs/pictures/{PICTURE.name}")
