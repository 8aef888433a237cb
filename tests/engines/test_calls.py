"""An instrument that wants calls gets them, under every engine that is not compiled."""

from __future__ import annotations

import socket

import pytest
from tests.support import IN_PROCESS, PATIENCE, receive_all, until

from jackfield import engines
from jackfield.errors import UsageError
from jackfield.instrument import Instrument, SocketCall
from jackfield.kernel.traced_socket import TracedSocket
from jackfield.server import Server
from jackfield.services.echo import Echo
from jackfield.services.small_datagrams import EchoDatagrams

PURE = [name for name in IN_PROCESS if name not in engines.COMPILED]
COMPILED = [name for name in engines.COMPILED if engines.missing(name) is None]


class Notes(Instrument):
    """Keeps every call, of any thread."""

    wants_calls = True

    def __init__(self) -> None:
        self.calls: list[SocketCall] = []

    def called(self, call: SocketCall) -> None:
        self.calls.append(call)


def answering() -> EchoDatagrams:
    return EchoDatagrams(set())


class Connections(Instrument):
    """Wants no calls."""

    def __init__(self) -> None:
        self.socks: list[object] = []

    def connected(self, transport: object) -> None:
        self.socks.append(transport.sock)  # type: ignore[attr-defined]


@pytest.mark.parametrize("engine", PURE)
def test_a_connection(engine: str) -> None:
    notes = Notes()
    with Server("tcp://127.0.0.1:0", Echo, engine=engine, instruments=[notes]) as server:
        here = str(server.addresses[0]).removeprefix("tcp://")
        with socket.create_connection(("127.0.0.1", server.addresses[0].port), PATIENCE) as client:
            there = "{}:{}".format(*client.getsockname())
            client.sendall(b"hello")
            client.shutdown(socket.SHUT_WR)
            assert receive_all(client) == b"hello"
        until(lambda: any(call.call == "close" and call.peer for call in notes.calls))
    accepted = next(call for call in notes.calls if call.call == "accept" and not call.error)
    assert (accepted.local, accepted.detail) == (here, there)
    own = [call for call in notes.calls if call.peer == there and not call.error]
    assert {(call.fd, call.protocol, call.local) for call in own} == {
        (accepted.result, "tcp", here)
    }
    assert sum(call.size for call in own if call.call == "recv") == 5
    assert sum(call.size for call in own if call.call in ("send", "sendmsg")) == 5
    assert own[-1].call == "close"
    assert [call.call for call in notes.calls if not call.peer][-1] == "close", "the listener's"


@pytest.mark.parametrize("engine", [name for name in PURE if name != "iterative"])
def test_datagrams(engine: str) -> None:
    notes = Notes()
    endpoint = "udp://127.0.0.1:0"
    with (
        Server(
            endpoint, Echo, datagram_factory=answering, engine=engine, instruments=[notes]
        ) as server,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client,
    ):
        client.settimeout(PATIENCE)
        client.bind(("127.0.0.1", 0))
        client.sendto(b"hello", server.addresses[0].sockaddr)
        assert client.recv(100) == b"hello"
        there = "{}:{}".format(*client.getsockname())
        until(lambda: any(call.call == "sendto" for call in notes.calls))
    moved = {
        (call.call, call.protocol, call.size, call.detail)
        for call in notes.calls
        if call.size and call.detail == there
    }
    assert ("sendto", "udp", 5, there) in moved
    assert moved & {("recvfrom", "udp", 5, there), ("recvmsg", "udp", 5, there)}


@pytest.mark.parametrize("engine", PURE)
def test_it_costs_nothing_when_nobody_wants_it(engine: str) -> None:
    seen = Connections()
    with (
        Server("tcp://127.0.0.1:0", Echo, engine=engine, instruments=[seen]) as server,
        socket.create_connection(("127.0.0.1", server.addresses[0].port), PATIENCE),
    ):
        until(lambda: seen.socks)
        assert isinstance(seen.socks[0], socket.socket)
        assert not isinstance(seen.socks[0], TracedSocket)


def test_auto_takes_an_engine_that_can() -> None:
    assert engines.choose(engines.AUTO, [Notes()]) not in engines.COMPILED
    assert engines.choose(engines.AUTO, [Connections()]) == engines.choose(engines.AUTO)


@pytest.mark.parametrize("engine", COMPILED)
def test_a_compiled_engine_refuses(engine: str) -> None:
    with pytest.raises(UsageError, match="does not report its calls"):
        Server("tcp://127.0.0.1:0", Echo, engine=engine, instruments=[Notes()])
    with pytest.raises(UsageError, match="does not report its calls"):
        engines.make(engine, engines.Options(), [Notes()])
