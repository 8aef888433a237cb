"""The small services over UDP: right answers, and no weapon."""

from __future__ import annotations

import socket
import time
import typing as t
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jackfield.protocol import DatagramProtocol
from jackfield.server import Server
from jackfield.services import ServiceOptions, make
from jackfield.services.small import daytime, seconds_since_1900
from jackfield.services.small_datagrams import (
    SMALL_SERVICE_PORTS,
    TRAFFIC_CLASS,
    DaytimeDatagrams,
    DiscardDatagrams,
    EchoDatagrams,
    SmallDatagrams,
    TimeDatagrams,
)

CLIENT: t.Final = ("127.0.0.1", 50_000)
SERVICES: t.Final = (EchoDatagrams, DiscardDatagrams, DaytimeDatagrams, TimeDatagrams)


class FakeTransport:
    """A bound datagram socket that keeps what was sent."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.mark: int | None = None
        self.sent: list[tuple[bytes, t.Any]] = []

    def get_extra_info(self, name: str, default: t.Any = None) -> t.Any:
        return ("127.0.0.1", self.port) if name == "sockname" else default

    def ignore_marked(self, traffic_class: int) -> None:
        self.mark = traffic_class

    def sendto(self, data: bytes, addr: t.Any = None) -> None:
        self.sent.append((data, addr))


def bound(
    service: type[SmallDatagrams], own_ports: set[int] | None = None, port: int = 5000
) -> tuple[SmallDatagrams, FakeTransport]:
    protocol = service(set() if own_ports is None else own_ports, clock=lambda: 0.0)
    transport = FakeTransport(port)
    protocol.connection_made(transport)
    return protocol, transport


# --- answers ---------------------------------------------------------------------------------


@pytest.mark.parametrize("request_", [b"", b"x", b"\0" * 65_507])
def test_echo_sends_the_datagram_back_to_where_it_came_from(request_: bytes) -> None:
    echo, transport = bound(EchoDatagrams)
    echo.datagram_received(request_, CLIENT)
    assert transport.sent == [(request_, CLIENT)]


def test_an_ipv6_address_is_answered_whole() -> None:
    echo, transport = bound(EchoDatagrams)
    address = ("fe80::1", 50_000, 0, 2)
    echo.datagram_received(b"x", address)
    assert transport.sent == [(b"x", address)]


def test_discard_answers_nothing() -> None:
    discard, transport = bound(DiscardDatagrams)
    discard.datagram_received(b"x" * 100, CLIENT)
    assert not transport.sent
    assert discard.ignored == 1


@pytest.mark.parametrize(
    ("service", "answer"),
    [(TimeDatagrams, seconds_since_1900(0)), (DaytimeDatagrams, daytime(0))],
)
def test_time_and_daytime_answer_requests_as_long_as_the_answer(
    service: type[SmallDatagrams], answer: bytes
) -> None:
    protocol, transport = bound(service)
    for shorter in (0, 1, len(answer) - 1):
        protocol.datagram_received(b"x" * shorter, CLIENT)
    assert not transport.sent
    assert protocol.ignored == 3
    protocol.datagram_received(b"x" * len(answer), CLIENT)
    assert transport.sent == [(answer, CLIENT)]


# --- no weapon -------------------------------------------------------------------------------


@given(
    service=st.sampled_from(SERVICES),
    request=st.binary(max_size=100),
    port=st.integers(0, 65_535),
    own_ports=st.sets(st.integers(1, 65_535), max_size=3),
)
def test_no_answer_is_larger_than_its_request_or_goes_to_a_small_service(
    service: type[SmallDatagrams], request: bytes, port: int, own_ports: set[int]
) -> None:
    protocol, transport = bound(service, own_ports)
    protocol.datagram_received(request, ("192.0.2.1", port))
    for answer, (_, to) in transport.sent:
        assert len(answer) <= len(request)
        assert to == port
        assert to not in SMALL_SERVICE_PORTS | own_ports | {5000}
    assert len(transport.sent) + protocol.ignored == 1


@pytest.mark.parametrize("port", [7, 9, 13, 17, 19, 37])
def test_the_ports_of_small_services_are_never_answered(port: int) -> None:
    echo, transport = bound(EchoDatagrams)
    echo.datagram_received(b"loop?", ("192.0.2.1", port))
    assert not transport.sent


def test_sockets_of_one_server_do_not_answer_each_other() -> None:
    factory = make("echo", ServiceOptions()).datagram
    assert factory is not None
    ends = [(factory(), FakeTransport(port)) for port in (6001, 6002)]
    for protocol, transport in ends:
        protocol.connection_made(transport)
    for protocol, transport in ends:
        for port in (6001, 6002):
            protocol.datagram_received(b"loop?", ("127.0.0.1", port))
        assert not transport.sent


def test_every_small_service_marks_what_it_sends() -> None:
    for service in SERVICES:
        assert bound(service)[1].mark == TRAFFIC_CLASS


# --- over the reactor ------------------------------------------------------------------------


class Watched(EchoDatagrams):
    """Echo whose transport and requests can be seen from the test."""

    __slots__ = ("transport", "unmarked")

    def connection_made(self, transport: t.Any) -> None:
        self.transport = transport
        self.unmarked = 0
        super().connection_made(transport)

    def datagram_received(self, data: bytes, addr: t.Any) -> None:
        self.unmarked += 1
        super().datagram_received(data, addr)


class Naive(DatagramProtocol):
    """An echo without any of the precautions; it gives up after ten answers."""

    def __init__(self) -> None:
        self.received = 0

    def connection_made(self, transport: t.Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: t.Any) -> None:
        self.received += 1
        if self.received <= 10:
            self.transport.sendto(data, addr)


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.005)


def ask(server: Server, request: bytes) -> bytes:
    address = server.addresses[0]
    with socket.socket(address.family, socket.SOCK_DGRAM) as client:
        client.settimeout(10)
        client.sendto(request, t.cast(t.Any, address.sockaddr))
        return client.recv(70_000)


def forged(host: str, make_protocol: Callable[[], t.Any]) -> tuple[Server, Server]:
    """Two servers on ports of the kernel's choice. The first has a datagram waiting whose source
    is the second: it was sent from there before the second server began. Neither runs yet."""
    endpoint = f"udp://{host}:0"
    one = Server(endpoint, make_protocol)
    one.open()
    target = one.addresses[0]
    with socket.socket(target.family, socket.SOCK_DGRAM) as forger:
        forger.bind((host.strip("[]"), 0))
        source = forger.getsockname()
        forger.sendto(b"round and round", t.cast(t.Any, target.sockaddr))
    two = Server(f"udp://{host}:{source[1]}", make_protocol)
    return one, two


HOSTS: t.Final = ("127.0.86.7", "[::1]")
"""An address of the loopback network that nobody else uses, and IPv6."""


@pytest.fixture(params=HOSTS)
def host(request: pytest.FixtureRequest) -> str:
    if request.param == "[::1]":
        try:
            with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
                probe.bind(("::1", 0))
        except OSError as exc:
            pytest.skip(f"no IPv6 loopback here: {exc}")
    return str(request.param)


def test_two_echo_servers_cannot_be_made_to_loop(host: str) -> None:
    made: list[Watched] = []

    def factory() -> Watched:
        made.append(Watched(set()))
        return made[-1]

    one, two = forged(host, factory)
    with two, one:  # the second listens before the first answers the forged request
        first, second = made
        eventually(lambda: second.transport.ignored == 1)
        # Whatever else they had to say to each other would have been said before these answers.
        for server in (one, two, one, two):
            assert ask(server, b"and now?") == b"and now?"
        assert (first.unmarked, first.transport.ignored) == (3, 0)  # the forged one and ours
        assert (second.unmarked, second.transport.ignored) == (2, 1)


def test_the_forged_datagram_would_make_careless_servers_loop(host: str) -> None:
    """The test above tests something."""
    made: list[Naive] = []

    def factory() -> Naive:
        made.append(Naive())
        return made[-1]

    one, two = forged(host, factory)
    with two, one:
        eventually(lambda: min(protocol.received for protocol in made) >= 10)


def test_each_service_answers_over_the_reactor() -> None:
    long = b"x" * 100
    for name in ("echo", "daytime", "time"):
        service = make(name, ServiceOptions())
        with Server(
            "udp://127.0.0.1:0", service.stream, datagram_factory=service.datagram
        ) as server:
            answer = ask(server, long)
            expected = {"echo": answer == long, "time": len(answer) == 4}
            assert expected.get(name, answer.endswith(b"-UTC\r\n"))
            assert len(answer) <= len(long)


def test_the_largest_datagram_comes_back() -> None:
    service = make("echo", ServiceOptions())
    with Server("udp://127.0.0.1:0", service.stream, datagram_factory=service.datagram) as server:
        assert ask(server, b"z" * 65_507) == b"z" * 65_507
