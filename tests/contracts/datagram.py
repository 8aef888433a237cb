"""The datagram transport's contract, under a running engine: UDP on loopback, and Unix."""

from __future__ import annotations

import errno
import os
import socket
import sys
import time
import typing as t
from pathlib import Path

import pytest
from tests.contracts.running import Running, Serve
from tests.contracts.stream import EngineSuite
from tests.support import PATIENCE, drain, has_ipv6, until

from jackfield import limits
from jackfield.address import Address, Endpoint, resolve
from jackfield.kernel.sockets import bind_datagram
from jackfield.protocol import DatagramProtocol

needs_unix = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="no Unix sockets")


def nobody_at(host: str) -> tuple[str, int]:
    """An address that nobody is bound to any more."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as gone:
        gone.bind((host, 0))
        place: tuple[str, int] = gone.getsockname()
        return place


class Datagrams(DatagramProtocol):
    """Remembers every callback."""

    def __init__(self) -> None:
        self.events: list[tuple[t.Any, ...]] = []
        self.received: list[bytes] = []
        self.transport: t.Any = None

    def connection_made(self, transport: t.Any) -> None:
        self.transport = transport
        self.events.append(("made",))

    def datagram_received(self, data: bytes, addr: t.Any) -> None:
        self.received.append(data)

    def error_received(self, exc: OSError) -> None:
        self.events.append(("error", exc))

    def pause_writing(self) -> None:
        self.events.append(("pause",))

    def resume_writing(self) -> None:
        self.events.append(("resume",))

    def connection_lost(self, exc: BaseException | None) -> None:
        self.events.append(("lost", exc))

    def names(self) -> list[str]:
        return [event[0] for event in self.events]


class EchoDatagrams(Datagrams):
    def datagram_received(self, data: bytes, addr: t.Any) -> None:
        super().datagram_received(data, addr)
        self.transport.sendto(data, addr)


class FullSocket:
    """A datagram socket whose send buffer is full until ``full`` is False."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self.full = True
        self.failures: list[OSError] = []
        self.sent: list[bytes] = []

    def sendto(self, data: bytes, addr: t.Any) -> int:
        if self.full:
            raise BlockingIOError
        if self.failures:
            raise self.failures.pop()
        self.sent.append(bytes(data))
        return self._sock.sendto(data, addr)

    def __getattr__(self, name: str) -> t.Any:
        return getattr(self._sock, name)


