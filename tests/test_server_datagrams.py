"""Server with datagram endpoints of every kind: UDP, a group, Unix; several at a time."""

from __future__ import annotations

import os
import socket
import stat
import sys
import typing as t
from pathlib import Path

import pytest
from tests.support import PATIENCE, lowest_free

from jackfield import DatagramProtocol, Server, UsageError
from jackfield.errors import SystemRefused
from jackfield.services.echo import Echo

linux = pytest.mark.skipif(sys.platform != "linux", reason="Linux's interfaces and names")


class Named(DatagramProtocol):
    """Answers with its socket's name before what it was sent."""

    transport: t.Any

    def connection_made(self, transport: t.Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: t.Any) -> None:
        name = self.transport.get_extra_info("sockname")
        self.transport.sendto(f"{name} ".encode() + data, addr)


def asked(family: int, here: t.Any, there: t.Any) -> bytes:
    """What is answered to a client at ``here`` who asks ``there``."""
    with socket.socket(family, socket.SOCK_DGRAM) as client:
        client.settimeout(PATIENCE)
        client.bind(here)
        if family == socket.AF_INET and there[0].startswith("239."):
            interface = socket.inet_aton("127.0.0.1")
            client.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, interface)
        client.sendto(b"hello", there)
        return client.recv(1000)


@linux
def test_one_protocol_for_each_socket(short_directory: Path) -> None:
    made: list[Named] = []

    def make() -> Named:
        made.append(Named())
        return made[-1]

    path = f"{short_directory}/s"
    endpoints = [
        "udp://127.0.0.1:0",
        "udp://239.255.77.5:0?interface=lo&ttl=0",
        f"unixgram:{path}?mode=0622",
        "tcp://127.0.0.1:0",
    ]
    with Server(endpoints, Echo, datagram_factory=make) as server:
        tcp, udp, group, unix = server.addresses
        assert tcp.scheme == "tcp"
        assert str(group) == f"udp://239.255.77.5:{group.port}"
        assert str(unix) == f"unixgram:{path}"
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o622
        for address, family, here in (
            (udp, socket.AF_INET, ("127.0.0.1", 0)),
            (group, socket.AF_INET, ("127.0.0.1", 0)),
            (unix, socket.AF_UNIX, f"{short_directory}/client"),
        ):
            there = address.sockaddr
            assert asked(family, here, there) == f"{there!s} hello".encode()
        assert len(made) == 3
        described = server.describe()
    assert [line.split()[1] for line in described] == [str(a) for a in server.addresses]
    assert not os.path.exists(path)


def test_a_stream_protocol_for_unix_datagrams(short_directory: Path) -> None:
    server = Server([f"unixgram:{short_directory}/s"], Echo)
    with pytest.raises(UsageError, match="Echo serves streams; for datagrams give a protocol with"):
        server.open()
    assert list(short_directory.iterdir()) == []


@linux
def test_nothing_is_left_when_one_of_several_is_refused(short_directory: Path) -> None:
    before = lowest_free()
    path = f"{short_directory}/s"
    good = [f"unixgram:{path}", "udp://239.255.77.5:0?interface=lo", "udp://127.0.0.1:0"]
    for bad, error in (
        (f"unixgram:{short_directory}/none/s", SystemRefused),
        ("udp://239.255.77.5:0?interface=nosuch0", UsageError),
        ("udp://127.0.0.1:0?ttl=1", UsageError),
    ):
        with pytest.raises(error):
            Server([*good, bad], Named).open()
        assert not os.path.exists(path)
        assert lowest_free() == before
