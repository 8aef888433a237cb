"""``jackfield trace`` and ``jackfield serve --trace`` as a person runs them."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest
from tests.cli.process import JACKFIELD, Serving, run
from tests.support import PATIENCE, receive_all, until
from tests.tools.test_strace import needs_strace

from jackfield import engines
from jackfield.cli import trace_options
from jackfield.tools import trace

PAIR: t.Final = (
    "import socket; a, b = socket.socketpair(); a.send(b'hello'); b.recv(9); b.setblocking(0); "
    "b.recv(9)"
)
"""A command that sends, receives, and fails with EAGAIN."""


@needs_strace
def test_lines() -> None:
    said = run("trace", "--data", "3", "--", sys.executable, "-c", PAIR)
    assert said.returncode == 1, "the command's own"
    lines = [re.sub(r" +", " ", line) for line in said.stdout.splitlines()]
    assert lines[0] == "TIME PID CALL FD RESULT SPENT SOCKET"
    pattern = r'\d\d:\d\d:\d\d\.\d{6} \d+ sendto \d+ 5/5 [\d.]+[um]s unix ->inode \d+ "hel"'
    assert any(re.fullmatch(pattern, line) for line in lines)
    assert any(" recvfrom " in line and " EAGAIN " in line for line in lines)
    assert "BlockingIOError" in said.stderr, "the command's own words stay its own"


@needs_strace
def test_json() -> None:
    said = run("trace", "--json", "--", sys.executable, "-c", PAIR)
    calls = [json.loads(line) for line in said.stdout.splitlines()]
    sent = next(call for call in calls if call["call"] == "sendto")
    assert (sent["size"], sent["protocol"], sent["error"]) == (5, "unix", "")


@needs_strace
def test_summary() -> None:
    said = run("trace", "--summary", "--", sys.executable, "-c", PAIR)
    lines = said.stdout.splitlines()
    assert lines[0].split() == ["FD", "CALLS", "ERRORS", "BYTES", "IN", "BYTES", "OUT", "SOCKET"]
    assert lines[-1] == "errors: EAGAIN 1"
    assert "sendto 1" in lines[-2]
    said = run("trace", "--summary", "--json", "--", sys.executable, "-c", PAIR)
    assert json.loads(said.stdout)["errors"] == {"EAGAIN": 1}


@needs_strace
def test_the_output_of_the_command_is_not_ours() -> None:
    said = run("trace", "--", "sh", "-c", "echo out; echo err >&2; ls /proc/self/fd >&2")
    assert said.stdout == "out\n", "no call, no header"
    assert said.stderr.split() == ["err", "0", "1", "2", "3"], "3: the directory; none of ours"


ENDLESS: t.Final = """
import socket, time
a, b = socket.socketpair()
while True:
    a.send(b"x")
    b.recv(1)
    time.sleep(0.001)
