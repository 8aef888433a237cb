"""Draw docs/pictures/top.svg: ``jackfield top`` on two real servers that are in trouble.

A chat with four people, of whom one has stopped reading, and an echo server that serves one client
at a time, with more waiting than may. The connection of who does not read is followed. All of it
runs in a network namespace of its own where that may be had (as root; else in this one, where
other sockets are listed, too). Run it with ``make pictures``.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import typing as t
from collections.abc import Iterator
from pathlib import Path

from jackfield.cli.top_screen import TopApp
from jackfield.endpoint import Endpoint
from jackfield.tools.top.looker import Looker
from jackfield.tools.top.marks import Mark
from jackfield.tools.top.rows import SocketRow
from jackfield.tools.top.server import Asker
from jackfield.tools.top.view import View

PICTURE: t.Final = Path(__file__).with_name("top.svg")
CHAT: t.Final = ("127.0.0.1", 8888)
ECHO: t.Final = ("127.0.0.1", 7777)
SIZE: t.Final = (112, 26)
PATIENCE: t.Final = 60.0
"""Seconds to wait for something to happen."""

ISOLATED: t.Final = "--isolated"
"""Given to itself when it starts itself in a namespace of its own."""

BACKLOG: t.Final = 4
ADVANCE: t.Final = 12.2
"""Of a character, as rich draws them."""

LOOKS: t.Final = 12
"""Taken once all is as it should be, so that there are rates to draw."""


@contextlib.contextmanager
def serving(*arguments: str) -> Iterator[None]:
    """``jackfield serve`` with these arguments, once it listens."""
    command = ["jackfield", "serve", *arguments]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        try:
            while not server.stderr.readline().startswith("listening"):
                if server.poll() is not None:
                    raise SystemExit(f"{' '.join(command)}: it did not start")
            yield
        finally:
            server.terminate()
            server.stderr.read()


class People:
    """Who is connected. The first talks, all but the last read."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self._stack = stack
        self.text = "so they say, and so it is " * 6
        names = ("alice", "bob", "carol", "dave")
        self.sockets = [self._join(name, 4096 if name == "dave" else 1 << 18) for name in names]

    def _join(self, name: str, room: int) -> socket.socket:
        sock = self._stack.enter_context(socket.socket())
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
        sock.connect(CHAT)
        sock.sendall(f"/nick {name}\n".encode())
        sock.setblocking(False)
        return sock

    def go_on(self, lines: int) -> None:
        """Say something, and have all but the last read what has come."""
        said = f"{self.text}\n".encode() * lines
        with contextlib.suppress(BlockingIOError):
            self.sockets[0].send(said)
        for sock in self.sockets[:-1]:
            with contextlib.suppress(BlockingIOError):
                while sock.recv(1 << 18):
                    pass


def crowd(stack: contextlib.ExitStack) -> None:
    """As many at the echo server as may wait, and the one that it serves."""
    for _ in range(BACKLOG + 2):
        sock = stack.enter_context(socket.socket())
        sock.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            sock.connect(ECHO)


async def draw(endpoint: str, people: People) -> str:
    """The screen as SVG, once the one who does not read lags and is followed."""
    app = TopApp(Looker(["tcp"]).look, 2.0, View(), Asker(Endpoint.parse(endpoint)))
    async with app.run_test(size=SIZE) as pilot:
        deadline = time.monotonic() + PATIENCE
        while (row := slow_reader(app)) is None:
            if time.monotonic() > deadline:
                raise SystemExit("nobody lags")
            people.go_on(400)
            await asyncio.sleep(0.05)
            app.look()
        while app.following is None or app.following.key != row.key:
            await pilot.press("down", "enter")
        for number in range(LOOKS):
            people.go_on(10 + 7 * (number % 5))
            await asyncio.sleep(0.5)
            app.look()
        await pilot.pause()
        return app.export_screenshot(title="jackfield top --tcp --status-endpoint unix:chat.status")


def slow_reader(app: TopApp) -> SocketRow | None:
    rows = (row for row in app.rows if row.mark == Mark.SLOW_READER and row.own)
    return next((row for row in rows if row.own and row.own.lags_in), None)


def record() -> str:
    with contextlib.ExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory())
        status = f"unix:{directory}/chat.status"
        place, other = (f"tcp://{host}:{port}" for host, port in (CHAT, ECHO))
        chat = ("chat", place, "--flood", "off", "--status-endpoint", status)
        stack.enter_context(serving(*chat))
        one_by_one = ("--engine", "iterative", "--backlog", str(BACKLOG))
        stack.enter_context(serving("echo", other, *one_by_one))
        crowd(stack)
        return asyncio.run(draw(status, People(stack)))


def isolate() -> None:
    """Go on in a network namespace of our own; return where that cannot be had."""
    if os.geteuid() == 0 and shutil.which("unshare") and shutil.which("ip"):
        script = 'ip link set lo up && exec "$@"'
        again = [sys.executable, __file__, ISOLATED]
        os.execvp("unshare", ["unshare", "--net", "sh", "-c", script, "sh", *again])


def standing_alone(picture: str) -> str:
    """Without the fonts that a viewer would have to fetch (its own monospaced one will do), and
    without blanks before a text, which not every viewer gives their room."""
    picture = re.sub(r"@font-face \{.*?\}\s*", "", picture, flags=re.DOTALL)
    picture = TEXT.sub(shifted, picture)
    return picture.replace("Fira Code", "DejaVu Sans Mono")


TEXT: t.Final = re.compile(
    r'x="([\d.]+)"( y="[\d.]+") textLength="([\d.]+)"([^>]*)>((?:&#160;)+)(?!<)'
)


def shifted(match: re.Match[str]) -> str:
    """A text that begins where its first letter stands."""
    blanks = len(match[5].split(";")) - 1
    x, length = float(match[1]) + blanks * ADVANCE, float(match[3]) - blanks * ADVANCE
    return f'x="{x:.1f}"{match[2]} textLength="{length:.1f}"{match[4]}>'


if __name__ == "__main__":
    if ISOLATED not in sys.argv:
        isolate()
    PICTURE.write_text(standing_alone(record()))
    print(f"drawn: docs/pictures/{PICTURE.name}")
