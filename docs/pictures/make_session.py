"""Draw docs/pictures/session.svg: a real session of the chat room, in four terminals.

``make serve`` and three clients (nc, telnet, jackfield connect) each run on a pseudo-terminal of
their own. The SCRIPT is typed into them, one line when the line before it has been seen by all;
what the four terminals then show is the picture. Run it with ``make pictures``.
"""

from __future__ import annotations

import contextlib
import html
import os
import pty
import re
import selectors
import signal
import subprocess
import time
import typing as t
from pathlib import Path

ROOT: t.Final = Path(__file__).parent.parent.parent
PICTURE: t.Final = Path(__file__).with_name("session.svg")
PATIENCE: t.Final = 30.0
"""Seconds to wait for something to appear; ``make serve`` may install first."""

CLIENTS: t.Final = {
    "alice": "nc 127.0.0.1 8888",
    "bob": "telnet 127.0.0.1 8888",
    "carol": "jackfield connect tcp://127.0.0.1:8888",
}

SCRIPT: t.Final = (
    ("alice", "/nick alice", "is now alice"),
    ("bob", "/nick bob", "is now bob"),
    ("carol", "/nick carol", "is now carol"),
    ("alice", "good morning, who is there?", "<alice> good morning"),
    ("bob", "me, by telnet", "<bob> me, by telnet"),
    ("carol", "/me waves", "* carol waves"),
    ("alice", "/msg bob coffee?", "coffee?"),
    ("bob", "/quit", "bob left"),
)
"""Who types what, and what shows that it has arrived: at the typist's and at the others'."""

PRIVATE: t.Final = {"/msg bob coffee?": ("alice", "bob"), "/quit": ("alice", "carol")}
"""Lines that not everybody sees, and who does."""


class Terminal:
    """A program on a pseudo-terminal, and all that its terminal has shown."""

    def __init__(self, title: str, command: str, environment: dict[str, str]) -> None:
        self.title = title
        self.command = command
        self.shown = ""
        self.typed: list[str] = []
        self.fd, inner = pty.openpty()
        self.process = subprocess.Popen(
            command.split(),
            stdin=inner,
            stdout=inner,
            stderr=inner,
            cwd=ROOT,
            env={**environment, "TERM": "dumb"},
            start_new_session=True,
        )
        os.close(inner)

    def type(self, line: str) -> None:
        self.typed.append(line)
        os.write(self.fd, line.encode() + b"\n")

    def wait_for(self, text: str, after: int = 0) -> None:
        """Read until ``text`` is shown beyond the first ``after`` characters."""
        deadline = time.monotonic() + PATIENCE
        with selectors.DefaultSelector() as selector:
            selector.register(self.fd, selectors.EVENT_READ)
            while text not in self.shown[after:]:
                if not selector.select(deadline - time.monotonic()):
                    raise SystemExit(f"{self.title}: {text!r} did not appear in {self.shown!r}")
                self.read()

    def read(self) -> None:
        try:
            data = os.read(self.fd, 65536)
        except OSError:  # Linux reports EIO when the last program on the terminal is gone
            data = b""
        if not data:
            raise SystemExit(f"{self.title}: ended too early: {self.shown!r}")
        self.shown += data.decode()

    def close(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGTERM)
        self.process.wait()
        os.close(self.fd)

    @property
    def lines(self) -> list[str]:
        return [f"$ {self.command}", *self.shown.replace("\r", "").strip("\n").split("\n")]


def record() -> list[Terminal]:
    """Hold the session; return the terminals as they look at its end."""
    # A make inside a make would say so.
    environment = {name: value for name, value in os.environ.items() if "MAKE" not in name}
    with contextlib.ExitStack() as stack:

        def start(title: str, command: str) -> Terminal:
            terminal = Terminal(title, command, environment)
            stack.callback(terminal.close)
            return terminal

        server = start("the server", "make serve")
        server.wait_for("listening")
        people: dict[str, Terminal] = {}
        for name, command in CLIENTS.items():
            people[name] = start(name, command)
            for terminal in people.values():
                terminal.wait_for(f"-- guest-{len(people)} joined lobby")
        for name, line, sign in SCRIPT:
            play(people, name, line, sign)
        people["bob"].wait_for("Connection closed by foreign host.")
        server.wait_for("disconnected")
        return [server, *people.values()]


