"""The packet socket on real loopback: what it hears, what its filter keeps out, what it refuses."""

from __future__ import annotations

import errno
import socket
import subprocess
import sys
import typing as t

import pytest
from tests.outside import wire_traffic as traffic
from tests.support import PATIENCE, has_ipv6, receive

from jackfield.capture import decode, frames
from jackfield.capture.decode import Segment
from jackfield.capture.frames import Frame
from jackfield.errors import SystemRefused, UsageError
from jackfield.kernel.packets import EVERY_INTERFACE, LOOPBACK, PacketSocket, interface_for

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="packet sockets are Linux's")

HERE: t.Final = socket.inet_aton(traffic.HOST)


def segments(found: list[Frame]) -> list[Segment]:
    return [packet for frame in found if isinstance(packet := decode.decode(frame), Segment)]


def test_each_packet_once() -> None:
    with traffic.capturing((HERE, 0)) as capture:
        traffic.conversation()
        heard = segments(capture.read())
    assert len(
        {(each.source, each.seq, each.ack, each.flags, each.length) for each in heard}
    ) == len(heard)
    assert b"".join(each.payload for each in heard) == b"hello\nHELLO\nbye\n"
    assert [each.time for each in heard] == sorted(each.time for each in heard)
    assert {frame.link for frame in capture.frames} == {frames.SLL2}


def test_the_filter_keeps_out_what_is_not_asked_for() -> None:
    with traffic.listener() as wanted, traffic.listener() as unwanted:
        port = wanted.getsockname()[1]
        with traffic.capturing((HERE, port)) as capture:
            for door in (unwanted, wanted):
                socket.create_connection(door.getsockname(), PATIENCE).close()
            with socket.socket(type=socket.SOCK_DGRAM) as sock:
                sock.sendto(b"x", (traffic.HOST, port))
            heard = segments(capture.read())
    assert len(heard) == len(capture.frames) >= 4
    assert all(port in (each.source.port, each.destination.port) for each in heard)


@pytest.mark.skipif(not has_ipv6(), reason="there is no IPv6 loopback")
def test_ipv6() -> None:
    with traffic.listener("::1") as door:
        port = door.getsockname()[1]
        with traffic.capturing((socket.inet_pton(socket.AF_INET6, "::1"), port)) as capture:
            with socket.create_connection(("::1", port), PATIENCE) as client:
                client.sendall(b"hello")
                accepted, _ = door.accept()
                with accepted:
                    receive(accepted, 5)
            heard = segments(capture.read())
    assert str(heard[0].destination) == f"[::1]:{port}"
    assert b"".join(each.payload for each in heard) == b"hello"


def test_every_interface_includes_loopback() -> None:
    with traffic.capturing():
        pass  # skips without permission
    with PacketSocket(EVERY_INTERFACE, [(HERE, 0)]) as sock:
        traffic.conversation()
        heard = segments(list(sock.read()))
    assert len(heard) >= 8
    assert len(
        {(each.source, each.seq, each.ack, each.flags, each.length) for each in heard}
    ) == len(heard)


def test_a_burst_is_read_in_parts() -> None:
    with traffic.capturing((HERE, 0)) as capture:
        traffic.conversation()
        assert len(list(capture._socket.read(3))) == 3
        assert len(list(capture._socket.read(3))) == 3


def test_drops_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jackfield.limits.WIRE_BUFFER", 4096)
    with traffic.capturing((HERE, 0)) as capture:
        for _ in range(20):
            traffic.conversation()
        sock = capture._socket
        heard = len(list(sock.read(10_000)))
        assert sock.count_drops() > 0
        assert heard + sock.count_drops() >= 20 * 8


def test_an_interface_that_is_none() -> None:
    with traffic.capturing():
        pass
    with pytest.raises(UsageError, match=r"there is no interface 'nosuch0' here; there are: .*lo"):
        PacketSocket("nosuch0", [])


def test_without_permission(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> socket.socket:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr("jackfield.kernel.packets.socket.socket", refuse)
    with pytest.raises(SystemRefused, match=r"sudo .*setcap cap_net_raw"):
        PacketSocket(LOOPBACK, [])


def test_an_interface_that_goes_down() -> None:
    """In a network namespace of its own, whose loopback may be taken down."""
    program = """
import subprocess
from jackfield.errors import SystemRefused
from jackfield.kernel.packets import PacketSocket
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
with PacketSocket("lo", []) as sock:
    subprocess.run(["ip", "link", "set", "lo", "down"], check=True)
    try:
        list(sock.read())
    except SystemRefused as exc:
        print(exc)
"""
    run = subprocess.run(
        ["unshare", "--net", sys.executable, "-c", program],
        check=False,
        capture_output=True,
        text=True,
    )
    if run.returncode:
        pytest.skip(f"no network namespace: {run.stderr.strip().splitlines()[-1]}")
    assert run.stdout == "the capture's interface is down\n"


@pytest.mark.parametrize(
    ("hosts", "interface"),
    [
        ([], LOOPBACK),
        (["127.0.0.1", "::1"], LOOPBACK),
        (["127.1.2.3"], LOOPBACK),
        (["127.0.0.1", "10.0.0.1"], EVERY_INTERFACE),
        (["2001:db8::1"], EVERY_INTERFACE),
        ([""], EVERY_INTERFACE),
    ],
)
def test_where_packets_pass(hosts: list[str], interface: str) -> None:
    packed = [
        socket.inet_pton(socket.AF_INET6 if ":" in host else socket.AF_INET, host) if host else b""
        for host in hosts
    ]
    assert interface_for((host, 80) for host in packed) == interface
