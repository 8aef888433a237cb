"""A terminal as a person has one: a shell on a pseudo-terminal, typed to and read from.

The terminal does not echo what is typed. ``fresh`` is what it has shown and nobody has taken note
of yet; ``prompt`` is who waits for input there, the shell ("$"), Python (">>>") or neither ("").
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import subprocess
import termios
import time
import typing as t
from pathlib import Path

SHELL: t.Final = ("setsid", "--ctty", "bash", "--norc", "--noprofile", "--noediting", "-i")
"""setsid(1): ^C reaches what runs in a terminal only if that is the controlling one."""

PS1: t.Final = "@tour$ "
PYTHON: t.Final = ">>> "
PROMPTS: t.Final = {PS1: "$", PYTHON: ">>>"}
KEYS: t.Final = {"^C": b"\x03", "^D": b"\x04"}
ROWS_COLUMNS: t.Final = (50, 102)
"""The page is made for 100 columns; a pid may have two digits more than those it shows."""

ENDS: t.Final = 5.0
"""Seconds that a shell has to end when its terminal is gone, before it is killed."""


class Terminal:
    """Started in ``directory``. Use it in a ``with``: at its end all that ran in it is gone."""

    def __init__(self, directory: Path, environment: dict[str, str]) -> None:
        self._fd, inner = os.openpty()
        os.set_blocking(self._fd, False)
        termios.tcsetwinsize(self._fd, ROWS_COLUMNS)
        modes = termios.tcgetattr(inner)
        modes[3] &= ~termios.ECHO
        termios.tcsetattr(inner, termios.TCSANOW, modes)
        self._shell = subprocess.Popen(
            SHELL,
            stdin=inner,
            stdout=inner,
            stderr=inner,
            cwd=directory,
            env=environment | {"PS1": PS1, "PS2": ""},
        )
        os.close(inner)
        self._text = ""
        self._echoed = ""

    def __enter__(self) -> t.Self:
        return self

    def __exit__(self, *exc: object) -> None:
        foreground = _foreground(self._fd)
        os.close(self._fd)  # hangs up: the kernel sends SIGHUP to the shell and who is in front
        for group in {foreground, self._shell.pid} - {0}:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)
        self._shell.wait(ENDS)

    def read(self, seconds: float) -> None:
        """Take in what has come, and wait up to ``seconds`` for it if nothing has."""
        if not select.select([self._fd], [], [], seconds)[0]:
            return
        with contextlib.suppress(OSError):  # EAGAIN; EIO when the shell has ended
            while block := os.read(self._fd, 65536):
                self._text += block.decode(errors="replace").replace("\r", "")

    @property
    def prompt(self) -> str:
        """Who waits for input."""
        return next((kind for end, kind in PROMPTS.items() if self._text.endswith(end)), "")

    def fresh(self) -> list[str]:
        """The lines, without prompts, what readline echoed, and blank lines at the sides."""
        text = re.sub(f"{re.escape(PS1)}|(?:{PYTHON})+", "", self._text)
        return text.removeprefix(self._echoed).strip("\n").splitlines()

    def taken(self) -> None:
        """What is there has been taken note of."""
        self._echoed = ""
        self._text = next((end for end in PROMPTS if self._text.endswith(end)), "")

    def type(self, text: str) -> None:
        """A line, or one of KEYS."""
        self._echoed = f"{text}\n" if self.prompt == ">>>" else ""
        self._text = self._text.removesuffix(PS1).removesuffix(PYTHON)
        os.write(self._fd, KEYS.get(text, text.encode() + b"\n"))

    def await_prompt(self, kind: str, seconds: float) -> bool:
        """Read until the shell ("$") or Python (">>>") waits for input; False after ``seconds``."""
        deadline = time.monotonic() + seconds
        while self.prompt != kind:
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            self.read(left)
        return True


def _foreground(fd: int) -> int:
    """The process group in front of the terminal; 0 if there is none."""
    try:
        return os.tcgetpgrp(fd)
    except OSError:
        return 0
