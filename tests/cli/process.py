"""``jackfield`` as a person runs it: a process, its standard error line by line, its end."""

from __future__ import annotations

import contextlib
import io
import os
import re
import select
import signal
import socket
import subprocess
import sys
import time
import typing as t
from pathlib import Path

import pytest
from tests.support import PATIENCE

from jackfield import cli

JACKFIELD: t.Final = (sys.executable, "-m", "jackfield")


def run(
    *arguments: str, cwd: Path | None = None, command: tuple[str, ...] = JACKFIELD
) -> subprocess.CompletedProcess[str]:
    """A command that ends by itself."""
    return subprocess.run(
        [*command, *arguments],
        check=False,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        cwd=cwd,
        timeout=PATIENCE,
    )


def run_here(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The same without a process of its own: a tenth of the time, for commands that only look."""
    output, error = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(error):
        status = cli.main(arguments)
    return subprocess.CompletedProcess(arguments, status, output.getvalue(), error.getvalue())


class Serving:
    """A server process. ``expect`` reads its standard error up to a line that matches.

    ``said`` is every line so far. Use it in a ``with``: at its end the process is gone.
    """

    def __init__(
        self,
        *arguments: str,
        cwd: Path | None = None,
        command: tuple[str, ...] = JACKFIELD,
        pass_fds: tuple[int, ...] = (),
        stdout: t.IO[bytes] | None = None,
    ) -> None:
        self.process = subprocess.Popen(
            [*command, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.PIPE,
            cwd=cwd,
            pass_fds=pass_fds,
        )
        assert self.process.stderr is not None
        self._stderr = self.process.stderr.fileno()
        self._rest = b""
        self.said: list[str] = []

    def __enter__(self) -> t.Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stderr is not None
        self.process.stderr.close()

    def expect(self, pattern: str) -> re.Match[str]:
        """The first line from here on that is ``pattern`` as a whole."""
        while True:
            line = self.line()
            if line is None:
                pytest.fail(f"the server ended without {pattern!r}: {self.said}")
            found = re.fullmatch(pattern, line)
            if found:
                return found

    def line(self) -> str | None:
        """The next line of standard error; None at its end."""
        deadline = time.monotonic() + PATIENCE
        while b"\n" not in self._rest:
            if not select.select([self._stderr], [], [], deadline - time.monotonic())[0]:
                pytest.fail(f"the server says nothing more after {self.said}")
            block = os.read(self._stderr, 65536)
            if not block:
                return None
            self._rest += block
        line, _, self._rest = self._rest.partition(b"\n")
        self.said.append(line.decode())
        return self.said[-1]

    def port(self) -> int:
        """The port of the next listener that is announced."""
        return int(self.expect(r"listening (?:tcp|udp)://.*:(\d+) fd=\d+ .*")[1])

    def connect(self, port: int) -> socket.socket:
        return socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)

    def terminate(self) -> int:
        """SIGTERM; the exit status. What it says until its end is in ``said``."""
        self.process.send_signal(signal.SIGTERM)
        return self.ended()

    def ended(self) -> int:
        """Wait for the end by itself; the exit status."""
        while self.line() is not None:
            pass
        return self.process.wait(PATIENCE)
