"""Servers of several processes: their children, what those have open, and crowds of clients."""

from __future__ import annotations

import itertools
import os
import selectors
import signal
import socket
import time
import typing as t
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.cli.process import Serving
from tests.support import PATIENCE, until

needs_proc = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs Linux's /proc")

ROOM: t.Final = '''
import os
from jackfield import LineProtocol, Room

room = Room()

class Everyone(LineProtocol):
    """Says which process serves it; then every line goes to everybody."""

    line_limit = 1 << 17

    def connection_made(self, transport):
        super().connection_made(transport)
        self.send_line(b"pid %d" % os.getpid())
        room.join(transport)

    def line_received(self, line):
        room.publish(line + b"\\n")

    def connection_lost(self, exc):
        super().connection_lost(exc)
        room.leave(self.transport)
'''
"""A module with a room of lines, for ``jackfield serve household:Everyone``."""

LOCAL: t.Final = "tcp://127.0.0.1:0"


class Household(Serving):
    """A server process and its children; at the end of the ``with`` all of them are gone."""

    def __exit__(self, *exc: object) -> None:
        left = children(self.pid) if self.process.poll() is None else []
        super().__exit__(*exc)
        for pid in left:  # one that the test has stopped would stay
            kill(pid, signal.SIGKILL)

    @classmethod
    def of(cls, directory: Path, *options: str, module: str = ROOM) -> Household:
        """Serve ``module``'s Everyone on a free port."""
        (directory / "household.py").write_text(module)
        quiet = ("--log-level", "warning")
        return cls("serve", "household:Everyone", LOCAL, *quiet, *options, cwd=directory)

    @property
    def pid(self) -> int:
        return self.process.pid

    def await_children(self, count: int) -> list[int]:
        """The children, once there are ``count``."""
        until(lambda: len(children(self.pid)) == count)
        return children(self.pid)


def children(pid: int) -> list[int]:
    """The children of a process, zombies included."""
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(word) for word in text.split()]


def is_gone(pid: int) -> bool:
    """No such process any more, not even a zombie."""
    return not Path(f"/proc/{pid}").exists()


def kill(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def sockets(pid: int) -> list[str]:
    """``socket:[inode]`` of each socket that the process has open."""
    found = []
    for entry in os.listdir(f"/proc/{pid}/fd"):
        try:
            found.append(os.readlink(f"/proc/{pid}/fd/{entry}"))
        except OSError:  # closed meanwhile
            continue
    return [name for name in found if name.startswith("socket:")]


def descriptors(pid: int) -> int:
    """How many descriptors the process has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))


class Member:
    """A client of the room. ``lines``: all that it read; ``rest``: the beginning of the next."""

    def __init__(self, port: int) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        self.lines: list[bytes] = []
        self.rest = b""
        self.ended = False

    @property
    def pid(self) -> int:
        """The process that serves it."""
        return int(self.lines[0].removeprefix(b"pid "))

    def say(self, line: bytes) -> None:
        self.sock.sendall(line + b"\n")

    def read(self) -> list[bytes]:
        """Receive once; the whole lines that came."""
        try:
            data = self.sock.recv(1 << 18)
        except ConnectionResetError:
            data = b""
        self.ended = not data
        *lines, self.rest = (self.rest + data).split(b"\n")
        self.lines += lines
        return lines

    def read_to(self, line: bytes) -> None:
        """Up to ``line``; what follows may have come too."""
        seen = len(self.lines)
        while line not in self.lines[seen:]:
            seen = len(self.lines)
            self.read()
            assert not self.ended, f"cut off before {line!r}"

    def close(self) -> None:
        self.sock.close()


class Crowd:
    """Members in this process, all in the room when they are made. ``pump`` lets them read."""

    def __init__(self, port: int, count: int) -> None:
        self.port = port
        self.members: list[Member] = []
        self._entered = itertools.count()
        self._selector = selectors.DefaultSelector()
        for _ in range(count):
            self.enter()
        if count:
            last = b"in %d" % (count - 1)
            for member in self.members[:-1]:
                member.read_to(last)

    def __enter__(self) -> t.Self:
        return self

    def __exit__(self, *exc: object) -> None:
        for member in self.members:
            member.close()
        self._selector.close()

    def enter(self) -> Member:
        """One more, who has heard itself."""
        member = Member(self.port)
        word = b"in %d" % next(self._entered)
        self.members.append(member)
        member.say(word)
        member.read_to(word)
        self._selector.register(member.sock, selectors.EVENT_READ, member)
        return member

    def admit(self, member: Member) -> None:
        """One more, whatever it has heard."""
        self.members.append(member)
        self._selector.register(member.sock, selectors.EVENT_READ, member)

    def leave(self, member: Member) -> None:
        self._selector.unregister(member.sock)
        self.members.remove(member)
        member.close()

    def by_process(self) -> dict[int, list[Member]]:
        served: dict[int, list[Member]] = {}
        for member in self.members:
            served.setdefault(member.pid, []).append(member)
        return served

    def pump(
        self,
        finished: Callable[[], object],
        heard: Callable[[Member, list[bytes]], object] = lambda member, lines: None,
    ) -> None:
        """Read whatever comes until ``finished()``; ``heard`` is told of it."""
        deadline = time.monotonic() + 3 * PATIENCE
        while not finished():
            assert time.monotonic() < deadline, "the crowd waits in vain"
            for key, _ in self._selector.select(0.05):
                member = key.data
                lines = member.read()
                if member.ended:
                    self._selector.unregister(member.sock)
                heard(member, lines)
