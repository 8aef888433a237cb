"""Server and serve: endpoints, a protocol and an engine put together, in a thread and alone."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import threading
import typing as t
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support import PATIENCE, has_ipv6, lowest_free, receive, receive_all, until

from jackfield import DatagramProtocol, Protocol, Server, UsageError, engines, limits
from jackfield.address import Address, Endpoint
from jackfield.errors import AddressError, SystemRefused
from jackfield.services.echo import Echo

LOOPBACK = "tcp://127.0.0.1:0"


class EchoDatagrams(DatagramProtocol):
    transport: t.Any

    def connection_made(self, transport: t.Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: t.Any) -> None:
        self.transport.sendto(data, addr)


@contextlib.contextmanager
def dialled(address: Address) -> Iterator[socket.socket]:
    with socket.socket(address.family, address.type) as sock:
        sock.settimeout(PATIENCE)
        sock.connect(address.sockaddr)
        yield sock


def echoes(address: Address) -> bool:
    with dialled(address) as sock:
        sock.sendall(b"hello")
        return sock.recv(100) == b"hello"


# --- running -----------------------------------------------------------------------------------


def test_in_a_with() -> None:
    with Server(LOOPBACK, Echo) as server:
        (address,) = server.addresses
        assert address.port > 0
        assert echoes(address)
    with pytest.raises(ConnectionRefusedError), dialled(address):
        pass


@pytest.mark.parametrize("engine", [engines.AUTO, *(n for n in engines.NAMES if n != "fork")])
def test_on_every_engine(engine: str) -> None:
    if engine != engines.AUTO and engines.missing(engine):
        with pytest.raises(UsageError, match="not available here"):
            Server(LOOPBACK, Echo, engine=engine)
        return
    with Server(LOOPBACK, Echo, engine=engine) as server:
        assert echoes(server.addresses[0])
        assert f"engine={server.engine_name}" in server.describe()[0]
        until(lambda: server.engine.statistics().lost == 1)


def test_stop_before_open_and_twice() -> None:
    server = Server(LOOPBACK, Echo)
    server.stop()
    server.start()
    server.stop()
    server.stop()


def test_open_then_stop_leaves_nothing() -> None:
    before = lowest_free()
    server = Server([LOOPBACK, "udp://127.0.0.1:0"], Echo, datagram_factory=EchoDatagrams)
    server.open()
    server.open()
    assert len(server.addresses) == 2
    server.stop()
    assert lowest_free() == before


def test_it_runs_once() -> None:
    server = Server(LOOPBACK, Echo)
    with server, pytest.raises(RuntimeError, match="started already"):
        server.start()
    with pytest.raises(RuntimeError, match="started already"):
        server.run()


def test_stopped_by_one_of_its_own_protocols() -> None:
    class Stops(Protocol):
        def connection_made(self, transport: t.Any) -> None:
            server.stop()

    server = Server(LOOPBACK, Stops)
    with server, dialled(server.addresses[0]) as sock:
        assert receive_all(sock) == b""


def test_run_here_leaves_signals_as_they_were() -> None:
    server = Server(LOOPBACK, Echo)
    server.open()

    def handlers() -> list[t.Any]:
        wakeup = signal.set_wakeup_fd(-1)
        signal.set_wakeup_fd(wakeup)
        return [wakeup, *(signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM))]

    before = handlers()
    during: list[t.Any] = []

    def visit() -> None:
        assert echoes(server.addresses[0])
        during.extend(signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM))
        server.stop()

    visitor = threading.Thread(target=visit)
    visitor.start()
    server.run()
    visitor.join()
    assert handlers() == before
    assert len(during) == 2
    assert not set(map(id, during)) & set(map(id, before))


def test_run_in_another_thread_leaves_signals_alone() -> None:
    server = Server(LOOPBACK, Echo)
    server.open()
    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=server.run)
    thread.start()
    assert echoes(server.addresses[0])
    assert signal.getsignal(signal.SIGINT) is before
    server.stop()
    thread.join(PATIENCE)
    assert not thread.is_alive()


# --- endpoints -----------------------------------------------------------------------------------


def test_several_endpoints(short_directory: Path) -> None:
    unix = f"unix:{short_directory}/socket"
    endpoints: list[str | Endpoint] = [LOOPBACK, Endpoint.parse(unix), "tcp://:0"]
    endpoints.append("udp://127.0.0.1:0")
    with Server(endpoints, Echo, datagram_factory=EchoDatagrams) as server:
        assert len(server.addresses) == (5 if has_ipv6() else 4)
        assert [address.scheme for address in server.addresses][:2] == ["tcp", "unix"]
        assert server.addresses[-1].scheme == "udp"
        for address in server.addresses:
            there = address
            if there.scheme == "tcp" and there.sockaddr[0] in ("0.0.0.0", "::"):
                host = "127.0.0.1" if there.family == socket.AF_INET else "::1"
                there = with_host(there, host)
            assert echoes(there)
    assert len(server.addresses) >= 4  # still told when it is over


def with_host(address: Address, host: str) -> Address:
    assert isinstance(address.sockaddr, tuple)
    _, port, *rest = address.sockaddr
    return Address(address.scheme, address.family, address.type, (host, port, *rest))


def test_describe(short_directory: Path) -> None:
    unix = f"unix:{short_directory}/socket"
    endpoints = [LOOPBACK, unix, "udp://127.0.0.1:0"]
    options: dict[str, t.Any] = {"datagram_factory": EchoDatagrams, "engine": "select"}
    with Server(endpoints, Echo, backlog=7, **options) as server:
        tcp, unix_line, udp = server.describe()
        port = server.addresses[0].port
        assert re.fullmatch(
            rf"listening tcp://127\.0\.0\.1:{port} fd=\d+ engine=select backlog=7", tcp
        )
        assert re.fullmatch(rf"listening {unix} fd=\d+ engine=select backlog=7", unix_line)
        assert re.fullmatch(r"listening udp://127\.0\.0\.1:\d+ fd=\d+ engine=select", udp)


def test_a_backlog_that_the_kernel_clamps() -> None:
    server = Server(LOOPBACK, Echo, backlog=2**31 - 1)
    server.open()
    try:
        (line,) = server.clamped()
        (description,) = server.describe()
    finally:
        server.stop()
    actual = description.rpartition("backlog=")[2]
    assert f"the kernel allows {actual}" in line
    assert "\n" not in line
    modest = Server(LOOPBACK, Echo, backlog=1)
    modest.open()
    assert modest.clamped() == []
    modest.stop()


def test_a_unix_socket_is_private_and_removed(short_directory: Path) -> None:
    path = short_directory / "socket"
    with Server(f"unix:{path}", Echo) as server:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert echoes(server.addresses[0])
    assert not path.exists()


def test_an_inherited_listener() -> None:
    with socket.create_server(("127.0.0.1", 0)) as inherited:
        fd = os.dup(inherited.fileno())
        with Server(f"fd://{fd}", Echo) as server:
            assert server.addresses[0].sockaddr == inherited.getsockname()
            assert echoes(server.addresses[0])


# --- what is refused ---------------------------------------------------------------------------


def test_a_port_in_use_names_the_holder() -> None:
    with Server(LOOPBACK, Echo) as server:
        taken = str(server.addresses[0])
        before = lowest_free()
        with pytest.raises(SystemRefused, match="in use by this process; stop it or choose"):
            Server([LOOPBACK, taken], Echo).open()
        assert lowest_free() == before  # the first endpoint is closed again


def test_a_port_in_use_by_another_process() -> None:
    code = (
        "import socket, sys; s = socket.create_server(('127.0.0.1', 0)); "
        "print(s.getsockname()[1], flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        port = int(holder.stdout.readline())
        with pytest.raises(SystemRefused) as info:
            Server(f"tcp://127.0.0.1:{port}", Echo).open()
        holder.communicate()
    assert f"tcp://127.0.0.1:{port}: in use by " in str(info.value)
    assert str(holder.pid) in str(info.value)
    assert "\n" not in str(info.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"engine": "devpoll"}, "unknown engine 'devpoll'; known: auto"),
        ({"backlog": -1}, "backlog must be 0 or more"),
        ({"idle_timeout": -1}, "idle_timeout must be 0 or more"),
        ({"login_timeout": float("nan")}, "login_timeout must be 0 or more"),
        ({"max_connections": -5}, "max_connections"),
        ({"max_per_host": -5}, "max_per_host"),
        ({"drain": -0.1}, "drain"),
    ],
)
def test_impossible_options(options: dict[str, t.Any], message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        Server(LOOPBACK, Echo, **options)


def test_no_endpoint() -> None:
    with pytest.raises(UsageError, match="no endpoint was given"):
        Server([], Echo)


@pytest.mark.parametrize("endpoint", ["tcp://127.0.0.1:70000", "nonsense", "tcp://::1:1"])
def test_a_bad_endpoint(endpoint: str) -> None:
    with pytest.raises(AddressError):
        Server(endpoint, Echo)


def test_a_stream_protocol_on_udp() -> None:
    server = Server(["udp://127.0.0.1:0"], Echo)
    with pytest.raises(UsageError, match="Echo serves streams"):
        server.open()
    assert server.engine is None


def test_too_many_descriptors_for_select(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused when it opens, and nothing is left open."""
    monkeypatch.setattr("jackfield.pollers.select.FD_SETSIZE", lowest_free())
    before = lowest_free()
    for endpoints in (LOOPBACK, "udp://127.0.0.1:0"):
        server = Server(endpoints, Echo, datagram_factory=EchoDatagrams, engine="select")
        with pytest.raises(UsageError, match="FD_SETSIZE"):
            server.open()
        assert server.engine is None
        assert lowest_free() == before


