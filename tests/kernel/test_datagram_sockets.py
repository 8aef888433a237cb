"""Datagram sockets, bound and dialled: broadcast, Unix names and files."""

from __future__ import annotations

import errno
import os
import socket
import stat
import sys
from pathlib import Path

import pytest
from tests.support import PATIENCE

from jackfield.address import Address, Endpoint, resolve
from jackfield.errors import SystemRefused, UsageError
from jackfield.kernel.datagram_sockets import answers_from_elsewhere, target
from jackfield.kernel.sockets import bind_datagram, connect_error, dial, listen

linux = pytest.mark.skipif(sys.platform != "linux", reason="Linux's behaviour")


def one(text: str) -> Address:
    return resolve(Endpoint.parse(text), passive=True)[0]


# --- broadcast -------------------------------------------------------------------------------


@linux
def test_broadcast_is_a_decision() -> None:
    with bind_datagram(one("udp://127.255.255.255:0")) as hearer:
        hearer.settimeout(PATIENCE)
        place = hearer.getsockname()
        with bind_datagram(one("udp://127.0.0.1:0")) as sender, pytest.raises(PermissionError):
            sender.sendto(b"to everybody", place)
        with bind_datagram(one("udp://127.0.0.1:0?broadcast=0")) as sender:
            assert not sender.getsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST)
        with bind_datagram(one("udp://127.0.0.1:0?broadcast=1")) as sender:
            sender.sendto(b"to everybody", place)
            assert hearer.recvfrom(100) == (b"to everybody", sender.getsockname())


@linux
def test_a_dialled_broadcast_is_answered_by_whoever_hears_it() -> None:
    with bind_datagram(one("udp://127.255.255.255:0")) as hearer:
        address = one(f"udp://127.255.255.255:{hearer.getsockname()[1]}?broadcast=1")
        assert answers_from_elsewhere(address)
        with dial(address) as client, socket.socket(type=socket.SOCK_DGRAM) as answerer:
            assert connect_error(client) is None
            client.sendto(b"who is there?", target(address))
            hearer.settimeout(PATIENCE)
            data, addr = hearer.recvfrom(100)
            assert data == b"who is there?"
            answerer.sendto(b"I", addr)
            client.settimeout(PATIENCE)
            assert client.recv(100) == b"I"


def test_options_for_servers_are_not_dialled() -> None:
    for text in ("unix:/x?mode=0660", "unix:/x?uid=0", "unixgram:/x?mode=0660"):
        with pytest.raises(UsageError, match=r"option \w+ is for servers"):
            dial(one(text))
    with pytest.raises(UsageError, match="option source is for servers"):
        dial(one("udp://232.1.1.1:1?interface=lo&source=127.0.0.1"))
    with pytest.raises(UsageError, match="option ttl is for multicast groups"):
        dial(one("udp://127.0.0.1:1?ttl=1"))


# --- Unix ------------------------------------------------------------------------------------


def test_a_file_as_long_as_the_socket(short_directory: Path) -> None:
    path = short_directory / "s"
    with bind_datagram(one(f"unixgram:{path}")) as sock:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert str(Address.of(sock)) == f"unixgram:{path}"
        assert not sock.getblocking()
        assert not os.get_inheritable(sock.fileno())
        with pytest.raises(SystemRefused, match="in use by this process"):
            bind_datagram(one(f"unixgram:{path}"))
        with pytest.raises(SystemRefused, match="in use by this process"):
            listen(one(f"unix:{path}"))
    assert not path.exists()
    sock.close()


@pytest.mark.parametrize("mode", ["0660", "0222", "0600"])
def test_the_mode_that_was_asked_for(short_directory: Path, mode: str) -> None:
    before = os.umask(0o077)  # which does not count
    try:
        with bind_datagram(one(f"unixgram:{short_directory}/s?mode={mode}")):
            assert stat.S_IMODE((short_directory / "s").stat().st_mode) == int(mode, 8)
    finally:
        os.umask(before)


def test_a_dead_ones_file_is_replaced_and_a_strangers_is_left(short_directory: Path) -> None:
    path = short_directory / "s"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as dead:
        dead.bind(str(path))
    with bind_datagram(one(f"unixgram:{path}")) as sock:
        assert sock.getsockname() == str(path)
        path.unlink()
        path.write_text("somebody else's")
    assert path.exists()
    with pytest.raises(SystemRefused, match="exists and is not a socket; not removed"):
        bind_datagram(one(f"unixgram:{path}"))


def test_a_living_one_that_talks_to_another_is_not_replaced(short_directory: Path) -> None:
    """Connecting to it is refused with EPERM, which is no reason to remove it."""
    path = short_directory / "s"
    with (
        bind_datagram(one(f"unixgram:{path}")) as sock,
        bind_datagram(one(f"unixgram:{short_directory}/peer")),
    ):
        sock.connect(str(short_directory / "peer"))
        with pytest.raises(SystemRefused, match="in use") as caught:
            bind_datagram(one(f"unixgram:{path}"))
        assert caught.value.errno == errno.EADDRINUSE


def test_a_directory_that_is_not_there(short_directory: Path) -> None:
    with pytest.raises(SystemRefused, match=r"unixgram:.*/s: the directory .*/none does not exist"):
        bind_datagram(one(f"unixgram:{short_directory}/none/s"))


@linux
def test_abstract_names_have_no_mode() -> None:
    name = f"@jackfield-datagrams-{os.getpid()}"
    with bind_datagram(one(f"unixgram:{name}")) as sock:
        assert str(Address.of(sock)) == f"unixgram:{name}"
        with pytest.raises(SystemRefused, match="in use"):
            bind_datagram(one(f"unixgram:{name}"))
    for scheme, opened in (("unixgram", bind_datagram), ("unix", listen)):
        with pytest.raises(UsageError, match="an abstract name has no file, and so no mode"):
            opened(one(f"{scheme}:{name}?mode=0660"))


@linux
def test_a_dialled_client_can_be_answered(short_directory: Path) -> None:
    address = one(f"unixgram:{short_directory}/s")
    with bind_datagram(address) as server, dial(address) as client:
        assert not answers_from_elsewhere(address)
        assert connect_error(client) is None
        client.send(b"ask")
        data, addr = server.recvfrom(100)
        assert data == b"ask"
        server.sendto(b"answer", addr)
        client.settimeout(PATIENCE)
        assert client.recv(100) == b"answer"
    with pytest.raises(FileNotFoundError):
        dial(address)


def test_a_client_needs_linux(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(UsageError, match="only Linux names a client's socket; use unix:"):
        dial(one("unixgram:/x"))
