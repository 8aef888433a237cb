"""The real command, against jackfield's own server and against plain sockets."""

from __future__ import annotations

import os
import select
import shlex
import signal
import socket
import struct
import subprocess
import sys
import typing as t
from collections.abc import Iterator
from pathlib import Path

import pytest

from jackfield import services
from jackfield.server import Server
from jackfield.services import ServiceOptions

COMMAND: t.Final = [sys.executable, "-m", "jackfield", "connect"]
PATIENCE: t.Final = 20.0
"""Seconds until a test that waits has failed."""


@pytest.fixture
def echo(short_directory: Path) -> Iterator[list[str]]:
    """Endpoints of a running echo server: tcp, unix, udp."""
    service = services.make("echo", ServiceOptions())
    endpoints = ["tcp://127.0.0.1:0", f"unix:{short_directory / 's'}", "udp://127.0.0.1:0"]
    with Server(endpoints, service.stream, datagram_factory=service.datagram) as server:
        yield [str(address) for address in server.addresses]


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE)
        yield listener


def endpoint_of(listener: socket.socket) -> str:
    return f"tcp://127.0.0.1:{listener.getsockname()[1]}"


def run(endpoint: str, words: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*COMMAND, endpoint], input=words, capture_output=True, timeout=PATIENCE, check=False
    )


def start(
    endpoint: str, stdin: int = subprocess.PIPE, stdout: int = subprocess.PIPE
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [*COMMAND, endpoint], stdin=stdin, stdout=stdout, stderr=subprocess.PIPE
    )


def accept(listener: socket.socket) -> socket.socket:
    peer, _ = listener.accept()
    peer.settimeout(PATIENCE)
    return peer


def test_in_a_pipe_the_bytes_pass_unchanged(echo: list[str]) -> None:
    for endpoint in echo:
        done = run(endpoint, b"hi\n\x1b[1m\xff")
        assert (done.returncode, done.stdout, done.stderr) == (0, b"hi\n\x1b[1m\xff", b"")


def test_from_a_file_into_a_file(echo: list[str], tmp_path: Path) -> None:
    words = os.urandom(1024 * 1024)
    (tmp_path / "in").write_bytes(words)
    with (tmp_path / "in").open("rb") as given, (tmp_path / "out").open("wb") as taken:
        subprocess.run([*COMMAND, echo[0]], stdin=given, stdout=taken, timeout=PATIENCE, check=True)
    assert (tmp_path / "out").read_bytes() == words


@pytest.mark.parametrize("redirection", ["<&-", "</dev/null"])
def test_without_input_the_servers_words_come(listener: socket.socket, redirection: str) -> None:
    command = f"exec {shlex.join(COMMAND)} {endpoint_of(listener)} {redirection}"
    client = subprocess.Popen(["sh", "-c", command], stdout=subprocess.PIPE)
    with accept(listener) as peer:
        assert peer.recv(1) == b""
        peer.sendall(b"hello\n")
    assert client.communicate(timeout=PATIENCE)[0] == b"hello\n"
    assert client.returncode == 0


def test_a_reader_that_has_seen_enough(listener: socket.socket) -> None:
    client = start(endpoint_of(listener))
    assert client.stdout
    assert client.stdin
    assert client.stderr
    with client, accept(listener) as peer:
        peer.sendall(b"first\nsecond\n")
        assert client.stdout.readline() == b"first\n"
        client.stdout.close()
        assert peer.recv(1) == b"", "it ends, although we said no more and its input is open"
        assert client.wait(PATIENCE) == 0
        assert client.stderr.read() == b""


def test_refused() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and nobody listens
        endpoint = endpoint_of(taken)
        for scheme in ("tcp", "udp"):
            name = endpoint.replace("tcp", scheme)
            done = run(name, b"hi\n")
            assert done.returncode == 1
            assert done.stderr.decode() == (
                f"jackfield: {name}: connection refused; nobody listens there\n"
            )


def test_no_such_unix_socket(short_directory: Path) -> None:
    done = run(f"unix:{short_directory}/none")
    assert done.returncode == 1
    assert done.stderr.decode() == (
        f"jackfield: unix:{short_directory}/none: there is no such socket\n"
    )


def test_reset(listener: socket.socket) -> None:
    client = start(endpoint_of(listener))
    with accept(listener) as peer:
        peer.sendall(b"last words\n")
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    out, err = client.communicate(timeout=PATIENCE)
    assert client.returncode == 1
    assert out == b"last words\n"
    expected = f"jackfield: {endpoint_of(listener)}: the peer reset the connection\n"
    assert err.decode() == expected


@pytest.mark.parametrize("endpoint", ["nonsense", "tcp://127.0.0.1:70000", "fd://3"])
def test_a_bad_endpoint(endpoint: str) -> None:
    done = run(endpoint)
    assert done.returncode == 2
    assert done.stderr.startswith(b"jackfield: " + endpoint.encode() + b": ")
    assert done.stderr.count(b"\n") == 1


def test_ctrl_c_is_silent(listener: socket.socket) -> None:
    client = start(endpoint_of(listener))
    with accept(listener) as peer:
        peer.sendall(b"x")
        assert client.stdout
        assert client.stdout.read(1) == b"x"  # it is in its loop
        client.send_signal(signal.SIGINT)
        out, err = client.communicate(timeout=PATIENCE)
    assert (client.returncode, out, err) == (130, b"", b"")


def test_on_a_terminal(listener: socket.socket) -> None:
    master, slave = os.openpty()
    client = start(endpoint_of(listener), stdin=slave, stdout=slave)
    os.close(slave)
    with accept(listener) as peer:
        os.write(master, b"typed\n")
        assert peer.recv(100) == b"typed\n", "the line as typed, with its LF"
        peer.sendall(b"\x1b]0;title\x07 caf\xc3")
        peer.sendall(b"\xa9 \xff\r\n")
        shown = b""
        while not shown.endswith(b"\\xff\r\r\n"):
            assert select.select([master], [], [], PATIENCE)[0], shown
            shown += os.read(master, 1000)
        # First the terminal's echo of what was typed; and it sends CR LF for each LF.
        assert shown == "typed\r\n\\x1b]0;title\\x07 café \\xff\r\r\n".encode()
        os.write(master, b"\x04")  # Ctrl-D
        assert peer.recv(100) == b""
    assert client.communicate(timeout=PATIENCE)[1] == b""
    assert client.returncode == 0
    os.close(master)