# --- in a process of its own -------------------------------------------------------------------

SCRIPT = """
import sys
from jackfield import Protocol, serve

class Greets(Protocol):
    def connection_made(self, transport):
        transport.write(bytes(int(sys.argv[2])))

serve(sys.argv[3:], Greets, engine=sys.argv[1], drain=1000)
"""


@contextlib.contextmanager
def alone(engine: str, size: int, *endpoints: str) -> Iterator[tuple[t.Any, list[str]]]:
    """A program that calls ``serve``, and what it says when it starts."""
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT, engine, str(size), *endpoints],
        stderr=subprocess.PIPE,
        text=True,
    ) as child:
        try:
            assert child.stderr is not None
            yield child, [child.stderr.readline() for _ in endpoints]
        finally:
            child.kill()


def port_of(line: str) -> int:
    found = re.search(r":(\d+) fd=", line)
    assert found, line
    return int(found[1])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("engine", [n for n in engines.NAMES if engines.missing(n) is None])
def test_a_signal_drains_and_exits_0(
    engine: str, number: signal.Signals, short_directory: Path
) -> None:
    path = short_directory / "socket"
    with alone(engine, 5, LOOPBACK, f"unix:{path}") as (child, lines):
        assert lines[0].startswith("listening tcp://127.0.0.1:")
        assert lines[1].startswith(f"listening unix:{path} fd=")
        with socket.create_connection(("127.0.0.1", port_of(lines[0])), PATIENCE) as client:
            assert receive(client, 5) == bytes(5)
            child.send_signal(number)
            assert receive_all(client) == b""
        assert child.wait(PATIENCE) == 0
        rest = child.stderr.read()
        assert re.search(r"^connected fd=\d+ peer=127\.0\.0\.1:\d+$", rest, re.M)
        assert re.search(r"^disconnected fd=\d+ peer=127\.0\.0\.1:\d+ reason=", rest, re.M)
        assert "Traceback" not in rest
        assert not path.exists()


def test_a_second_signal_exits_at_once() -> None:
    with alone("auto", 1 << 24, LOOPBACK) as (child, lines):
        where = ("127.0.0.1", port_of(lines[0]))
        with socket.create_connection(where, PATIENCE) as client:
            assert receive(client, 5)
            child.send_signal(signal.SIGTERM)

            def refused() -> bool:
                try:
                    socket.create_connection(where, PATIENCE).close()
                except ConnectionRefusedError:
                    return True
                return False

            until(refused)
            assert child.poll() is None  # a thousand seconds to drain
            child.send_signal(signal.SIGTERM)
            assert child.wait(PATIENCE) == 0


def test_defaults_are_those_of_limits() -> None:
    server = Server(LOOPBACK, Echo)
    server.open()
    assert server.engine.options.idle_timeout == limits.IDLE_TIMEOUT
    assert server.engine.options.max_per_host == limits.MAX_PER_HOST
    assert server.describe()[0].endswith(f"backlog={limits.BACKLOG}")
    server.stop()
