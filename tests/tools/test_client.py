"""Dialling an endpoint, address by address, and saying why none answers."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from jackfield.address import Address, Endpoint
from jackfield.errors import AddressError, ConnectError, UsageError
from jackfield.pollers import Poller
from jackfield.tools import client


@pytest.fixture
def poller() -> Iterator[Poller]:
    poller = client.make_poller()
    yield poller
    poller.close()


@pytest.fixture
def refusing() -> Iterator[int]:
    """A port of 127.0.0.1 that is taken, so that nobody else gets it, and where nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


def connected(text: str, poller: Poller, timeout: float = 10.0) -> Address:
    sock, address, broken = client.connect(Endpoint.parse(text), poller, timeout)
    assert broken is None
    with sock:
        assert not sock.getblocking()
        sock.getpeername()
    return address


def test_tcp(poller: Poller) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        text = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        assert str(connected(text, poller)) == text


def test_unix(poller: Poller, short_directory: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(short_directory / "s"))
        listener.listen()
        connected(f"unix:{short_directory / 's'}", poller)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux names a client's socket")
def test_unix_datagrams(poller: Poller, short_directory: Path) -> None:
    path = str(short_directory / "s")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(path)
        connected(f"unixgram:{path}", poller)
        with pytest.raises(ConnectError, match="socket of the other kind; unix: is for streams"):
            connected(f"unix:{path}", poller)
    with pytest.raises(ConnectError, match="connection refused; no server listens on it"):
        connected(f"unixgram:{path}", poller)


@pytest.mark.parametrize(
    "options", ["239.255.77.1:9?interface=127.0.0.1", "127.0.0.1:9?broadcast=1"]
)
def test_answers_may_come_from_anybody(poller: Poller, options: str) -> None:
    sock, _, broken = client.connect(Endpoint.parse(f"udp://{options}"), poller)
    with sock, pytest.raises(OSError, match="not connected"):
        sock.getpeername()
    assert broken is None


def test_options_for_servers(poller: Poller) -> None:
    with pytest.raises(UsageError, match="unix:/x: option uid is for servers"):
        client.connect(Endpoint.parse("unix:/x?uid=0"), poller)


def test_the_next_address_is_tried(
    poller: Poller, refusing: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        dead, alive = (
            Address("tcp", socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", port))
            for port in (refusing, listener.getsockname()[1])
        )
        monkeypatch.setattr(client, "resolve", lambda endpoint: [dead, alive])
        assert connected("tcp://somewhere:1", poller) == alive


def test_refused(poller: Poller, refusing: int) -> None:
    with pytest.raises(ConnectError) as caught:
        connected(f"tcp://127.0.0.1:{refusing}", poller)
    assert str(caught.value) == (
        f"tcp://127.0.0.1:{refusing}: connection refused; nobody listens there"
    )
    assert (caught.value.fault, caught.value.reason) == ("peer", "ECONNREFUSED")


def test_a_connection_that_was_reset_at_once_is_still_heard_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reset = OSError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))
    monkeypatch.setattr(client, "connect_error", lambda sock: reset)
    with socket.create_server(("127.0.0.1", 0)) as listener, tempfile.TemporaryFile() as shown:
        text = f"tcp://127.0.0.1:{listener.getsockname()[1]}"

        def shed() -> None:
            peer, _ = listener.accept()
            peer.sendall(b"too many connections\n")
            peer.close()

        shedding = threading.Thread(target=shed)
        shedding.start()
        with open(os.devnull, "rb") as nothing, pytest.raises(ConnectError) as caught:
            client.converse(Endpoint.parse(text), nothing.fileno(), shown.fileno())
        shedding.join()
        assert str(caught.value) == f"{text}: the peer reset the connection"
        shown.seek(0)
        assert shown.read() == b"too many connections\n"


@pytest.mark.skipif(sys.platform != "linux", reason="others refuse what the backlog cannot hold")
def test_no_answer(poller: Poller) -> None:
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(3):  # one completes; Linux lets the others repeat their SYN
            sock = stack.enter_context(socket.socket())
            sock.setblocking(False)
            sock.connect_ex(listener.getsockname())
        with pytest.raises(ConnectError, match="timed out; the peer does not answer"):
            connected(f"tcp://127.0.0.1:{listener.getsockname()[1]}", poller, timeout=0.05)


@pytest.mark.skipif(sys.platform != "linux", reason="others refuse what the backlog cannot hold")
def test_a_full_unix_backlog(poller: Poller) -> None:
    name = f"jackfield-test-{os.getpid()}"
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket(socket.AF_UNIX))
        listener.bind(f"\0{name}")
        listener.listen(0)
        sock = stack.enter_context(socket.socket(socket.AF_UNIX))
        sock.connect(f"\0{name}")
        with pytest.raises(ConnectError, match=f"^unix:@{name}: the server's backlog is full"):
            connected(f"unix:@{name}", poller)


def test_every_address_is_named_when_their_reasons_differ(
    poller: Poller, monkeypatch: pytest.MonkeyPatch
) -> None:
    addresses = [
        Address("tcp", socket.AF_INET, socket.SOCK_STREAM, (f"127.0.0.{n}", 9)) for n in (1, 2)
    ]
    codes = iter([errno.ECONNREFUSED, errno.ENETUNREACH])

    def dial(address: Address) -> socket.socket:
        raise OSError(code := next(codes), os.strerror(code))

    monkeypatch.setattr(client, "resolve", lambda endpoint: addresses)
    monkeypatch.setattr(client, "dial", dial)
    with pytest.raises(ConnectError) as caught:
        connected("tcp://somewhere:9", poller)
    assert str(caught.value) == (
        "tcp://somewhere:9: no address of it answers: "
        "tcp://127.0.0.1:9 connection refused; nobody listens there; "
        "tcp://127.0.0.2:9 the network is unreachable; this machine has no route there"
    )


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("fd://0", "is inherited, not dialled"),
        ("tcp://127.0.0.1:0", "port 0"),
        ("udp://127.0.0.1:0", "port 0"),
    ],
)
def test_what_nobody_can_dial(poller: Poller, text: str, why: str) -> None:
    with pytest.raises(UsageError, match=f"^{text}: {why}"):
        connected(text, poller)


def test_a_name_without_addresses(poller: Poller) -> None:
    with pytest.raises(AddressError, match="does not resolve"):
        connected("tcp://[fe80::1%nosuchinterface]:9", poller)


def test_an_unknown_error_is_told_in_the_systems_words() -> None:
    exc = OSError(errno.EIO, os.strerror(errno.EIO))
    told = client.failure("tcp://127.0.0.1:9", socket.AF_INET, exc)
    assert (told.fault, told.reason) == ("system", "EIO")
    assert str(told) == f"tcp://127.0.0.1:9: {os.strerror(errno.EIO)}"
