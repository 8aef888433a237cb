"""Who is at the other end of a Unix socket."""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest

from jackfield.kernel import peercred
from jackfield.kernel.peercred import peer_credentials

linux = pytest.mark.skipif(sys.platform != "linux", reason="Linux's behaviour")


@pytest.mark.skipif(not peercred.can_tell(), reason="this system cannot tell")
def test_a_pair_is_this_process() -> None:
    here, there = socket.socketpair()
    with here, there:
        credentials = peer_credentials(here)
    assert credentials is not None
    assert credentials.pid in (os.getpid(), 0)
    assert credentials[1:] == (os.geteuid(), os.getegid())


@linux
def test_another_process(short_directory: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(short_directory / "s"))
        listener.listen()
        code = "import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])"
        command = [sys.executable, "-c", code, str(short_directory / "s")]
        with subprocess.Popen(command) as process:
            accepted, _ = listener.accept()
        with accepted:  # the process has ended by now: its credentials stay
            assert peer_credentials(accepted) == (process.pid, os.geteuid(), os.getegid())


def test_who_has_none() -> None:
    with socket.socket(socket.AF_INET) as sock:
        assert peer_credentials(sock) is None
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        assert peer_credentials(sock) is None
    assert peer_credentials(sock) is None  # closed


class BsdSocket:
    """Answers as macOS and FreeBSD do."""

    family = socket.AF_UNIX

    def __init__(self, groups: int) -> None:
        self.groups = groups

    def getsockopt(self, level: int, option: int, size: int = 0) -> t.Any:
        assert level == 0
        if option == 2:
            return 4711
        assert option == 1
        return struct.pack("@IIh2x16I", 0, 501, self.groups, 20, *range(15))[:size]


@pytest.mark.parametrize(
    ("platform", "groups", "credentials"),
    [
        ("darwin", 3, (4711, 501, 20)),
        ("freebsd14", 1, (0, 501, 20)),
        ("freebsd14", 0, None),
        ("darwin", 0, None),
        ("sunos5", 1, None),
    ],
)
def test_other_systems(
    monkeypatch: pytest.MonkeyPatch, platform: str, groups: int, credentials: object
) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    assert peer_credentials(t.cast(socket.socket, BsdSocket(groups))) == credentials
    assert peercred.can_tell() is (platform != "sunos5")
