"""Behind a proxy: who is believed, what the protocol sees, and what counts per host."""

from __future__ import annotations

import logging
import socket
import ssl
import struct
import typing as t
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.certificates import certificates, needs_openssl
from tests.contracts.running import Recorder, Running, Witness
from tests.support import IN_PROCESS, has_ipv6, receive, receive_all, until

from jackfield import engines, limits, pollers
from jackfield.errors import (
    DeadlineError,
    NotAdmitted,
    ProxyHeaderError,
    ServerStopping,
    UsageError,
)
from jackfield.server import Server
from jackfield.tls import TlsConfig
from jackfield.tools.connection_log import ConnectionLog
from jackfield.transports.proxied import ProxiedFactory, ProxiedProtocol, Proxies
from jackfield.wire.lines import LineProtocol

V1 = b"PROXY TCP4 192.0.2.1 192.0.2.9 56324 443\r\n"
V2_LOCAL = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"
CLIENT = ("192.0.2.1", 56324)
HERE = "127.0.0.1,::1"

REACTORS = [name for name in pollers.NAMES if pollers.missing(name) is None]
ENGINES = IN_PROCESS

# --- who is believed ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("listed", "peer", "believed"),
    [
        ("127.0.0.1", ("127.0.0.1", 1), True),
        ("127.0.0.1", ("127.0.0.2", 1), False),
        ("10.0.0.0/8, 127.0.0.1", ("10.255.0.1", 1), True),
        ("10.0.0.0/8", ("11.0.0.1", 1), False),
        ("::1", ("::1", 1, 0, 0), True),
        ("::1", ("127.0.0.1", 1), False),
        ("fd00::/8", ("fd12::1", 1, 0, 0), True),
        ("fe80::/64", ("fe80::1%eth0", 1, 0, 2), True),
        ("127.0.0.0/8", ("::ffff:127.0.0.1", 1, 0, 0), True),
        ("127.0.0.0/8", ("::127.0.0.1", 1, 0, 0), False),
        ("0.0.0.0/0", ("::1", 1, 0, 0), False),
        ("127.0.0.1", "", False),
        ("127.0.0.1", b"\0name", False),
        ("unix", "", True),
        ("unix", b"\0name", True),
        ("unix", ("127.0.0.1", 1), False),
        ("::1,unix", "/run/proxy", True),
    ],
)
def test_who_is_listed(listed: str, peer: object, believed: bool) -> None:
    assert (peer in Proxies(listed)) is believed
    assert (peer in Proxies(listed.split(","))) is believed


@pytest.mark.parametrize(
    "listed", ["", "127.0.0.1,", "localhost", "10.0.0.1/8", "127.0.0.1:80", "1.2.3.4/33", "\x1b[2J"]
)
def test_what_is_no_address_or_network(listed: str) -> None:
    with pytest.raises(
        UsageError, match=r"proxy_from '.*127\.0\.0\.1,10\.0\.0\.0/8, or unix"
    ) as caught:
        Proxies(listed)
    assert str(caught.value).isprintable()


def test_the_server_says_so_before_it_listens() -> None:
    with pytest.raises(UsageError, match="proxy_from 'localhost'"):
        Server("tcp://127.0.0.1:0", Recorder, proxy_from="localhost")


# --- by hand -----------------------------------------------------------------------------------


class Timer:
    def __init__(self, delay: float, callback: Callable[[], object]) -> None:
        self.delay, self.callback = delay, callback
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class Transport:
    """A transport by hand, with the engine that it asks for timers."""

    def __init__(self, peername: object = ("127.0.0.1", 4000)) -> None:
        self.peername = peername
        self.engine = self
        self.timers: list[Timer] = []
        self.evicted: list[Exception] = []
        self.protocol: t.Any = None
        self.progress = 0
        self.too_many = False

    def call_later(self, delay: float, callback: Callable[[], object]) -> Timer:
        self.timers.append(Timer(delay, callback))
        return self.timers[-1]

    def get_extra_info(self, name: str) -> object:
        return {"peername": self.peername}[name]

    def set_peername(self, peername: object) -> None:
        self.peername = peername
        if self.too_many:
            self.evict(NotAdmitted("", "max-per-host"))

    def set_protocol(self, protocol: object) -> None:
        self.protocol = protocol

    def evict(self, reason: Exception) -> None:
        self.evicted.append(reason)

    def is_closing(self) -> bool:
        return bool(self.evicted)

    def made_progress(self) -> None:
        self.progress += 1


