"""docs/tour.md is so: each command in it is typed into a terminal, and shows what the page shows.

A chapter's terminals are shells on pseudo-terminals in a directory of their own, its port is one
that is free. What may differ is in ``tour_compare``; a command that only looks is typed again until
it shows what it should, since a connection takes a moment.
"""

from __future__ import annotations

import contextlib
import os
import random
import re
import socket
import sys
import time
import typing as t
from pathlib import Path

import pytest
from tests.outside.programs import need
from tests.support import PATIENCE
from tests.tools.test_strace import can_trace
from tests.tour_compare import Names
from tests.tour_page import Chapter, Step, chapters
from tests.tour_terminal import Terminal

ROOT: t.Final = Path(__file__).parent.parent
CHAPTERS: t.Final = chapters((ROOT / "docs" / "tour.md").read_text())

LOOKS: t.Final = re.compile(r"jackfield (fds|sockets) ")
"""Commands that change nothing, so that they may be repeated."""

AGAIN: t.Final = 0.05
"""Seconds between two looks."""

PROGRAMS: t.Final = ("nc",)
"""What the page calls beside Python and jackfield."""


def free_port() -> int:
    """With four digits, as in the page: so columns are as wide, and no client has it by chance."""
    while True:
        port = random.randrange(1100, 10000)
        with socket.socket() as sock, contextlib.suppress(OSError):
            sock.bind(("127.0.0.1", port))
            return port


class Walk:
    """Executes the steps of a chapter, each in its terminal."""

    def __init__(self, chapter: Chapter, directory: Path) -> None:
        self._directory = directory
        self._stack = contextlib.ExitStack()
        self._terminals: dict[str, Terminal] = {}
        self.names = Names({chapter.port: str(free_port())} if chapter.port else {})
        self.executed: list[Step] = []
        self._seen: dict[str, tuple[Step, list[str]]] = {}

    def __enter__(self) -> t.Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    def take(self, step: Step) -> None:
        """Type what is to be typed, and see what is to be seen."""
        terminal = self._terminal(step.terminal)
        if step.kind:
            self._type(step, terminal)
        self._see(step, terminal)
        self.executed.append(step)

    def end(self) -> None:
        """Nothing was shown that the page does not show."""
        for name, terminal in self._terminals.items():
            self._no_more(name, terminal)

    def _terminal(self, name: str) -> Terminal:
        if name not in self._terminals:
            made = Terminal(self._directory, environment(self._directory))
            self._terminals[name] = self._stack.enter_context(made)
        return self._terminals[name]

    def _type(self, step: Step, terminal: Terminal) -> None:
        if step.kind in ("$", ">>>"):
            assert terminal.await_prompt(step.kind, PATIENCE), told(step, terminal, "no prompt")
        self._no_more(step.terminal, terminal)
        terminal.taken()
        terminal.type(self._typed(step))

    def _no_more(self, name: str, terminal: Terminal) -> None:
        """What came since the last step belongs to it, behind "..." say, or is not in the page."""
        terminal.read(0)
        more = terminal.fresh()
        if more:
            step, lines = self._seen[name]
            shown = self.names.same(step.shown, [*lines, *more])
            assert shown, told(step, terminal, "after that it has shown")

    def _typed(self, step: Step) -> str:
        return self.names.real(step.typed.removeprefix("sudo "))  # skipped if not permitted

    def _see(self, step: Step, terminal: Terminal) -> None:
        looks = bool(LOOKS.match(step.typed))
        deadline = time.monotonic() + PATIENCE
        while not self._shows(step, terminal, looks):
            assert time.monotonic() < deadline, told(step, terminal, "it shows")
            terminal.read(AGAIN)
            if looks and terminal.prompt and not self._shows(step, terminal, looks):
                terminal.taken()
                terminal.type(self._typed(step))
                terminal.await_prompt("$", PATIENCE)
        self._seen[step.terminal] = (step, terminal.fresh())
        terminal.taken()

    def _shows(self, step: Step, terminal: Terminal, ended: bool) -> bool:
        """``ended``: only when the command has, since more could come."""
        if ended and not terminal.prompt:
            return False
        return self.names.same(step.shown, terminal.fresh())


def environment(directory: Path) -> dict[str, str]:
    """A plain terminal's, in which ``jackfield`` and ``python3`` are those under test."""
    return {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(directory),
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        "TERM": "dumb",
        "NO_COLOR": "1",
        "PYTHON_BASIC_REPL": "1",
    }


def told(step: Step, terminal: Terminal, what: str) -> str:
    """Why it failed, for people."""
    there = "\n".join(terminal.fresh())
    shown = "\n".join(step.shown)
    where = f"docs/tour.md, line {step.line}, terminal {step.terminal}: {step.typed}"
    return f"{where}\n--- {what}:\n{there}\n--- the page has:\n{shown}\n---"


def skip_if_not_permitted(chapter: Chapter) -> None:
    """Two of the tools want a permission that not every machine gives."""
    typed = " ".join(step.typed for step in chapter.steps)
    if "jackfield trace " in typed and not can_trace():
        pytest.skip("strace may not trace here (ptrace(2))")
    if "jackfield wire " in typed:
        try:
            socket.socket(socket.AF_PACKET, socket.SOCK_RAW).close()
        except (PermissionError, AttributeError):
            pytest.skip("packet sockets want root or CAP_NET_RAW")


@pytest.fixture(scope="module")
def programs() -> None:
    if not sys.platform.startswith("linux"):
        pytest.skip("the tools read Linux's /proc and sock_diag")
    need(*PROGRAMS)


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.title)
@pytest.mark.usefixtures("programs")
def test_chapter(chapter: Chapter, short_directory: Path) -> None:
    skip_if_not_permitted(chapter)
    with Walk(chapter, short_directory) as walk:
        for step in chapter.steps:
            walk.take(step)
        walk.end()
        assert tuple(walk.executed) == chapter.steps
