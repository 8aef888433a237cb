"""A program on a pseudo-terminal, and what it shows as an SVG picture, colours included."""

from __future__ import annotations

import contextlib
import html
import os
import pty
import re
import select
import signal
import subprocess
import time
import typing as t
from collections.abc import Iterator

COLUMNS: t.Final = 100
PATIENCE: t.Final = 20.0
"""Seconds to wait for something to appear."""


class Terminal:
    """A program on a pseudo-terminal of COLUMNS columns, and all that it has shown."""

    def __init__(self, command: str, columns: int = COLUMNS) -> None:
        self.command = command
        self.shown = ""
        self.fd, inner = pty.openpty()
        environment = {**os.environ, "COLUMNS": str(columns), "TERM": "xterm"}
        environment.pop("NO_COLOR", None)
        self.process = subprocess.Popen(
            command.split(), stdin=inner, stdout=inner, stderr=inner, env=environment
        )
        os.close(inner)

    def wait_for(self, text: str) -> None:
        """Read until ``text`` is shown."""
        deadline = time.monotonic() + PATIENCE
        while text not in self.shown:
            if not select.select([self.fd], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise SystemExit(f"{self.command}: {text!r} did not appear in {self.shown!r}")
            if not self._read():
                raise SystemExit(f"{self.command}: ended too early: {self.shown!r}")

    def interrupt(self) -> None:
        """Ctrl-C, and what is said until the end."""
        self.process.send_signal(signal.SIGINT)
        self.read_on()

    def read_on(self) -> None:
        """What is said until the end."""
        while self._read():
            pass
        self.process.wait()

    def _read(self) -> bool:
        try:
            data = os.read(self.fd, 65536)
        except OSError:  # Linux reports EIO when the last program on the terminal is gone
            return False
        self.shown += data.decode().replace("\r\n", "\n")
        return bool(data)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.fd)


@contextlib.contextmanager
def terminal(command: str, columns: int = COLUMNS) -> Iterator[Terminal]:
    made = Terminal(command, columns)
    try:
        yield made
    finally:
        made.close()


# --- drawing -----------------------------------------------------------------------------------

FONT, LEADING, MARGIN, BAR = 13.0, 18.0, 14.0, 30.0
ADVANCE: t.Final = FONT * 0.602
"""Width of a character, of most monospaced fonts."""

STYLES: t.Final = {"1": "bold", "2": "dim", "31": "red", "32": "green", "33": "yellow"}
SHEET: t.Final = f"""
text {{ font: {FONT}px ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; fill: #d8dee9;
       white-space: pre }}
.dim {{ fill: #7f8b9e }}
.bold {{ font-weight: bold }}
.green {{ fill: #8fd0a4 }}
.yellow {{ fill: #f0b97d }}
.red {{ fill: #f28b82 }}
"""
KEEP: t.Final = 'xml:space="preserve"'
"""SVG 1.1's way to keep blanks, for renderers that do not know white-space."""


def drawn(line: str) -> str:
    """A line with a terminal's colours as SVG text."""
    pieces, on = [], set[str]()
    for code, text in re.findall(r"(?:\x1b\[(\d+)m)?([^\x1b]*)", line):
        on = set() if code == "0" else on | ({STYLES[code]} if code else set())
        if text:
            names = " ".join(sorted(on))
            pieces.append(f'<tspan class="{names}">{html.escape(text, quote=False)}</tspan>')
    return "".join(pieces)


def draw(title: str, command: str, shown: str, columns: int = COLUMNS) -> str:
    """The picture of a terminal in which ``command`` has shown ``shown``."""
    lines = [f"\x1b[2m$ \x1b[0m\x1b[1m{command}", *shown.splitlines()]
    width = columns * ADVANCE + 2 * MARGIN
    height = BAR + 2 * MARGIN + LEADING * len(lines)
    rows = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}">',
        f"<title>{html.escape(title)}</title>",
        f"<style>{SHEET}</style>",
        f'<rect width="{width:.0f}" height="{height:.0f}" rx="8" fill="#171b22" stroke="#343c48"/>',
        *(f'<circle cx="{18 + 16 * i}" cy="15" r="4.5" fill="#5c6675"/>' for i in range(3)),
    ]
    for number, line in enumerate(lines):
        y = BAR + MARGIN + LEADING * number
        rows.append(f'<text x="{MARGIN:g}" y="{y:g}" {KEEP}>{drawn(line)}</text>')
    return "\n".join([*rows, "</svg>\n"])