def begin(
    peername: object = ("127.0.0.1", 4000), factory: Callable[[], t.Any] = Recorder
) -> tuple[ProxiedProtocol, Transport]:
    transport = Transport(peername)
    layer = ProxiedFactory(Proxies("127.0.0.1"), factory)()
    transport.protocol = layer
    layer.connection_made(transport)
    return layer, transport


@pytest.mark.parametrize("way", ["whole", "byte by byte"])
@pytest.mark.parametrize("rest", [b"", b"\n", b"hello" + V1])
def test_the_protocol_takes_over(way: str, rest: bytes) -> None:
    layer, transport = begin()
    chunks = [V1 + rest] if way == "whole" else [bytes([byte]) for byte in V1]
    for chunk in chunks:
        assert transport.protocol is layer
        layer.data_received(chunk)
    protocol = transport.protocol
    assert isinstance(protocol, Recorder)
    assert transport.peername == CLIENT
    assert protocol.transport is transport
    assert protocol.data == (rest if way == "whole" else b"")
    assert protocol.names() == ["made", "data"][: 1 + bool(protocol.data)]
    assert transport.progress == bool(protocol.data)
    assert [timer.cancelled for timer in transport.timers] == [True]
    assert not transport.evicted


@pytest.mark.parametrize("header", [V2_LOCAL, b"PROXY UNKNOWN\r\n"])
def test_a_proxy_that_speaks_for_itself_keeps_its_address(header: bytes) -> None:
    layer, transport = begin()
    layer.data_received(header + b"ping")
    assert transport.peername == ("127.0.0.1", 4000)
    assert transport.protocol.data == b"ping"


def test_who_is_not_listed_is_neither_believed_nor_served() -> None:
    layer, transport = begin(("127.0.0.2", 4000))
    (reason,) = transport.evicted
    assert isinstance(reason, NotAdmitted)
    assert reason.reason == "not-a-proxy"
    assert transport.timers == []
    layer.connection_lost(reason)


def test_a_listed_one_that_sends_something_else() -> None:
    layer, transport = begin()
    layer.data_received(b"GET / HTTP/1.1\r\n")
    assert [type(reason) for reason in transport.evicted] == [ProxyHeaderError]
    assert transport.protocol is layer
    layer.connection_lost(transport.evicted[0])
    assert transport.timers[0].cancelled


def test_a_listed_one_that_sends_nothing() -> None:
    layer, transport = begin()
    layer.data_received(V1[:-1])
    (timer,) = transport.timers
    assert timer.delay == limits.PROXY_TIMEOUT
    timer.callback()
    (reason,) = transport.evicted
    assert isinstance(reason, DeadlineError)
    assert reason.reason == "proxy-timeout"
    layer.connection_lost(reason)


def test_an_early_end() -> None:
    """The connection is closed, and nobody is told of a client that never was."""
    layer, transport = begin()
    layer.data_received(V1[:10])
    assert not layer.eof_received()
    layer.closing(ServerStopping())
    layer.connection_lost(None)
    assert transport.timers[0].cancelled
    assert transport.protocol is layer


def test_too_many_of_a_host_are_not_handed_over() -> None:
    layer, transport = begin()
    transport.too_many = True
    layer.data_received(V1 + b"hello")
    assert transport.protocol is layer
    assert len(transport.evicted) == 1


