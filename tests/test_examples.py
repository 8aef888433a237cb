"""Each example, run as a reader runs it, with real clients."""

from __future__ import annotations

import contextlib
import re
import selectors
import signal
import socket
import subprocess
import sys
import typing as t
from collections.abc import Iterator
from pathlib import Path

import pytest

from jackfield.address import Endpoint, resolve
from jackfield.kernel.sockets import bind_datagram

EXAMPLES: t.Final = Path(__file__).parent.parent / "examples"
ANY_PORT: t.Final = "tcp://127.0.0.1:0"
PATIENCE: t.Final = 20.0
"""Seconds until something that never comes is given up: far more than a loaded machine needs."""

Connect: t.TypeAlias = t.Callable[[], socket.socket]


def first_line(process: subprocess.Popen[str]) -> str:
    """The first line on standard error, or a failure that says what came instead."""
    assert process.stderr is not None
    with selectors.DefaultSelector() as selector:
        selector.register(process.stderr, selectors.EVENT_READ)
        if not selector.select(PATIENCE):
            pytest.fail("the example says nothing")
    return process.stderr.readline()


@contextlib.contextmanager
def served(*command: str) -> Iterator[Connect]:
    """Run a server; give a function that connects to it; end it as Ctrl-C does."""
    with subprocess.Popen([sys.executable, *command], stderr=subprocess.PIPE, text=True) as process:
        try:
            line = first_line(process)
            found = re.match(r"listening tcp://127\.0\.0\.1:(\d+) ", line)
            assert found, line
            port = int(found[1])
            yield lambda: socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
            process.send_signal(signal.SIGINT)
            assert process.wait(PATIENCE) == 0
        finally:
            process.kill()


def receive(client: socket.socket, size: int) -> bytes:
    """Exactly ``size`` bytes."""
    data = b""
    while len(data) < size and (more := client.recv(size - len(data))):
        data += more
    return data


def rest(client: socket.socket) -> bytes:
    """All until the end of the stream."""
    with client.makefile("rb") as stream:
        return stream.read()


def say(said: bytes, by: socket.socket, to: list[socket.socket]) -> None:
    """``by`` sends it, and every one of ``to`` receives that next."""
    by.sendall(said)
    assert [receive(client, len(said)) for client in to] == [said] * len(to)


def test_room() -> None:
    # The example is short because it names its port; a test must not.
    source = (EXAMPLES / "room.py").read_text()
    assert source.count("tcp://127.0.0.1:8888") == 1
    with (
        served("-c", source.replace("tcp://127.0.0.1:8888", ANY_PORT)) as connect,
        connect() as alice,
    ):
        say(b"first\n", by=alice, to=[alice])
        with connect() as bob:
            say(b"here I am\n", by=bob, to=[alice, bob])
            say(b"hello\n", by=alice, to=[alice, bob])
        say(b"alone again\n", by=alice, to=[alice])


def test_echo() -> None:
    with served(str(EXAMPLES / "echo.py"), ANY_PORT) as connect, connect() as client:
        assert receive(client, 7) == b"Hello\r\n"
        client.sendall(b"one two")
        assert receive(client, 7) == b"one two"
        client.shutdown(socket.SHUT_WR)
        assert rest(client) == b""


def test_adder() -> None:
    with (
        served(str(EXAMPLES / "adder.py"), ANY_PORT) as connect,
        connect() as first,
        connect() as second,
    ):
        first.sendall(b"5\r\n-7\ntwo\n" + b"1" * 41 + b"\n" + b"1" * 40 + b"\nquit\n1\n")
        second.sendall(b"40\n2")
        second.shutdown(socket.SHUT_WR)
        assert rest(first).split(b"\r\n") == [
            b"5",
            b"-2",
            b"write a whole number, or quit",
            b"a number has at most 40 digits",
            b"1" * 38 + b"09",
            b"",
        ]
        assert rest(second) == b"40\r\n42\r\n"


def test_embed() -> None:
    said = subprocess.run(
        [sys.executable, EXAMPLES / "embed.py"],
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE,
    )
    assert re.fullmatch(r"tcp://127\.0\.0\.1:\d+ answers HELLO\n", said.stdout)
    assert said.stderr == ""