class DatagramContract(EngineSuite):
    """Subclass it with ``make``."""

    def begin(
        self, serve: Serve, protocol: Datagrams, where: str = "127.0.0.1"
    ) -> tuple[Running, socket.socket]:
        """An engine that serves ``protocol`` on a socket of its own, and a client of it."""
        running = serve()
        family = socket.AF_INET6 if ":" in where else socket.AF_INET
        place = (where, 0, 0, 0) if ":" in where else (where, 0)
        sock = bind_datagram(Address("udp", family, socket.SOCK_DGRAM, place))
        running.call(running.engine.serve_datagrams, sock, lambda: protocol)
        client = socket.socket(family, socket.SOCK_DGRAM)
        client.settimeout(PATIENCE)
        client.bind(place)
        client.connect(sock.getsockname())
        running.adopt(client)
        return running, client

    @pytest.mark.parametrize("where", ["127.0.0.1", "::1"])
    def test_echo_datagrams(self, serve: Serve, where: str) -> None:
        if ":" in where and not has_ipv6():
            pytest.skip("no IPv6 loopback")
        server = EchoDatagrams()
        _, client = self.begin(serve, server, where)
        for data in (b"x", b"", b"y" * 1400, b"z" * 65000):
            client.send(data)
            assert client.recv(65535) == data
        get = server.transport.get_extra_info
        assert get("sockname") == client.getpeername()
        assert get("fd") == get("socket").fileno()
        assert get("peername") is None

    def test_a_burst_of_datagrams_is_taken_in_turns(self, serve: Serve) -> None:
        many = 3 * limits.DATAGRAM_BURST  # small ones: the receive buffer holds some 270
        server = EchoDatagrams()
        running, client = self.begin(serve, server)
        ticks: list[int] = []
        take = server.datagram_received

        def note(data: bytes, addr: t.Any) -> None:
            ticks.append(running.engine.statistics().ticks)
            take(data, addr)

        server.datagram_received = note  # type: ignore[method-assign]
        with running.held():
            for number in range(many):
                client.send(b"%d" % number)
        assert [client.recv(100) for _ in range(many)] == [b"%d" % n for n in range(many)]
        assert max(ticks.count(tick) for tick in ticks) == limits.DATAGRAM_BURST

    def test_queued_while_the_send_buffer_is_full(
        self, serve: Serve, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(limits, "DATAGRAM_OUTBOX", 30)
        server = Datagrams()
        running, client = self.begin(serve, server)
        peer = client.getsockname()
        transport = server.transport
        fake = FullSocket(transport.sock)

        def fill() -> None:
            transport.sock = fake
            for number in range(5):
                transport.sendto(b"datagram %d" % number, peer)  # ten bytes each
            transport.sendto(bytearray(b""), peer)

        running.call(fill)
        assert server.names() == ["made", "pause"]
        assert transport.dropped == 2  # the newest
        fake.full = False
        assert [client.recv(100) for _ in range(4)] == [
            b"datagram 0",
            b"datagram 1",
            b"datagram 2",
            b"",
        ]
        until(lambda: server.names() == ["made", "pause", "resume"])
        running.call(transport.sendto, b"at once", peer)
        assert client.recv(100) == b"at once"

    def test_close_sends_what_is_queued(self, serve: Serve) -> None:
        server = Datagrams()
        running, client = self.begin(serve, server)
        fake = FullSocket(server.transport.sock)

        def act() -> None:
            server.transport.sock = fake
            server.transport.sendto(b"last", client.getsockname())
            server.transport.close()
            assert server.transport.is_closing()
            server.transport.sendto(b"too late", client.getsockname())

        running.call(act)
        assert "lost" not in server.names()
        fake.full = False
        assert client.recv(100) == b"last"
        until(lambda: server.names()[-1] == "lost")
        assert fake.sent == [b"last"]

    @pytest.mark.parametrize("end", ["close", "abort"])
    def test_closed_once(self, serve: Serve, end: str) -> None:
        server = Datagrams()
        running, client = self.begin(serve, server)

        def act() -> None:
            getattr(server.transport, end)()
            getattr(server.transport, end)()
            assert "lost" not in server.names()

        running.call(act)
        until(lambda: server.names() == ["made", "lost"])
        running.settle()
        client.send(b"anybody?")
        with pytest.raises(ConnectionRefusedError):
            client.recv(1)
        assert server.names() == ["made", "lost"]
        assert server.transport.get_extra_info("socket").fileno() == -1

    def test_a_port_that_nobody_listens_on(self, serve: Serve) -> None:
        """A connected socket is told so (ICMP), and lives on."""
        server = Datagrams()
        running, client = self.begin(serve, server)
        running.call(server.transport.sock.connect, client.getsockname())
        where = client.getsockname()
        client.close()
        running.call(server.transport.sendto, b"anybody?")
        until(lambda: server.names()[-1] == "error")
        assert isinstance(server.events[-1][1], ConnectionRefusedError)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as again:
            again.settimeout(PATIENCE)
            again.bind(where)
            running.call(server.transport.sendto, b"and now?")
            assert again.recv(100) == b"and now?"
        assert server.transport.failed >= 1

    def test_a_datagram_too_large(self, serve: Serve) -> None:
        server = Datagrams()
        running, client = self.begin(serve, server)
        running.call(server.transport.sendto, bytes(70_000), client.getsockname())
        assert server.names() == ["made", "error"]
        assert server.events[1][1].errno == errno.EMSGSIZE

    def test_a_queued_datagram_that_fails(self, serve: Serve) -> None:
        server = Datagrams()
        running, client = self.begin(serve, server)
        peer = client.getsockname()
        fake = FullSocket(server.transport.sock)
        fake.failures = [OSError(errno.EMSGSIZE, os.strerror(errno.EMSGSIZE))]

        def act() -> None:
            server.transport.sock = fake
            server.transport.sendto(b"fails", peer)
            server.transport.sendto(b"no address", "nowhere")
            server.transport.sendto(b"arrives", peer)
            fake.full = False

        running.call(act)
        assert client.recv(100) == b"arrives"
        until(lambda: server.names()[-1] == "resume")
        assert server.names() == ["made", "pause", "error", "error", "resume"]

    def test_abort_in_error_received(self, serve: Serve) -> None:
        server = Datagrams()
        running, client = self.begin(serve, server)
        fake = FullSocket(server.transport.sock)
        fake.failures = [OSError(errno.EMSGSIZE, os.strerror(errno.EMSGSIZE))]
        server.error_received = lambda exc: server.transport.abort()  # type: ignore[method-assign]

        def act() -> None:
            server.transport.sock = fake
            for _ in range(3):
                server.transport.sendto(b"x", client.getsockname())
            fake.full = False

        running.call(act)
        until(lambda: server.names()[-1] == "lost")
        assert running.running
        assert fake.sent == []

    def test_an_exception_does_not_end_the_service_of_the_others(
        self, serve: Serve, caplog: pytest.LogCaptureFixture
    ) -> None:
        server = EchoDatagrams()
        running, client = self.begin(serve, server)
        echo = server.datagram_received

        def fragile(data: bytes, addr: t.Any) -> None:
            if data == b"bad":
                raise ZeroDivisionError
            echo(data, addr)

        server.datagram_received = fragile  # type: ignore[method-assign]
        for _ in range(10):
            client.send(b"bad")
        client.send(b"good")
        assert client.recv(100) == b"good"
        failures = [record for record in caplog.records if record.exc_info]
        assert 1 <= len(failures) < 5  # not a line per datagram
        assert running.running

    @pytest.mark.skipif(sys.platform != "linux", reason="Linux keeps errors by peer")
    def test_peers_that_cannot_be_reached_are_named(self, serve: Serve) -> None:
        """One socket serves all: who is gone is told, and costs the others nothing."""
        server = Datagrams()
        running, client = self.begin(serve, server)
        gone = [nobody_at("127.0.0.1"), nobody_at("127.0.0.1")]

        def send() -> None:
            for peer in (*gone, client.getsockname()):
                server.transport.sendto(b"hello", peer)

        running.call(send)
        assert client.recv(100) == b"hello"
        until(lambda: server.names() == ["made", "error", "error"])
        errors = [event[1] for event in server.events[1:]]
        assert [exc.peername for exc in errors] == gone
        for exc, peer in zip(errors, gone, strict=True):
            assert isinstance(exc, ConnectionRefusedError)
            assert f"127.0.0.1:{peer[1]}" in str(exc)
        assert server.transport.failures == {"ECONNREFUSED": 2}
        client.send(b"still there?")
        until(lambda: server.received == [b"still there?"])
        self.is_idle(running)

    @pytest.mark.skipif(sys.platform != "linux", reason="Linux keeps errors by peer")
    def test_sending_to_the_dead_in_error_received(self, serve: Serve) -> None:
        server = Datagrams()
        running, client = self.begin(serve, server)
        gone = nobody_at("127.0.0.1")
        errors: list[OSError] = []

        def insist(exc: OSError) -> None:
            errors.append(exc)
            if len(errors) < 2000:  # deeper than Python's stack
                server.transport.sendto(b"please", gone)
                server.transport.sendto(b"please", gone)

        server.error_received = insist  # type: ignore[method-assign]
        running.call(server.transport.sendto, b"hello", gone)
        until(lambda: len(errors) >= 2000)
        assert {type(exc) for exc in errors} == {ConnectionRefusedError}
        client.send(b"and I?")
        until(lambda: server.received == [b"and I?"])

    @staticmethod
    def is_idle(running: Running) -> None:
        """Nothing is left that a poller would report again and again."""
        running.settle()
        before = running.engine.statistics().ticks
        time.sleep(0.05)
        assert running.engine.statistics().ticks - before < 5

    def test_each_kind_of_failure_is_counted(self, serve: Serve) -> None:
        server = Datagrams()
        running, client = self.begin(serve, server)
        peer = client.getsockname()
        fake = FullSocket(server.transport.sock)
        fake.full = False
        fake.failures = [
            OSError(number, os.strerror(number))
            for number in (errno.ENOBUFS, errno.EMSGSIZE, errno.ENOBUFS)
        ]

        def send() -> None:
            server.transport.sock = fake
            for number in range(4):
                server.transport.sendto(b"%d" % number, peer)

        running.call(send)
        assert client.recv(100) == b"3"
        assert server.names() == ["made", "error", "error", "error"]
        assert {event[1].peername for event in server.events[1:]} == {peer}
        assert server.transport.failures == {"ENOBUFS": 2, "EMSGSIZE": 1}
        assert server.transport.failed == 3

    def test_a_connected_socket(self, serve: Serve) -> None:
        server = EchoDatagrams()
        running, client = self.begin(serve, server)
        running.call(server.transport.sock.connect, client.getsockname())
        assert server.transport.get_extra_info("peername") == client.getsockname()
        running.call(server.transport.sendto, b"to whom else")
        assert client.recv(100) == b"to whom else"

    # --- Unix datagrams ----------------------------------------------------------------------

    def begin_unix(self, serve: Serve, protocol: Datagrams, path: str) -> Running:
        running = serve()
        (address,) = resolve(Endpoint.parse(f"unixgram:{path}"), passive=True)
        running.call(running.engine.serve_datagrams, bind_datagram(address), lambda: protocol)
        return running

    def client_of(self, running: Running, server: str, name: str | bytes | None) -> socket.socket:
        client = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        running.adopt(client)
        client.settimeout(PATIENCE)
        if name is not None:
            client.bind(name)
        client.connect(server)
        return client

    @needs_unix
    def test_unix_datagrams(self, serve: Serve, short_directory: Path) -> None:
        server, path = EchoDatagrams(), f"{short_directory}/s"
        running = self.begin_unix(serve, server, path)
        names: list[str | bytes] = [f"{short_directory}/client"]
        if sys.platform == "linux":
            names.append(b"\0jackfield-client-%d" % os.getpid())
        for name in names:
            client = self.client_of(running, path, name)
            for data in (b"x", b"", b"y" * 1400):
                client.send(data)
                assert client.recv(65535) == data
        assert server.transport.get_extra_info("sockname") == path
        running.engine.stop(1000)
        running.join()
        assert not os.path.exists(path)

    @needs_unix
    def test_a_unix_peer_without_a_name(self, serve: Serve, short_directory: Path) -> None:
        server, path = EchoDatagrams(), f"{short_directory}/s"
        running = self.begin_unix(serve, server, path)
        self.client_of(running, path, None).send(b"who am I?")
        until(lambda: server.names() == ["made", "error"])
        assert server.received == [b"who am I?"]
        assert "a Unix peer without a name cannot be answered" in str(server.events[1][1])
        assert server.transport.failures == {"EDESTADDRREQ": 1}

    @needs_unix
    def test_a_unix_peer_that_does_not_read(self, serve: Serve, short_directory: Path) -> None:
        """The kernel calls the socket writable though a send finds no room."""
        server, path = EchoDatagrams(), f"{short_directory}/s"
        running = self.begin_unix(serve, server, path)
        client = self.client_of(running, path, f"{short_directory}/client")

        def flood() -> None:
            while not server.transport.dropped:
                server.transport.sendto(b"unread", f"{short_directory}/client")

        running.call(flood)
        assert server.names() == ["made", "error"]
        assert server.events[1][1].errno == errno.ENOBUFS
        assert server.events[1][1].peername == f"{short_directory}/client"
        self.is_idle(running)
        client.setblocking(False)
        drain(client)
        client.settimeout(PATIENCE)
        client.send(b"again")
        assert client.recv(100) == b"again"

    def test_stop_closes_the_socket(self, serve: Serve) -> None:
        server = Datagrams()
        running, _ = self.begin(serve, server)
        running.engine.stop(1000)
        running.join()
        assert server.names() == ["made", "lost"]