def test_a_protocol_that_closes_at_once_is_told_nothing_more() -> None:
    class Closes(Recorder):
        def connection_made(self, transport: t.Any) -> None:
            super().connection_made(transport)
            transport.evict(NotAdmitted("", "full"))

    layer, transport = begin(factory=Closes)
    layer.data_received(V1 + b"hello")
    assert transport.protocol.names() == ["made"]


def test_what_came_with_the_header_is_no_message_of_who_counts_messages() -> None:
    class Lines(LineProtocol):
        def __init__(self) -> None:
            self.lines: list[bytes] = []

        def line_received(self, line: bytes) -> None:
            self.lines.append(line)

    layer, transport = begin(factory=Lines)
    layer.data_received(V1 + b"half a li")
    assert transport.progress == 0
    transport.protocol.data_received(b"ne\n")
    assert transport.progress == 1
    assert transport.protocol.lines == [b"half a line"]


# --- at work ---------------------------------------------------------------------------------


class Told(Witness):
    """A witness that remembers proxies too."""

    def __init__(self) -> None:
        super().__init__()
        self.proxied_as: list[tuple[str, str]] = []

    def proxied(self, transport: t.Any, via: str) -> None:
        self.proxied_as.append((transport.peer, via))


class Knows(Recorder):
    """Says who it is that it serves, and echoes."""

    def connection_made(self, transport: t.Any) -> None:
        super().connection_made(transport)
        transport.write(f"you are {transport.get_extra_info('peer')}\n".encode())

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self.transport.write(data)


class Silent(Recorder):
    pass


Proxied = Callable[..., Running]


@pytest.fixture(params=REACTORS)
def proxied(request: pytest.FixtureRequest) -> Iterator[Proxied]:
    """``proxied(factory, endpoint, listed, **options)``: an engine behind a proxy."""
    opened: list[Running] = []

    def open_one(
        factory: Callable[[], t.Any] = Knows,
        endpoint: str = "tcp://127.0.0.1:0",
        listed: str = HERE,
        **options: t.Any,
    ) -> Running:
        proxies, witness = Proxies(listed), Told()
        engine = engines.make(
            request.param,
            engines.Options(proxies=proxies, **options),
            [witness, ConnectionLog()],
        )
        running = Running(engine, witness)
        opened.append(running)
        made = ProxiedFactory(proxies, lambda: _remember(running, factory))
        # ``Running.listen`` would remember the layers; the protocols behind them are wanted.
        running.listen(endpoint, made)
        running.protocols.clear()
        running.start()
        return running

    def _remember(running: Running, factory: Callable[[], t.Any]) -> t.Any:
        protocol = factory()
        behind.append(protocol)
        return protocol

    behind.clear()
    yield open_one
    for running in opened:
        running.close()


behind: list[t.Any] = []
"""The protocols made behind the layer, in order."""


def v1(host: str, port: int = 1024) -> bytes:
    return f"PROXY TCP4 {host} 192.0.2.9 {port} 443\r\n".encode()


def v2_tcp6(host: str, port: int) -> bytes:
    addresses = socket.inet_pton(socket.AF_INET6, host) * 2 + struct.pack("!HH", port, 443)
    return V2_LOCAL[:12] + b"\x21\x21" + struct.pack("!H", len(addresses)) + addresses


def test_the_client_is_who_the_header_names(
    proxied: Proxied, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "jackfield")
    running = proxied()
    client = running.dial()
    via = "{}:{}".format(*client.getsockname())
    client.sendall(V1 + b"early")
    expected = b"you are 192.0.2.1:56324\nearly"
    assert receive(client, len(expected)) == expected
    client.sendall(b"late")
    assert receive(client, 4) == b"late"
    assert running.call(behind[0].transport.get_extra_info, "peername") == CLIENT
    client.close()
    assert running.reasons() == ["eof"]
    until(lambda: len(caplog.messages) == 3)  # the log is told after the witness
    fd = int(caplog.messages[0].split("fd=")[1].split()[0])
    assert caplog.messages == [
        f"connected fd={fd} peer={via}",
        f"proxied fd={fd} peer=192.0.2.1:56324 via={via}",
        f"disconnected fd={fd} peer=192.0.2.1:56324 reason=eof",
    ]


