"""Draw docs/pictures/fds.svg: a chat server with its clients as ``jackfield fds`` shows it.

``jackfield serve chat`` on port 8888 and on a Unix socket, two clients, and one that reads nothing
while the others talk. The picture is what the terminal shows, colours included. Run it with
``make pictures``.
"""

from __future__ import annotations

import contextlib
import socket
import tempfile
import typing as t
from pathlib import Path

from docs.pictures.terminal import draw, terminal

PICTURE: t.Final = Path(__file__).with_name("fds.svg")
PLACE: t.Final = ("127.0.0.1", 8888)
COLUMNS: t.Final = 118
COMMAND: t.Final = "jackfield fds --port 8888"
TITLE: t.Final = "The descriptors of a chat server: listeners, clients, and the epoll that watches"
TALK: t.Final = b"a line of the talk that somebody does not read\n" * 20


def record() -> str:
    """What ``jackfield fds`` shows of a server that is at work."""
    with tempfile.TemporaryDirectory() as directory, contextlib.ExitStack() as stack:
        endpoints = f"tcp://{PLACE[0]}:{PLACE[1]} unix:{directory}/chat"
        serve = f"jackfield serve chat {endpoints} --engine epoll --flood off"
        server = stack.enter_context(terminal(serve))
        server.wait_for(f"{directory}/chat")
        slow = stack.enter_context(socket.create_connection(PLACE))
        alice = stack.enter_context(socket.create_connection(PLACE))
        bob = stack.enter_context(socket.socket(socket.AF_UNIX))
        bob.connect(f"{directory}/chat")
        for _ in range(20):
            alice.sendall(TALK)
        bob.sendall(b"/nick bob\n")
        said = b""
        while b"is now bob" not in said:  # then all that was said before has been delivered
            said = said[-100:] + alice.recv(65536)
        assert slow.fileno() >= 0
        looking = stack.enter_context(terminal(COMMAND, COLUMNS))
        looking.read_on()
        return looking.shown.replace(directory, "/run")


if __name__ == "__main__":
    PICTURE.write_text(draw(TITLE, COMMAND, record(), COLUMNS))
    print(f"drawn: docs/pictures/{PICTURE.name}")