"""


@needs_strace
def test_head() -> None:
    """Whoever has read enough ends the tracing, and with it the command."""
    script = '"$0" -m jackfield trace -- "$0" -c "$1" | head -n 2'
    said = subprocess.run(
        ["sh", "-c", script, sys.executable, ENDLESS],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
    )
    assert said.stdout.startswith("TIME ")
    assert (said.stdout.count("\n"), said.stderr) == (2, "")


def follow(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*JACKFIELD, "trace", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def is_traced(pid: int) -> bool:
    return "TracerPid:\t0\n" not in Path(f"/proc/{pid}/status").read_text()


@needs_strace
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted(number: signal.Signals) -> None:
    with Serving("serve", "echo", "tcp://127.0.0.1:0") as server:
        port = server.port()
        trace = follow(str(server.process.pid))
        with trace:
            until(lambda: is_traced(server.process.pid))
            with server.connect(port) as client:
                client.sendall(b"hello")
                client.shutdown(socket.SHUT_WR)
                assert receive_all(client) == b"hello"
            assert trace.stdout
            assert trace.stderr
            said = [trace.stdout.readline() for _ in range(3)]
            trace.send_signal(number)
            said += trace.stdout.readlines()
            assert trace.wait(PATIENCE) == 0
            assert trace.stderr.read() == ""
        assert any(" sendto " in line and " 5/5 " in line for line in said)
        assert not is_traced(server.process.pid)
        server.connect(port).close()


@needs_strace
def test_the_process_ends() -> None:
    with Serving("serve", "echo", "tcp://127.0.0.1:0") as server:
        server.port()
        trace = follow("--summary", str(server.process.pid))
        with trace:
            until(lambda: is_traced(server.process.pid))
            assert server.terminate() == 0
            said, _ = trace.communicate(timeout=PATIENCE)
        assert trace.returncode == 0
        assert "BYTES IN" in said
        assert re.search(r"calls: .*close", said)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "name a process by its number, or a command behind --"),
        (("999999999",), "no process 999999999 is here"),
        (("9" * 40,), "no process 999999999999 is here"),
        (("--", "no-such-command"), "there is no command no-such-command here"),
        (("--data", "-1", "1"), "is not in the range"),
    ],
)
def test_mistakes(arguments: tuple[str, ...], words: str) -> None:
    if "no-such-command" in arguments and sys.platform != "linux":
        pytest.skip("strace is Linux's")
    said = run("trace", *arguments)
    assert (said.returncode, said.stdout) == (2, "")
    assert words in said.stderr
    assert said.stderr.count("\n") == 1


def test_without_strace(tmp_path: Path) -> None:
    said = subprocess.run(
        [*JACKFIELD, "trace", "--", sys.executable],
        env=os.environ | {"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert said.returncode == 2
    assert said.stderr.startswith("jackfield: strace is not installed; install the package strace")
    assert said.stderr.count("\n") == 1


# --- serve --trace -----------------------------------------------------------------------------


class Traced(Serving):
    """A server whose standard output is kept in a file."""

    def __init__(self, output: Path, *arguments: str) -> None:
        script = 'out="$1"; shift; exec "$@" >"$out"'
        super().__init__(*arguments, command=("sh", "-c", script, "sh", str(output), *JACKFIELD))


def serve(tmp_path: Path, *options: str) -> list[str]:
    """What the server says of one client that sends "hello"."""
    with Traced(tmp_path / "out", "serve", "echo", "tcp://127.0.0.1:0", *options) as server:
        with server.connect(server.port()) as client:
            client.sendall(b"hell\x1b")
            client.shutdown(socket.SHUT_WR)
            assert receive_all(client) == b"hell\x1b"
        server.expect(r"disconnected fd=.*")
        assert server.terminate() == 0
    return (tmp_path / "out").read_text().splitlines()


def test_serve(tmp_path: Path) -> None:
    lines = serve(tmp_path, "--trace", "--trace-data", "9")
    assert lines[0].split()[:3] == ["TIME", "PID", "CALL"]
    words = [line.split() for line in lines]
    received = next(line for line in words if line[2] == "recv")
    assert received[4] == "5/65536"
    assert received[-1] == r'"hell\x1b"'
    assert "127.0.0.1:" in received[-2]
    assert [line[2] for line in words if line[2] in ("send", "close")][:1] == ["send"]


def test_serve_under_fork(tmp_path: Path) -> None:
    if engines.missing("fork"):
        pytest.skip("this system cannot fork")
    lines = serve(tmp_path, "--trace-as", "json", "--engine", "fork")
    calls = [json.loads(line) for line in lines]
    accepting = {call["task"] for call in calls if call["call"] == "accept"}
    serving = {call["task"] for call in calls if call["call"] == "recv"}
    assert accepting
    assert serving
    assert not accepting & serving


def test_serve_counted(tmp_path: Path) -> None:
    lines = serve(tmp_path, "--trace-as", "summary")
    assert any(line.split()[3:5] == ["5", "5"] for line in lines)
    assert lines[-1].startswith("errors: EAGAIN ")


def test_the_reader_of_a_servers_trace_goes(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "out")
    with Traced(tmp_path / "out", "serve", "echo", "tcp://127.0.0.1:0", "--trace") as server:
        with (tmp_path / "out").open() as output:
            port = server.port()
            server.connect(port).close()
            assert output.readline().startswith("TIME ")
        for _ in range(3):
            with server.connect(port) as client:
                client.sendall(b"hello")
                assert client.recv(9) == b"hello"
        assert server.terminate() == 0
    gone = [line for line in server.said if "nobody reads the trace any more" in line]
    assert len(gone) == 1


def test_a_file_has_room_for_everything() -> None:
    assert trace_options.width() == trace_options.WIDE == trace.WIDE


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--trace-data", "5"), "--trace-data belongs to --trace"),
        (("--trace-as", "summary", "--workers", "2"), "counts in one process"),
        (("--trace-as", "summary", "--engine", "fork"), "counts in one process"),
        (("--trace-as", "wishes"), "'wishes' is not one of"),
        *(
            (("--trace", "--engine", name), "does not report its calls")
            for name in engines.COMPILED
            if engines.missing(name) is None
        ),
    ],
)
def test_options_that_do_not_fit(options: tuple[str, ...], words: str) -> None:
    said = run("serve", "echo", "tcp://127.0.0.1:0", *options)
    assert (said.returncode, said.stdout) == (2, "")
    assert words in said.stderr
    assert said.stderr.count("\n") == 1
