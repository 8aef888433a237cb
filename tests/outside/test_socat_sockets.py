"""socat as the other side of UDP, multicast, broadcast and Unix sockets.

On loopback where that will do, else between two machines (``namespaces``).
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import sys
import typing as t
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.outside.namespaces import INTERFACE, Machine, two_machines
from tests.outside.programs import Program, ask, need

from jackfield.address import Address
from jackfield.server import Server
from jackfield.services import ServiceOptions, make

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Linux's interfaces and names")

JACKFIELD: t.Final = (sys.executable, "-m", "jackfield")
GIVES_UP: t.Final = ("socat", "-t", "0.3")
"""How long it waits, in seconds, for an answer that must not come."""
PORT: t.Final = "7007"
"""On a machine of one's own no port is taken."""


@contextlib.contextmanager
def echoing(*endpoints: str) -> Iterator[list[Address]]:
    service = make("echo", ServiceOptions())
    with Server(endpoints, service.stream, datagram_factory=service.datagram) as server:
        yield server.addresses


def started(program: Program) -> Program:
    """A socat with ``-d -d``, once it listens to its socket."""
    while "starting data transfer loop" not in program.read_line():
        pass
    return program


def heard(program: Program) -> str:
    """The next line that is not of that socat's log."""
    while " socat[" in (line := program.read_line()):
        pass
    return line


def answered(line: str, address: str, by: Machine | None = None) -> None:
    """A socat sends ``line`` and is sent it back."""
    command = ("socat", "-", address)
    with by.run(*command) if by else Program(*command) as client:
        client.type(line)
        assert client.read_line() == line


# --- on loopback -----------------------------------------------------------------------------


def test_udp() -> None:
    need("socat")
    with echoing("udp://127.0.0.1:0") as (address,):
        answered("hello", f"UDP4:127.0.0.1:{address.port}")
        answered("datagram", f"UDP4-DATAGRAM:127.0.0.1:{address.port}")


def test_multicast_from_socat() -> None:
    need("socat")
    with echoing("udp://239.255.77.1:0?interface=lo&ttl=0") as (group,):
        through = "ip-multicast-if=127.0.0.1"
        answered("hello", f"UDP4-DATAGRAM:239.255.77.1:{group.port},{through}")


def test_multicast_to_socat() -> None:
    need("socat")
    with socket.socket(type=socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))  # of another address than the group, so that both can be bound
        port = free.getsockname()[1]
        member = f"UDP4-RECV:{port},bind=239.255.77.1,ip-add-membership=239.255.77.1:127.0.0.1"
        with Program("socat", "-d", "-d", "-u", member, "-") as socat:
            started(socat)
            endpoint = f"udp://239.255.77.1:{port}?interface=lo&ttl=0"
            with Program(*JACKFIELD, "connect", endpoint) as client:
                client.type("hello")
                assert heard(socat) == "hello"


def test_unix_with_a_mode_and_a_list_of_users(short_directory: Path) -> None:
    need("socat")
    path = short_directory / "s"
    with echoing(f"unix:{path}?mode=0660&uid={os.geteuid()}"):
        assert path.stat().st_mode & 0o777 == 0o660
        answered("hello", f"UNIX-CONNECT:{path}")
    with echoing(f"unix:{path}?uid={os.geteuid() + 1}"):
        # Its line is lost: it meets a connection that is closed already, or closing.
        assert ask("socat", "-", f"UNIX-CONNECT:{path}", typed=b"hello\n") == b""


def test_unix_datagrams_from_socat(short_directory: Path) -> None:
    need("socat")
    path, client = short_directory / "s", short_directory / "client"
    name = f"@jackfield-socat-{os.getpid()}"
    with echoing(f"unixgram:{path}", f"unixgram:{name}"):
        answered("hello", f"UNIX-SENDTO:{path},bind={client}")
        answered("abstract", f"ABSTRACT-SENDTO:{name[1:]},bind={name[1:]}-client")
        # Without a name it cannot be answered; the others still are.
        assert ask(*GIVES_UP, "-", f"UNIX-SENDTO:{path}", typed=b"who am I?\n") == b""
        answered("hello", f"UNIX-SENDTO:{path},bind={client}-2")


def test_unix_datagrams_to_socat(short_directory: Path) -> None:
    need("socat")
    path = short_directory / "s"
    with Program("socat", "-d", "-d", f"UNIX-RECVFROM:{path},fork", "EXEC:cat") as socat:
        while "receiving on" not in socat.read_line():
            pass
        with Program(*JACKFIELD, "connect", f"unixgram:{path}") as client:
            client.type("hello")
            assert client.read_line() == "hello"


