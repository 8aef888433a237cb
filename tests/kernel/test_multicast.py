"""Groups on the loopback interface: who hears what, joined, left, looped and filtered.

IPv6 has no route for groups on loopback; tests/outside/test_socat_sockets.py has two machines.
"""

from __future__ import annotations

import contextlib
import socket
import sys
import typing as t
from collections.abc import Iterator

import pytest
from tests.support import PATIENCE, has_ipv6

from jackfield.address import Address, Endpoint, resolve
from jackfield.errors import SystemRefused, UsageError
from jackfield.kernel import multicast
from jackfield.kernel.sockets import bind_datagram, bind_datagram_all, dial

linux = pytest.mark.skipif(sys.platform != "linux", reason="Linux's behaviour")

LO: t.Final = "lo" if sys.platform == "linux" else "lo0"
GROUP: t.Final = f"udp://239.255.77.1:0?interface={LO}&ttl=0"
"""Of the range for one's own use (RFC 2365). Nothing leaves the loopback interface."""


def one(text: str) -> Address:
    return resolve(Endpoint.parse(text), passive=True)[0]


@contextlib.contextmanager
def bound(text: str) -> Iterator[socket.socket]:
    with bind_datagram(one(text)) as sock:
        sock.settimeout(PATIENCE)
        yield sock


@contextlib.contextmanager
def dialled(text: str) -> Iterator[socket.socket]:
    with dial(one(text)) as sock:
        sock.settimeout(PATIENCE)
        yield sock


def nothing_came(sock: socket.socket) -> None:
    """Loopback delivers within the send: what is not there now never comes."""
    sock.setblocking(False)
    with pytest.raises(BlockingIOError):
        sock.recv(100)
    sock.settimeout(PATIENCE)


def on_port_of(text: str, sock: socket.socket) -> str:
    return text.replace(":0?", f":{sock.getsockname()[1]}?")


@pytest.mark.parametrize(
    ("text", "group"),
    [
        ("udp://224.0.0.1:1", True),
        ("udp://239.255.255.255:1", True),
        ("udp://223.255.255.255:1", False),
        ("udp://240.0.0.1:1", False),
        ("udp://127.0.0.1:1", False),
        ("udp://[ff02::1]:1", True),
        ("udp://[fe80::1]:1", False),
        ("udp://[::ffff:239.1.2.3]:1", False),
        ("unixgram:/x", False),
    ],
)
def test_what_is_a_group(text: str, group: bool) -> None:
    assert multicast.is_group(one(text)) is group


@pytest.mark.parametrize("interface", [LO, "127.0.0.1"])
def test_every_member_hears_and_the_port_is_shared(interface: str) -> None:
    text = GROUP.replace(LO, interface)
    with bound(text) as first, bound(on_port_of(text, first)) as second:
        with dialled(on_port_of(text, first)) as sender:
            sender.sendto(b"hello", first.getsockname())
            for member in (first, second):
                data, addr = member.recvfrom(100)
                assert data == b"hello"
                assert addr == ("127.0.0.1", sender.getsockname()[1])
        second.sendto(b"from a member", second.getsockname())
        assert first.recv(100) == second.recv(100) == b"from a member"


def test_only_the_group_is_heard() -> None:
    """A member is bound to the group's address, not to every one."""
    with bound(GROUP) as member:
        port = member.getsockname()[1]
        other = f"udp://239.255.77.2:{port}?interface={LO}&ttl=0"
        with bound(other) as neighbour, dialled(other) as sender:
            sender.sendto(b"to the neighbour", neighbour.getsockname())
            sender.sendto(b"to nobody", ("127.0.0.1", port))
            assert neighbour.recv(100) == b"to the neighbour"
            nothing_came(member)
            nothing_came(neighbour)


def test_loop() -> None:
    """What it does shows between two machines: the loopback interface loops by itself."""
    for text, loop in ((GROUP, 1), (GROUP + "&loop=1", 1), (GROUP + "&loop=0", 0)):
        for opened in (bound, dialled):
            with opened(text) as sock:
                assert sock.getsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP) == loop
                multicast.set_loop(sock, not loop)
                assert sock.getsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP) != loop


def test_ttl() -> None:
    with bound(GROUP.replace("ttl=0", "ttl=7")) as sock:
        assert sock.getsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL) == 7
    with bound(GROUP.replace("&ttl=0", "")) as sock:
        assert sock.getsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL) == 1
        multicast.set_ttl(sock, 255)
        assert sock.getsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL) == 255


