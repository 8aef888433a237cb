"""strace itself, on processes of ours; and what is in its way."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import typing as t
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support import PATIENCE, lowest_free, until

from jackfield.errors import SystemRefused, UsageError
from jackfield.instrument import SocketCall
from jackfield.tools.strace import Strace, check, find, why_not

CLIENT: t.Final = """
import socket, sys
with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as sock:
    sock.sendall(b"hi\\x1b[2J")
    sock.recv(100)
    open("/dev/null", "wb").write(b"no socket")
"""

ECHO: t.Final = """
import socket, sys
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
while True:
    sock, _ = listener.accept()
    with sock:
        sock.sendall(sock.recv(100))
"""


def can_trace() -> bool:
    """Is strace here, and does the system let it?"""
    if shutil.which("strace") is None:
        return False
    with tempfile.NamedTemporaryFile() as log:
        command = ["strace", "-o", log.name, "true"]
        return not subprocess.run(command, capture_output=True, check=False).returncode


needs_strace = pytest.mark.skipif(
    not can_trace(), reason="strace is not installed, or may not trace here (ptrace(2))"
)


@pytest.fixture
def echo() -> Iterator[tuple[int, int]]:
    """Process and port of an echo server that knows nothing of jackfield."""
    server = subprocess.Popen([sys.executable, "-c", ECHO], stdout=subprocess.PIPE)
    with server:
        assert server.stdout
        yield server.pid, int(server.stdout.readline())
        server.kill()


def client(port: int) -> list[str]:
    return [sys.executable, "-c", CLIENT, str(port)]


def all_calls(strace: Strace) -> list[SocketCall]:
    return [call for calls in strace.batches() for call in calls]


@needs_strace
def test_a_command(echo: tuple[int, int]) -> None:
    fd = lowest_free()
    with Strace.start(client(echo[1]), payload=100) as strace:
        calls = all_calls(strace)
        assert strace.wait() == 0
    names = [call.call for call in calls]
    assert names[:1] + names[-1:] == ["socket", "close"]
    assert {"connect", "sendto", "recvfrom"} <= set(names)
    sent = next(call for call in calls if call.call == "sendto")
    assert (sent.size, sent.payload, sent.protocol) == (6, r"hi\33[2J", "tcp")
    assert sent.peer == f"127.0.0.1:{echo[1]}"
    assert all(call.seconds >= 0 for call in calls)
    assert {call.protocol for call in calls} <= {"tcp", "unix"}, "no files"
    assert strace.lines.unknown == 0
    assert lowest_free() == fd


SEVERAL: t.Final = """
import ctypes, socket
a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
vectors = (ctypes.c_size_t * 2)(ctypes.addressof(ctypes.create_string_buffer(b"hello")), 5)
message = [0, 0, ctypes.addressof(vectors), 1, 0, 0, 0, 0]  # struct mmsghdr, in 64-bit words
messages = (ctypes.c_size_t * 24)(*message * 3)
assert ctypes.CDLL(None).sendmmsg(a.fileno(), messages, 3, 0) == 3
"""


@needs_strace
@pytest.mark.skipif(sys.maxsize < 2**32, reason="the program is written for 64-bit words")
def test_several_messages_in_a_call() -> None:
    """strace tells of arrays as many members as it shows of bytes, unless told otherwise."""
    with Strace.start([sys.executable, "-c", SEVERAL]) as strace:
        calls = {call.call: call for call in all_calls(strace)}
        assert strace.wait() == 0
    assert calls["socketpair"].fd >= 0
    assert (calls["sendmmsg"].result, calls["sendmmsg"].size) == (3, 15)


@needs_strace
def test_a_process_that_runs(echo: tuple[int, int]) -> None:
    pid, port = echo
    with Strace.attach(pid) as strace:
        until(lambda: "TracerPid:\t0\n" not in Path(f"/proc/{pid}/status").read_text())
        with pytest.raises(UsageError, match=rf"process {pid} is being traced already"):
            check(pid)
        with socket.create_connection(("127.0.0.1", port), PATIENCE) as sock:
            sock.sendall(b"hello")
            assert sock.recv(100) == b"hello"
            there = "{}:{}".format(*sock.getsockname())
        calls: list[SocketCall] = []
        for batch in strace.batches():
            calls += batch
            if any(call.call == "close" for call in calls):
                break
    own = [call for call in calls if call.peer == there and call.size]
    assert [(call.call, call.size) for call in own[:2]] == [("recvfrom", 5), ("sendto", 5)]
    assert {call.task for call in calls} == {pid}
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as sock:  # it lives on
        sock.sendall(b"again")
        assert sock.recv(100) == b"again"


@needs_strace
def test_the_process_ends_meanwhile(echo: tuple[int, int]) -> None:
    pid, _ = echo
    with Strace.attach(pid) as strace:
        until(lambda: "TracerPid:\t0\n" not in Path(f"/proc/{pid}/status").read_text())
        os.kill(pid, signal.SIGKILL)
        # Perhaps the call in which it waited: without a result, as it never returned.
        assert all(call.result == -1 for call in all_calls(strace))


@needs_strace
def test_a_command_that_fails() -> None:
    with Strace.start(["sh", "-c", "exit 3"]) as strace:
        assert all_calls(strace) == []
        assert strace.wait() == 3
    with Strace.start(["sh", "-c", "kill -9 $$"]) as strace:
        assert all_calls(strace) == []
        assert strace.wait() == 128 + 9


@needs_strace
def test_a_command_is_ended_with_the_tracing() -> None:
    with Strace.start(["sleep", "60"]) as strace:
        pass
    assert strace.wait() == 128 + signal.SIGTERM


@needs_strace
def test_nothing_is_left_behind(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    fd = lowest_free()
    with Strace.start(["true"]) as strace:
        all_calls(strace)
    strace.stop()
    assert list(tmp_path.iterdir()) == []
    assert lowest_free() == fd


@needs_strace
def test_no_such_command() -> None:
    with pytest.raises(UsageError, match=r"there is no command no\\x1bsuch here"):
        Strace.start(["no\x1bsuch"])


# --- what is in the way ------------------------------------------------------------------------


def stand_in(directory: Path, script: str) -> None:
    """A program called strace."""
    program = directory / "strace"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo 'strace: attach: ptrace(PTRACE_SEIZE, 5): Operation not permitted' >&2", "root"),
        ("echo 'strace: attach: ptrace(PTRACE_SEIZE, 5): No such process' >&2", "has ended"),
        ("printf 'strace: \\033[2Jinvalid option\\n' >&2", r"\x1b[2Jinvalid option"),
        (":", "without a word"),
    ],
)
def test_strace_may_not(
    echo: tuple[int, int],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    script: str,
    words: str,
) -> None:
    stand_in(tmp_path, f"{script}; exit 1")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    with Strace.attach(echo[0]) as strace, pytest.raises(SystemRefused) as caught:
        all_calls(strace)
    assert words in str(caught.value)


def test_strace_may_not_trace_a_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stand_in(tmp_path, "exit 1")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    with Strace.start(["true"]) as strace, pytest.raises(SystemRefused, match="said above why"):
        all_calls(strace)


def test_strace_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="install the package strace"):
        find()


def test_processes_that_cannot_be_traced(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="this command itself"):
        check(os.getpid())
    for pid in (999_999_999, 10**12):
        with pytest.raises(UsageError, match=f"no process {pid} is here"):
            check(pid)

    def refuse(_pid: int, _number: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "kill", refuse)
    with pytest.raises(UsageError, match="another user's"):
        check(1)


@pytest.mark.parametrize(
    ("scope", "words"),
    [
        ("0", "SYS_PTRACE"),
        ("1", "jackfield trace -- COMMAND"),
        ("2", "root alone"),
        ("3", "nobody trace processes"),
    ],
)
def test_why_not(tmp_path: Path, scope: str, words: str) -> None:
    file = tmp_path / "proc/sys/kernel/yama/ptrace_scope"
    file.parent.mkdir(parents=True)
    file.write_text(scope + "\n")
    assert words in why_not(str(tmp_path))
    assert "SYS_PTRACE" in why_not(str(tmp_path / "none"))
