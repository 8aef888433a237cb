"""Datagrams that came or leave as one: nobody may notice but by the time that it takes."""

from __future__ import annotations

import random
import socket
import typing as t

import pytest
from tests.contracts.running import Serve
from tests.contracts.stream import EngineSuite
from tests.support import PATIENCE

from jackfield import engines
from jackfield.address import Endpoint
from jackfield.kernel.sockets import bind_datagram_all
from jackfield.protocol import DatagramProtocol
from jackfield.services.small_datagrams import TRAFFIC_CLASS

pytestmark = pytest.mark.skipif(
    engines.missing("native") is not None, reason=str(engines.missing("native"))
)

UDP_SEGMENT = 103  # linux/udp.h


class Echo(DatagramProtocol):
    """Remembers and sends back; ``others`` get a copy of each."""

    def __init__(self, others: t.Sequence[t.Any] = (), mark: int = 0) -> None:
        self.received: list[bytes] = []
        self.errors: list[OSError] = []
        self.others = others
        self.mark = mark
        self.transport: t.Any = None

    def connection_made(self, transport: t.Any) -> None:
        self.transport = transport
        if self.mark:
            transport.ignore_marked(self.mark)

    def datagram_received(self, data: bytes, addr: t.Any) -> None:
        self.received.append(data)
        self.transport.sendto(data, addr)
        for other in self.others:
            self.transport.sendto(data, other)

    def error_received(self, exc: OSError) -> None:
        self.errors.append(exc)


class TestNative(EngineSuite):
    def make(self, options: t.Any, instruments: list[t.Any]) -> t.Any:
        return engines.make("native", options, instruments)

    @pytest.fixture(params=["127.0.0.1", "[::1]"])
    def host(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)

    def begin(self, serve: Serve, server: Echo, host: str) -> socket.socket:
        running = serve()
        (sock,) = bind_datagram_all(Endpoint.parse(f"udp://{host}:0"))
        where = sock.getsockname()
        running.call(running.engine.serve_datagrams, sock, lambda: server)
        client = socket.socket(sock.family, socket.SOCK_DGRAM)
        client.settimeout(PATIENCE)
        client.connect(where)
        return client

    @pytest.mark.parametrize("size", [1, 64, 1000, 1452])
    @pytest.mark.parametrize("last", [1, 64])
    def test_those_that_come_as_one_are_cut(
        self, serve: Serve, host: str, size: int, last: int
    ) -> None:
        server = Echo()
        with self.begin(serve, server, host) as client:
            try:
                client.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, size)
            except OSError:
                pytest.skip("this kernel cuts no sends into datagrams (UDP_SEGMENT)")
            data = random.Random(size).randbytes(size * 20 + min(last, size))
            pieces = [data[i : i + size] for i in range(0, len(data), size)]
            client.send(data)
            assert [client.recv(65536) for _ in pieces] == pieces
        assert server.received == pieces

    def test_any_sizes_to_several_peers_in_order(self, serve: Serve, host: str) -> None:
        """The sizes make runs that can share a send and such that cannot."""
        choose = random.Random(7)
        sizes = [choose.choice([0, 1, 64, 64, 64, 63, 1452, 1453, 9000]) for _ in range(150)]
        data = [choose.randbytes(size) for size in sizes]
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as other:
            other.bind((host.strip("[]"), 0))
            other.settimeout(PATIENCE)
            server = Echo([other.getsockname()])
            with self.begin(serve, server, host) as client:
                for start in range(0, len(data), 25):  # the receive buffers hold 200 KiB
                    burst = data[start : start + 25]
                    for one in burst:
                        client.send(one)
                    assert [client.recv(65536) for _ in burst] == burst
                    assert [other.recv(65536) for _ in burst] == burst
        assert server.errors == []

    def test_the_mark_of_those_that_come_as_one(self, serve: Serve) -> None:
        server = Echo(mark=TRAFFIC_CLASS)
        with self.begin(serve, server, "127.0.0.1") as client:
            client.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, 10)
            client.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, TRAFFIC_CLASS)
            client.send(b"0123456789" * 3)
            client.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, 0)
            client.send(b"abcdefghij" * 2)
            assert [client.recv(100), client.recv(100)] == [b"abcdefghij"] * 2
        assert server.received == [b"abcdefghij"] * 2
        assert server.transport.ignored == 3

    def test_a_peer_that_is_gone_costs_the_others_nothing(self, serve: Serve) -> None:
        """The ICMP error of one send fails another's: both are told apart."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as gone:
            gone.bind(("127.0.0.1", 0))
            nobody = gone.getsockname()
        server = Echo([nobody])
        with self.begin(serve, server, "127.0.0.1") as client:
            for round_ in range(20):
                burst = [b"%d of %d" % (i, round_) for i in range(10)]
                for one in burst:
                    client.send(one)
                assert [client.recv(100) for _ in burst] == burst
        assert {exc.peername for exc in server.errors} <= {nobody}  # type: ignore[attr-defined]

    def test_a_send_that_fails_does_not_change_how_they_come(self, serve: Serve) -> None:
        """Several that leave as one meet the error of an earlier one. Those that come as one are
        cut afterwards as before."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as gone:
            gone.bind(("127.0.0.1", 0))
            nobody = gone.getsockname()

        class Unlucky(Echo):
            def datagram_received(self, data: bytes, addr: t.Any) -> None:
                self.received.append(data)
                if data != b"go":
                    return
                for _ in range(63):  # with the next one all that leave at a time
                    self.transport.sendto(b"x", addr)
                self.transport.sendto(b"x", nobody)
                for number in b"1234":
                    self.transport.sendto(bytes([number]), addr)

        server = Unlucky()
        with self.begin(serve, server, "127.0.0.1") as client:
            for _ in range(3):
                client.send(b"go")
                answers = [client.recv(100) for _ in range(67)]
                assert answers == [b"x"] * 63 + [b"1", b"2", b"3", b"4"]
            server.received.clear()
            client.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, 10)
            client.send(b"0123456789" * 3)
            client.send(b"go")
            assert [client.recv(100) for _ in range(67)]
        assert server.received == [b"0123456789"] * 3 + [b"go"]