def test_join_and_leave() -> None:
    with bound(f"udp://0.0.0.0:0?interface={LO}".partition("?")[0]) as sock:
        place = ("239.255.77.3", sock.getsockname()[1])
        group = one(f"udp://{place[0]}:0?interface={LO}")
        if sys.platform == "linux":  # else it hears the groups of the whole machine (ip(7))
            sock.setsockopt(socket.IPPROTO_IP, 49, 0)  # IP_MULTICAST_ALL
        with dialled(GROUP) as sender:
            sender.sendto(b"too early", place)
            nothing_came(sock)
            multicast.join(sock, group)
            sender.sendto(b"in time", place)
            assert sock.recv(100) == b"in time"
            multicast.leave(sock, group)
            sender.sendto(b"too late", place)
            nothing_came(sock)
        with pytest.raises(OSError, match="assign requested address"):
            multicast.leave(sock, group)


@linux
@pytest.mark.parametrize("interface", [LO, "127.0.0.1"])
def test_only_the_source_is_heard(interface: str) -> None:
    text = f"udp://232.255.77.1:0?interface={interface}&ttl=0&source=127.0.0.1"
    with bound(text) as member:
        place = member.getsockname()
        for number in (2, 1):
            with dialled(f"udp://232.255.77.1:{place[1]}?interface=127.0.0.1&ttl=0") as sender:
                sender.bind((f"127.0.0.{number}", 0))
                sender.sendto(b"%d" % number, place)
        assert member.recvfrom(100)[1][0] == "127.0.0.1"
        nothing_came(member)
        multicast.leave(member, one(text))
        with dialled(f"udp://232.255.77.1:{place[1]}?interface=127.0.0.1&ttl=0") as sender:
            sender.bind(("127.0.0.1", 0))
            sender.sendto(b"1", place)
            nothing_came(member)


@pytest.mark.skipif(not has_ipv6(), reason="no IPv6 loopback")
@pytest.mark.parametrize(
    "text",
    [
        f"udp://[ff02::7701]:0?interface={LO}&ttl=3&loop=0",
        f"udp://[ff02::7701%{LO}]:0?ttl=3&loop=0",
        "udp://[ff15::7701]:0?interface=::1&ttl=3&loop=0",
    ],
)
def test_ipv6_members_are_bound_and_set_up(text: str) -> None:
    with bound(text) as first, bound(on_port_of(text, first)) as second:
        assert first.getsockname() == second.getsockname()
        index = socket.if_nametoindex(LO)
        if "ff02" in text:
            assert first.getsockname()[3] == index
        get = first.getsockopt
        assert get(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF) == index
        assert get(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS) == 3
        assert get(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_LOOP) == 0
        multicast.leave(first, one(text))
        with pytest.raises(OSError, match="assign requested address"):
            multicast.leave(first, one(text))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("udp://127.0.0.1:0?ttl=1", "option ttl is for multicast groups: 224.0.0.0 to"),
        ("udp://[::1]:0?interface=lo", "option interface is for multicast groups"),
        ("udp://:0?loop=1", "option loop is for multicast groups"),
        ("udp://127.0.0.1:0?source=127.0.0.1", "option source is for multicast groups"),
        ("udp://239.1.2.3:0?interface=nosuch0", "there is no interface 'nosuch0'; there are: "),
        ("udp://[ff15::7]:0?interface=fe80::7:7:7", "no interface has the address fe80::7:7:7"),
        (f"udp://239.1.2.3:0?interface={LO}&source=::1", "source ::1 is of the other IP version"),
    ],
)
def test_what_cannot_be_met_is_said(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        bind_datagram_all(Endpoint.parse(text))


@linux
def test_an_interface_that_does_not_exist_by_address() -> None:
    with pytest.raises(SystemRefused, match="no interface leads to this group; name one"):
        bind_datagram(one("udp://239.1.2.3:0?interface=192.0.2.254"))


def test_a_port_that_another_took_for_itself() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as owner:
        owner.bind(("0.0.0.0", 0))
        text = GROUP.replace(":0?", f":{owner.getsockname()[1]}?")
        with pytest.raises(SystemRefused, match="in use by this process"):
            bind_datagram(one(text))


def test_source_is_refused_where_it_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    address = one(f"udp://232.255.77.1:0?interface={LO}&source=127.0.0.1")
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(UsageError, match="option source is for Linux only"):
        bind_datagram(address)
