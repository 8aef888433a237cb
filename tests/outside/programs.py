"""Programs that we did not write, as clients: started, typed to, read until a line appears."""

from __future__ import annotations

import os
import select
import shutil
import subprocess
import time
import typing as t

import pytest
from tests.support import PATIENCE

PACKAGES: t.Final = {
    "nc": "netcat-openbsd",
    "ncat": "ncat",
    "telnet": "telnet",
    "socat": "socat",
    "curl": "curl",
    "openssl": "openssl",
    "ip": "iproute2",
    "ss": "iproute2",
    "lsof": "lsof",
    "haproxy": "haproxy",
    "tshark": "tshark",
    "systemd-socket-activate": "systemd",
}
"""The Debian package that has each program."""


def need(*programs: str) -> None:
    """Skip, with the packages to install; fail where everything must be there (CI)."""
    missing = [PACKAGES[program] for program in programs if not _present(program)]
    if missing:
        absent = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        absent(f"missing Debian package: {' '.join(missing)}")


def _present(program: str) -> bool:
    if shutil.which(program) is None:
        return False
    if program != "nc":
        return True
    # There are several netcats; only OpenBSD's has -N and -U.
    usage = subprocess.run([program, "-h"], check=False, capture_output=True, timeout=PATIENCE)
    return b"OpenBSD" in usage.stdout + usage.stderr


class Program:
    """One client. ``said`` is every line it printed, without line ends."""

    def __init__(self, *command: str) -> None:
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        self._rest = b""
        self.said: list[str] = []

    def __enter__(self) -> t.Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._process.kill()
        self._process.communicate()

    def type(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode() + b"\n")
        self._process.stdin.flush()

    def read_to(self, wanted: str) -> list[str]:
        """The lines from here to the line ``wanted``, itself included."""
        lines: list[str] = []
        while not lines or lines[-1] != wanted:
            lines.append(self.read_line())
        return lines

    def read_line(self) -> str:
        """The next line."""
        line = self._line()
        if line is None:
            pytest.fail(f"{self._process.args!r} ended after {self.said[-9:]}")
        return line

    def read_all(self) -> list[str]:
        """The lines from here to the end, and wait for the program's."""
        lines = list(iter(self._line, None))
        self._process.wait(PATIENCE)
        return lines

    def _line(self) -> str | None:
        assert self._process.stdout is not None
        deadline = time.monotonic() + PATIENCE
        while b"\n" not in self._rest:
            left = max(0.0, deadline - time.monotonic())
            if not select.select([self._process.stdout], [], [], left)[0]:
                pytest.fail(f"{self._process.args!r} says nothing more after {self.said[-9:]}")
            block = os.read(self._process.stdout.fileno(), 65536)
            if not block:
                return None
            self._rest += block
        line, _, self._rest = self._rest.partition(b"\n")
        self.said.append(line.decode().removesuffix("\r"))
        return self.said[-1]


def ask(*command: str, typed: bytes = b"") -> bytes:
    """Run a program to its end with ``typed`` as its whole input; what it printed."""
    ended = subprocess.run(
        command, check=False, input=typed, stdout=subprocess.PIPE, timeout=PATIENCE
    )
    return ended.stdout
