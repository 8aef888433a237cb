"""What the tests of ``fds`` and ``sockets`` do to a process: a strange name, another user, an end.

All of it in forked children, or in processes of their own.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import pty
import signal
import subprocess
import typing as t
from collections.abc import Callable, Iterator

import pytest
from tests.cli.process import JACKFIELD
from tests.cli.process import run_here as run
from tests.support import PATIENCE

NOBODY: t.Final = 65534
"""The user without rights that every system has."""


def renamed(name: bytes) -> None:
    ctypes.CDLL(None).prctl(15, name, 0, 0, 0)  # PR_SET_NAME


@contextlib.contextmanager
def child(prepare: Callable[[], object]) -> Iterator[int]:
    """A process with our descriptors that does ``prepare`` and then nothing."""
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        prepare()
        os.write(writing, b"!")
        signal.pause()
        os._exit(0)
    try:
        os.read(reading, 1)
        yield pid
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(reading)
        os.close(writing)


def without_root(*arguments: str) -> tuple[int, str, str]:
    """Status, output and error of a command that another user runs."""
    if os.geteuid() != 0:
        pytest.skip("only root can become somebody else")
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        ended = run(*arguments)
        with open(writing, "w") as file:
            json.dump([ended.returncode, ended.stdout, ended.stderr], file)
        os._exit(0)
    os.close(writing)
    with open(reading) as file:
        status, said, complained = json.load(file)
    os.waitpid(pid, 0)
    return status, said, complained


def on_a_terminal(
    *arguments: str, environment: dict[str, str] | None = None, until_said: bytes = b""
) -> str:
    """What the command writes to a terminal, until its end or until it has said enough."""
    master, slave = pty.openpty()
    with subprocess.Popen(
        [*JACKFIELD, *arguments], stdout=slave, env={**os.environ, **(environment or {})}
    ) as process:
        os.close(slave)
        said = b""
        with contextlib.suppress(OSError):  # EIO: the other end is closed
            while block := os.read(master, 65536):
                said += block
                if until_said and until_said in said:
                    until_said = b""
                    process.send_signal(signal.SIGINT)
        process.wait(PATIENCE)
    os.close(master)
    return said.decode()


class Watching:
    """A command under --watch; ``error`` holds what it said on standard error at its end."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [*JACKFIELD, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.lines = self.process.stdout

    def __enter__(self) -> t.Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.process.kill()
        self.process.communicate()

    def ended(self) -> tuple[int, str]:
        _, error = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, error