def test_byte_by_byte_on_the_wire(proxied: Proxied) -> None:
    running = proxied()
    client = running.dial()
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for byte in V1 + b"x":
        client.send(bytes([byte]))
    expected = b"you are 192.0.2.1:56324\nx"
    assert receive(client, len(expected)) == expected


def test_a_client_of_another_family(proxied: Proxied) -> None:
    running = proxied()
    client = running.dial()
    client.sendall(v2_tcp6("2001:db8::7", 99))
    expected = b"you are [2001:db8::7]:99\n"
    assert receive(client, len(expected)) == expected


def test_over_a_unix_socket(proxied: Proxied, short_directory: Path) -> None:
    running = proxied(endpoint=f"unix:{short_directory}/s", listed="unix")
    client = running.dial()
    client.sendall(V1)
    expected = b"you are 192.0.2.1:56324\n"
    assert receive(client, len(expected)) == expected


def test_nothing_is_said_before_the_header(proxied: Proxied) -> None:
    """ "MUST NOT start processing the connection before it receives a complete header"."""
    running = proxied()
    client = running.dial()
    client.sendall(V1[:-1])
    running.settle()
    client.setblocking(False)
    with pytest.raises(BlockingIOError):
        client.recv(1)
    assert behind == []


def test_not_listed(proxied: Proxied) -> None:
    """Its header is not believed, and it is not served as it is either."""
    running = proxied(listed="127.0.0.2")
    client = running.dial()
    client.sendall(V1)
    assert receive_all(client) == b""
    assert running.reasons() == ["not-a-proxy"]
    assert running.witness.proxied_as == []  # type: ignore[attr-defined]
    assert behind == []


@pytest.mark.parametrize("sent", [b"GET / HTTP/1.1\r\n\r\n", V1[:-2] + b"\n", b"\0"])
def test_no_header(proxied: Proxied, sent: bytes) -> None:
    running = proxied()
    client = running.dial()
    client.sendall(sent)
    assert receive_all(client) == b""
    assert running.reasons() == ["proxy-header"]
    assert behind == []


def test_too_late(proxied: Proxied, monkeypatch: pytest.MonkeyPatch) -> None:
    """One byte after the other does not extend it."""
    monkeypatch.setattr(limits, "PROXY_TIMEOUT", 0.05)
    running = proxied()
    client = running.dial()
    client.sendall(V1[:-1])
    assert receive_all(client) == b""
    assert running.reasons() == ["proxy-timeout"]