# --- between two machines --------------------------------------------------------------------


@pytest.fixture(scope="module")
def machines() -> Iterator[tuple[Machine, Machine]]:
    need("socat")
    with two_machines() as both:
        yield both


@contextlib.contextmanager
def echo_on(machine: Machine, endpoint: str) -> Iterator[None]:
    with machine.run(*JACKFIELD, "serve", "echo", endpoint) as server:
        assert re.match(r"listening udp://", server.read_line())
        yield


@pytest.mark.parametrize(
    ("group", "kind"),
    [("239.255.77.1", "UDP4"), ("[ff15::7701]", "UDP6"), ("[ff02::7701]", "UDP6")],
)
def test_multicast_is_answered(machines: tuple[Machine, Machine], group: str, kind: str) -> None:
    here, there = machines
    with echo_on(here, f"udp://{group}:{PORT}?interface={INTERFACE}&ttl=1"):
        scoped = group.replace("]", f"%{INTERFACE}]") if "ff02" in group else group
        answered("hello", f"{kind}-DATAGRAM:{scoped}:{PORT}", by=there)
        answered("neighbour", f"{kind}-DATAGRAM:{scoped}:{PORT}", by=here)


@pytest.mark.parametrize(
    ("endpoint", "member"),
    [
        (
            f"udp://239.255.77.1:{PORT}?interface=",
            f"UDP4-RECV:{PORT},ip-add-membership=239.255.77.1:{INTERFACE}",
        ),
        (
            f"udp://[ff15::7701]:{PORT}?interface=",
            f"UDP6-RECV:{PORT},ipv6-join-group=[ff15::7701]:{INTERFACE}",
        ),
    ],
)
def test_loop(machines: tuple[Machine, Machine], endpoint: str, member: str) -> None:
    """Without it what is sent reaches the other machine alone. socat is the member on both."""
    here, there = machines
    receive = ("socat", "-d", "-d", "-u", member, "-")
    with here.run(*receive) as near, there.run(*receive) as far:
        started(near)
        started(far)
        for said, loop in (("to you", 0), ("to us", 1)):
            talk = (*JACKFIELD, "connect", f"{endpoint}{INTERFACE}&loop={loop}")
            with here.run(*talk) as client:
                client.type(said)
                assert heard(far) == said
        assert heard(near) == "to us"


@pytest.mark.parametrize("interface", [INTERFACE, "10.77.0.1"])
def test_only_the_source_is_heard(machines: tuple[Machine, Machine], interface: str) -> None:
    here, there = machines
    options = f"interface={interface}&source={there.address}"
    with echo_on(here, f"udp://232.255.77.1:{PORT}?{options}"):
        to_group = f"UDP4-DATAGRAM:232.255.77.1:{PORT}"
        stranger = here.command(*GIVES_UP, "-", f"{to_group},bind={here.address}")
        assert ask(*stranger, typed=b"and I?\n") == b""
        answered("hello", to_group, by=there)


def test_only_the_source_is_heard_over_ipv6(machines: tuple[Machine, Machine]) -> None:
    here, there = machines
    options = f"interface={here.address_ipv6}&source={there.address_ipv6}"
    with echo_on(here, f"udp://[ff35::7701]:{PORT}?{options}"):
        to_group = f"UDP6-DATAGRAM:[ff35::7701]:{PORT}"
        stranger = here.command(*GIVES_UP, "-", f"{to_group},bind=[{here.address_ipv6}]")
        assert ask(*stranger, typed=b"and I?\n") == b""
        answered("hello", to_group, by=there)


def test_broadcast(machines: tuple[Machine, Machine]) -> None:
    here, there = machines
    for endpoint in (f"udp://0.0.0.0:{PORT}", f"udp://10.77.0.255:{PORT}"):
        with echo_on(here, endpoint):
            answered("hello", f"UDP4-DATAGRAM:10.77.0.255:{PORT},broadcast", by=there)
    for to in ("10.77.0.255", "255.255.255.255"):
        with there.run("socat", "-d", "-d", "-u", f"UDP4-RECV:{PORT}", "-") as socat:
            started(socat)
            endpoint = f"udp://{to}:{PORT}?broadcast=1"
            with here.run(*JACKFIELD, "connect", endpoint) as client:
                client.type("hello")
                assert heard(socat) == "hello"