def test_async_handle() -> None:
    with (
        served(str(EXAMPLES / "async_handle.py"), ANY_PORT) as connect,
        connect() as first,
        connect() as second,
    ):
        first.sendall(b"127.0.0.1\r\n::1\nwhat\xff\n")
        second.sendall(b"127.0.0.2")  # an address is its own name: nobody is asked
        second.shutdown(socket.SHUT_WR)
        assert rest(second) == b"127.0.0.2\r\n"
        first.shutdown(socket.SHUT_WR)
        *addresses, refused, end = rest(first).split(b"\r\n")
        assert addresses == [b"127.0.0.1", b"::1"]
        assert refused.startswith(b"no: 'ascii' codec can't decode byte 0xff")
        assert end == b""


@pytest.mark.skipif(sys.platform != "linux", reason="its interface is lo, Linux's name")
def test_multicast_chat() -> None:
    with bind_datagram(resolve(Endpoint.parse("udp://239.255.7.7:0?interface=lo"))[0]) as hearer:
        port = hearer.getsockname()[1]  # its port is ours for sure, and it hears all
        hearer.settimeout(PATIENCE)
        command = [sys.executable, str(EXAMPLES / "multicast_chat.py")]
        where = f"udp://239.255.7.7:{port}?interface=lo"
        with contextlib.ExitStack() as stack:
            alice, bob = (
                stack.enter_context(
                    subprocess.Popen(
                        [*command, name, where], stdin=subprocess.PIPE, stdout=subprocess.PIPE
                    )
                )
                for name in ("alice", "bob")
            )
            arrived = {hearer.recv(100) for _ in range(2)}
            assert arrived == {b"* alice is here", b"* bob is here"}
            alice_heard, _ = alice.communicate(b"hello\n\x1b[2J\n", PATIENCE)
            assert [hearer.recv(100) for _ in range(3)] == [
                b"<alice> hello",
                b"<alice> \x1b[2J",
                b"* alice is gone",
            ]
            bob_heard, _ = bob.communicate(b"bye", PATIENCE)
        assert b"<alice> hello\n<alice> \\x1b[2J\n" in alice_heard
        wanted = b"<alice> hello\n<alice> \\x1b[2J\n* alice is gone\n<bob> bye\n"
        assert wanted in bob_heard
        assert alice.returncode == bob.returncode == 0


BOTH_AT_ONCE: t.Final = ["accepted a client; it may take its time"] * 2
ONE_BY_ONE: t.Final = "accepted a client; nobody else is served now"
SERVED: t.Final = [
    "served two",
    "served one",
    "a client read: hello one",
    "a client read: hello two",
]
SQUARE: t.Final = {
    "blocking_synchronous": [
        *(ONE_BY_ONE, "served one", ONE_BY_ONE, "served two"),
        *("a client read: hello one", "a client read: hello two"),
    ],
    "nonblocking_synchronous": [*BOTH_AT_ONCE, *SERVED, r"asked \d+ times in vain \(EAGAIN\)"],
    "blocking_asynchronous": [*BOTH_AT_ONCE, *SERVED, r"waited [3-5] times, never in vain"],
    "nonblocking_asynchronous": [
        *BOTH_AT_ONCE,
        *("served two", "a client read: hello two", "served one", "a client read: hello one"),
    ],
}
"""What each quarter of the square prints. The first client speaks last, and only where all others
wait for it is it served first."""


@pytest.mark.parametrize("quarter", SQUARE)
def test_square(quarter: str) -> None:
    said = subprocess.run(
        [sys.executable, "-W", "error", EXAMPLES / "square" / f"{quarter}.py"],
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE,
    )
    assert re.fullmatch("\n".join(SQUARE[quarter]) + "\n", said.stdout), said.stdout
    assert said.stderr == ""


def test_no_example_is_forgotten() -> None:
    assert {path.stem for path in (EXAMPLES / "square").iterdir() if path.suffix} == set(SQUARE)
    tested = {name.removeprefix("test_") for name in globals() if name.startswith("test_")}
    assert {path.stem for path in EXAMPLES.glob("*.py")} <= tested