def play(people: dict[str, Terminal], name: str, line: str, sign: str) -> None:
    """One types a line, and all who should see its sign do."""
    before = {person: len(terminal.shown) for person, terminal in people.items()}
    people[name].type(line)
    # The typist's own terminal shows the line as it is typed, too.
    people[name].wait_for(line, before[name])
    for person in PRIVATE.get(line, people):
        after = people[person].shown.find(line, before[person]) + len(line)
        people[person].wait_for(sign, after if person == name else before[person])


# --- drawing -----------------------------------------------------------------------------------

COLUMNS, FONT, LEADING = 70, 13.0, 19.0
ADVANCE: t.Final = FONT * 0.602
"""Width of a character, of most monospaced fonts."""
MARGIN, BAR, GAP = 14.0, 30.0, 16.0
WIDTH: t.Final = COLUMNS * ADVANCE + 2 * MARGIN

INK, DIM, BAR_INK = "#d8dee9", "#7f8b9e", "#aab4c3"
NAMES: t.Final = {"alice": "#8fd0a4", "bob": "#f0b97d", "carol": "#a9b7ff"}
STYLE: t.Final = f"""
text {{ font: {FONT}px ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; fill: {INK};
       white-space: pre }}
.dim {{ fill: {DIM} }}
.typed {{ fill: #ffffff; font-weight: bold }}
.bar {{ fill: {BAR_INK} }}
"""


KEEP: t.Final = 'xml:space="preserve"'
"""SVG 1.1's way to keep blanks, for renderers that do not know white-space."""


def span(text: str, *, fill: str = "", kind: str = "") -> str:
    attributes = f' class="{kind}"' if kind else f' fill="{fill}" style="fill:{fill}"'
    return f"<tspan{attributes}>{html.escape(text, quote=False)}</tspan>"


def drawn(line: str, typed: list[str]) -> str:
    """A line as SVG text: what was typed stands out, the server's notices stand back."""
    if line.startswith("$ "):
        return span("$ ", kind="dim") + span(line[2:], kind="typed")
    if line in typed:
        return span(line, kind="typed")
    if line.startswith("-- ") or not re.match(r"[<\[*]", line):
        return span(line, kind="dim")
    pieces = re.split(rf"\b({'|'.join(NAMES)})\b", line, maxsplit=1)
    if len(pieces) < 3:
        return html.escape(line, quote=False)
    before, name, after = (html.escape(piece, quote=False) for piece in pieces)
    return before + span(name, fill=NAMES[name]) + after


def window(terminal: Terminal, x: float, y: float, height: float) -> str:
    grey = "#5c6675"
    rows = [
        f'<g transform="translate({x:g} {y:g})">',
        f'<rect width="{WIDTH:.0f}" height="{height:g}" rx="8" fill="#171b22" stroke="#343c48"/>',
        *(f'<circle cx="{18 + 16 * i}" cy="15" r="4.5" fill="{grey}"/>' for i in range(3)),
        f'<text class="bar" x="{WIDTH / 2:.0f}" y="20" text-anchor="middle">'
        f"{html.escape(terminal.title)}</text>",
    ]
    for number, line in enumerate(terminal.lines):
        top = BAR + MARGIN + LEADING * number + 4
        rows.append(f'<text x="{MARGIN:g}" y="{top:g}" {KEEP}>{drawn(line, terminal.typed)}</text>')
    return "\n".join([*rows, "</g>"])


def height_of(terminal: Terminal) -> float:
    return BAR + MARGIN + LEADING * len(terminal.lines) + 2


def draw(terminals: list[Terminal]) -> str:
    """Two columns, which end at the same height."""
    columns = (terminals[0::2], terminals[1::2])
    whole = max(sum(height_of(each) + GAP for each in column) for column in columns) + GAP
    windows = []
    for number, column in enumerate(columns):
        x, y = GAP + number * (WIDTH + GAP), GAP
        for terminal in column:
            last = terminal is column[-1]
            height = whole - GAP - y if last else height_of(terminal)
            windows.append(window(terminal, x, y, height))
            y += height + GAP
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" '
            f'viewBox="0 0 {WIDTH * 2 + GAP * 3:.0f} {whole:.0f}">',
            "<title>A chat server and three clients, each in a terminal</title>",
            f"<style>{STYLE}</style>",
            *windows,
            "</svg>\n",
        ]
    )


if __name__ == "__main__":
    PICTURE.write_text(draw(record()))
    print(f"drawn: {PICTURE.relative_to(ROOT)}")