def test_in_time_there_is_no_timer_left(proxied: Proxied, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PROXY_TIMEOUT", 0.05)
    running = proxied()
    client = running.dial()
    client.sendall(V1)
    receive(client, 24)
    done: list[bool] = []
    running.call(running.engine.call_later, 0.1, lambda: done.append(True))
    until(lambda: done)
    client.sendall(b"x")
    assert receive(client, 1) == b"x"


def test_gone_before_the_header(proxied: Proxied) -> None:
    running = proxied()
    client = running.dial()
    client.send(V1[:7])
    client.close()
    assert running.reasons() == ["eof"]
    assert behind == []


def test_max_per_host_counts_clients_not_proxies(proxied: Proxied) -> None:
    running = proxied(max_per_host=2)
    waiting = [running.dial() for _ in range(5)]  # one proxy, and nobody is named yet
    running.settle()
    assert running.engine.statistics().connections == 5
    for client in waiting[:2]:
        client.sendall(v1("192.0.2.1"))
        receive(client, 8)
    waiting[2].sendall(v1("192.0.2.1", 5))
    assert receive_all(waiting[2]) == b""
    assert running.reasons() == ["max-per-host"]
    assert running.engine.statistics().refused == 1
    waiting[3].sendall(v1("192.0.2.2"))
    assert receive(waiting[3], 8) == b"you are "
    waiting[4].sendall(V2_LOCAL)  # the proxy itself: it may have as many as it wants
    assert receive(waiting[4], 8) == b"you are "
    for client in (waiting[0], waiting[2]):  # while they linger they count
        client.close()
    until(lambda: running.engine.statistics().connections == 3)
    again = running.dial()
    again.sendall(v1("192.0.2.1"))
    assert receive(again, 8) == b"you are "


@pytest.mark.parametrize("rest", [b"", b"x"])
def test_the_login_deadline_is_the_clients(proxied: Proxied, rest: bytes) -> None:
    """The header is the proxy's; only what the client sent counts."""
    running = proxied(Silent, login_timeout=0.1, idle_timeout=0.2)
    client = running.dial()
    client.sendall(V1 + rest)
    assert receive_all(client) == b""
    assert running.reasons() == ["idle-timeout" if rest else "login-timeout"]


def test_an_exception_in_the_protocol_ends_this_one_alone(
    proxied: Proxied, caplog: pytest.LogCaptureFixture
) -> None:
    class Fails(Recorder):
        def connection_made(self, transport: t.Any) -> None:
            super().connection_made(transport)
            raise ZeroDivisionError

    running = proxied(Fails)
    client = running.dial()
    client.sendall(V1)
    assert receive_all(client) == b""
    until(lambda: behind and behind[0].names() == ["made", "lost"])
    assert "peer=192.0.2.1:56324" in caplog.text


@pytest.mark.parametrize("engine", ENGINES)
def test_under_every_engine(engine: str) -> None:
    """What the client can see of it: there is no more to see where another process serves."""
    with Server("tcp://127.0.0.1:0", Knows, engine=engine, proxy_from="127.0.0.1") as server:
        place = ("127.0.0.1", server.addresses[0].port)
        for header in (V1, v2_tcp6("2001:db8::7", 99)):
            with socket.create_connection(place, 20) as client:
                client.sendall(header + b"hello")
                who = b"192.0.2.1:56324" if header is V1 else b"[2001:db8::7]:99"
                expected = b"you are " + who + b"\nhello"
                assert receive(client, len(expected)) == expected
        with socket.create_connection(place, 20) as client:
            client.sendall(b"hello, world" * 20)
            assert receive_all(client) == b""


@needs_openssl
def test_the_header_comes_before_tls() -> None:
    """In the clear, and in one block with the client's first words of TLS."""
    made = certificates()
    context = ssl.create_default_context(cafile=made.authority)
    tls = TlsConfig(*made.issue("localhost"))
    with Server("tls://127.0.0.1:0", Knows, tls=tls, proxy_from="127.0.0.1") as server:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        session = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
        with socket.create_connection(("127.0.0.1", server.addresses[0].port), 20) as client:
            header, expected, plain = V1, b"you are 192.0.2.1:56324\n", b""
            while plain != expected:
                try:
                    session.do_handshake()
                    plain += session.read()
                except ssl.SSLWantReadError:
                    client.sendall(header + outgoing.read())
                    header = b""
                    received = client.recv(65536)
                    assert received
                    incoming.write(received)


@pytest.mark.skipif(not has_ipv6(), reason="no IPv6 loopback here")
def test_an_ipv4_proxy_on_a_socket_for_both_families() -> None:
    """As systemd makes them: its peer is called ::ffff:127.0.0.1."""
    with (
        socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as sock,
        Server(f"fd://{sock.detach()}", Knows, proxy_from="127.0.0.1") as server,
    ):
        port = server.addresses[0].port
        with socket.create_connection(("127.0.0.1", port), 20) as client:
            client.sendall(V1)
            expected = b"you are 192.0.2.1:56324\n"
            assert receive(client, len(expected)) == expected
