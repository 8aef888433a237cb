"""Socket activation and notifications: by systemd's protocol, and by systemd itself."""

from __future__ import annotations

import fcntl
import os
import re
import signal
import socket
import subprocess
import sys
import time
import typing as t
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.certificates import certificates, needs_openssl
from tests.cli.process import JACKFIELD, Serving, run
from tests.outside.programs import Program, need
from tests.support import PATIENCE, receive, until

from jackfield.address import resolve
from jackfield.endpoint import Endpoint
from jackfield.errors import AddressError, SystemRefused
from jackfield.kernel import systemd
from jackfield.server import Server
from jackfield.services.echo import Echo

# --- endpoints ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "name"),
    [
        *[("systemd:", ""), ("systemd:?tls=1", "")],
        *[("systemd:web", "web"), ("systemd:web?tls=0", "web")],
    ],
)
def test_the_endpoint(text: str, name: str) -> None:
    endpoint = Endpoint.parse(text)
    assert (endpoint.scheme, endpoint.name) == ("systemd", name)
    assert str(endpoint) == text
    assert endpoint.tls == text.endswith("tls=1")


@pytest.mark.parametrize(
    "text", ["systemd://web", "systemd:a:b", "systemd:ä", "systemd:" + "x" * 256]
)
def test_what_is_no_name(text: str) -> None:
    with pytest.raises(AddressError, match=r"no name of a socket.*FileDescriptorName="):
        Endpoint.parse(text)


def test_it_cannot_be_dialled() -> None:
    with pytest.raises(AddressError, match=r"systemd:web: .* cannot be dialled"):
        resolve(Endpoint.parse("systemd:web"))


# --- in this process, with any descriptors but 3, 4, ... ---------------------------------------


@pytest.fixture
def passed(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., list[socket.socket]]]:
    """``passed(names, count)``: sockets as systemd would have passed them, and variables."""
    opened: list[socket.socket] = []

    def pass_(names: str | None = None, count: int = 2, pid: int = 0) -> list[socket.socket]:
        first = 600  # neighbours that nobody else has
        for fd in range(first, first + count):
            with socket.create_server(("127.0.0.1", 0)) as made:
                os.dup2(made.fileno(), fd)
            opened.append(socket.socket(fileno=fd))
        monkeypatch.setattr(systemd, "FIRST", first)
        monkeypatch.setenv("LISTEN_PID", str(pid or os.getpid()))
        monkeypatch.setenv("LISTEN_FDS", str(count))
        if names is not None:
            monkeypatch.setenv("LISTEN_FDNAMES", names)
        return opened

    yield pass_
    for sock in opened:
        sock.close()


Passed = Callable[..., list[socket.socket]]


def variables() -> set[str]:
    return {name for name in os.environ if name.startswith("LISTEN_")}


def test_named_and_kept_from_children(passed: Passed) -> None:
    sockets = passed("web:admin")
    assert [os.get_inheritable(sock.fileno()) for sock in sockets] == [True, True]
    assert systemd.activated() == [(600, "web"), (601, "admin")]
    assert [os.get_inheritable(sock.fileno()) for sock in sockets] == [False, False]
    assert not variables()
    assert systemd.activated() == []


def test_without_names(passed: Passed) -> None:
    passed()
    assert systemd.activated() == [(600, "unknown"), (601, "unknown")]


def test_for_another_process(passed: Passed) -> None:
    """A parent's variables that were not meant for us: not taken, nor handed on."""
    sockets = passed("web:admin", pid=os.getppid())
    assert systemd.activated() == []
    assert os.get_inheritable(sockets[0].fileno())
    assert not variables()


@pytest.mark.parametrize("pid", ["", "x", "-1", "²"])
def test_a_pid_that_is_none(pid: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LISTEN_PID", pid)
    monkeypatch.setenv("LISTEN_FDS", "1")
    assert systemd.activated() == []


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("LISTEN_FDS", "x\x1b", r"LISTEN_FDS=x\\x1b is no number"),
        ("LISTEN_FDS", "-1", "LISTEN_FDS=-1 is no number"),
        ("LISTEN_FDS", "9" * 30, "LISTEN_FDS=999.* is no number"),
        ("LISTEN_FDS", "3", "LISTEN_FDS counts descriptor 602: Bad file descriptor"),
        ("LISTEN_FDNAMES", "a:b:c", "3 names for 2 descriptors"),
        ("LISTEN_FDNAMES", "a", "1 names for 2 descriptors"),
    ],
)
def test_an_environment_that_does_not_add_up(
    passed: Passed, monkeypatch: pytest.MonkeyPatch, name: str, value: str, message: str
) -> None:
    passed("web:admin")
    monkeypatch.setenv(name, value)
    with pytest.raises(SystemRefused, match=message):
        systemd.activated()
    assert not variables()


def expanded(*texts: str) -> list[str]:
    return [str(one) for one in systemd.expand(map(Endpoint.parse, texts))]


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["systemd:"], ["fd://600", "fd://601", "fd://602"]),
        (["systemd:web"], ["fd://600", "fd://602"]),
        (["systemd:admin", "systemd:web"], ["fd://601", "fd://600", "fd://602"]),
        (["systemd:admin", "systemd:"], ["fd://601", "fd://600", "fd://602"]),
        (["tcp://:1", "systemd:admin", "unix:x"], ["tcp://:1", "fd://601", "unix:x"]),
    ],
)
def test_what_an_endpoint_stands_for(passed: Passed, texts: list[str], expected: list[str]) -> None:
    passed("web:admin:web", 3)
    assert expanded(*texts) == expected


def test_a_name_that_was_not_passed(passed: Passed) -> None:
    passed("web:\x1b")
    with pytest.raises(AddressError, match=r"^systemd:admin: no socket .*: \\x1b web$"):
        expanded("systemd:admin")


def test_a_socket_is_taken_once(passed: Passed) -> None:
    passed("web:admin")
    with pytest.raises(AddressError, match="systemd:web: no socket"):
        expanded("systemd:web", "systemd:web")


def test_nothing_was_passed() -> None:
    with pytest.raises(AddressError, match=r"no socket was passed .*systemd-socket-activate"):
        Server("systemd:", Echo).open()


def test_who_does_not_ask_leaves_the_environment_alone(passed: Passed) -> None:
    passed()
    assert expanded("tcp://:1") == ["tcp://:1"]
    assert variables() == {"LISTEN_PID", "LISTEN_FDS"}


# --- notifications -----------------------------------------------------------------------------


@pytest.fixture(params=["path", "abstract"])
def manager(
    request: pytest.FixtureRequest, short_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[socket.socket]:
    """The service manager's socket."""
    if request.param == "abstract" and sys.platform != "linux":
        pytest.skip("abstract names are Linux's")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.settimeout(PATIENCE)
        where = f"{short_directory}/notify"
        sock.bind(where if request.param == "path" else "\0" + where)
        monkeypatch.setenv("NOTIFY_SOCKET", where if request.param == "path" else "@" + where)
        yield sock


def heard(manager: socket.socket) -> list[str]:
    return manager.recv(4096).decode().split("\n")


def test_what_is_said(manager: socket.socket) -> None:
    assert systemd.ready()
    assert heard(manager) == ["READY=1"]
    assert systemd.ready("200 clients")
    assert heard(manager) == ["READY=1", "STATUS=200 clients"]
    assert systemd.stopping()
    assert heard(manager) == ["STOPPING=1"]
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    assert systemd.reloading()
    reloading, at = heard(manager)
    assert reloading == "RELOADING=1"
    assert before <= int(at.removeprefix("MONOTONIC_USEC=")) < before + 1e9
    assert systemd.status("two\nREADY=1")
    assert heard(manager) == [r"STATUS=two\nREADY=1"]


@pytest.mark.parametrize("where", ["", "relative", "vsock:2:1234", "/nowhere/at/all", "@jf-nobody"])
def test_without_a_manager_nothing_happens(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", where)
    assert not systemd.ready()
    monkeypatch.delenv("NOTIFY_SOCKET")
    assert not systemd.ready()


def test_a_manager_that_does_not_read(
    manager: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jackfield.limits.NOTIFY_WAIT", 0.02)
    until(lambda: not systemd.ready())
    assert heard(manager) == ["READY=1"]


def test_the_watchdog(manager: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    planned: list[tuple[t.Any, ...]] = []

    def call_later(*call: t.Any) -> None:
        planned.append(call)

    systemd.keep_alive(call_later)
    assert planned == []
    monkeypatch.setenv("WATCHDOG_USEC", "3000000")
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    systemd.keep_alive(call_later)
    for _ in range(3):
        assert heard(manager) == ["WATCHDOG=1"]
        delay, callback, *rest = planned.pop()
        assert delay == 1.5
        callback(*rest)
    planned.clear()
    for name, value in [("WATCHDOG_PID", "1"), ("WATCHDOG_USEC", "0"), ("WATCHDOG_USEC", "x")]:
        monkeypatch.setenv(name, value)
        systemd.keep_alive(call_later)
    assert planned == []


# --- a whole service ---------------------------------------------------------------------------

LAUNCHER: t.Final = """
import os, sys
for number, fd in enumerate(map(int, sys.argv[1].split(","))):
    os.dup2(fd, 3 + number)
os.environ["LISTEN_PID"] = str(os.getpid())  # exec keeps it
os.execv(sys.argv[2], sys.argv[2:])
"""
"""What systemd does between fork and exec."""


def launch(*arguments: str, sockets: list[socket.socket], names: str) -> Serving:
    """A service to which ``sockets`` are passed as 3, 4, ..."""
    numbers = tuple(sock.fileno() for sock in sockets)
    assert min(numbers) >= 100
    listed = ",".join(map(str, numbers))
    os.environ.update(LISTEN_FDS=str(len(sockets)), LISTEN_FDNAMES=names)
    try:
        command = (sys.executable, "-c", LAUNCHER, listed, *JACKFIELD)
        return Serving(*arguments, command=command, pass_fds=numbers)
    finally:
        del os.environ["LISTEN_FDS"], os.environ["LISTEN_FDNAMES"]


def high(sock: socket.socket) -> socket.socket:
    """The same socket under a number that no other takes meanwhile."""
    moved = socket.socket(fileno=fcntl.fcntl(sock.fileno(), fcntl.F_DUPFD, 100))
    sock.close()
    return moved


def test_a_service_takes_its_sockets_and_leaves_the_file(
    manager: socket.socket, short_directory: Path
) -> None:
    path = short_directory / "web.socket"
    unix = socket.socket(socket.AF_UNIX)
    unix.bind(str(path))
    unix.listen(1)
    tcp = socket.create_server(("127.0.0.1", 0))
    port = tcp.getsockname()[1]
    with (
        high(unix) as first,
        high(tcp) as second,
        launch("serve", "echo", "systemd:", sockets=[first, second], names="web:tcp") as service,
    ):
        service.expect(rf"listening unix:{re.escape(str(path))} fd=3 .*")
        service.expect(rf"listening tcp://127\.0\.0\.1:{port} fd=4 .*")
        assert heard(manager) == ["READY=1"]
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            client.sendall(b"hello")
            assert receive(client, 5) == b"hello"
        with service.connect(port) as other:
            other.sendall(b"hello")
            assert receive(other, 5) == b"hello"
        assert service.terminate() == 0
        assert heard(manager) == ["STOPPING=1"]
        assert path.is_socket()


def test_sockets_by_name(short_directory: Path) -> None:
    """Each endpoint takes its own; what nobody asked for is not served."""
    listeners = [high(socket.create_server(("127.0.0.1", 0))) for _ in range(2)]
    port = listeners[1].getsockname()[1]
    try:
        with launch("serve", "echo", "systemd:b", sockets=listeners, names="a:b") as service:
            service.expect(rf"listening tcp://127\.0\.0\.1:{port} fd=4 .*")
            with service.connect(port) as client:
                client.sendall(b"hello")
                assert receive(client, 5) == b"hello"
            assert service.terminate() == 0
            assert sum(line.startswith("listening") for line in service.said) == 1
    finally:
        for sock in listeners:
            sock.close()


@needs_openssl
@pytest.mark.parametrize("workers", ["0", "2"])
def test_tls_on_one_of_the_sockets(workers: str) -> None:
    """Encrypted is what the endpoint says, by its name; s_client is the peer."""
    listeners = [high(socket.create_server(("127.0.0.1", 0))) for _ in range(2)]
    plain, secure = (listener.getsockname()[1] for listener in listeners)
    pair = certificates().issue("127.0.0.1")
    options = ("--tls-cert", pair.certificate, "--tls-key", pair.key, "--workers", workers)
    endpoints = ("systemd:plain", "systemd:secure?tls=1")
    command = ("serve", "echo", *endpoints, *options, "--log-level", "warning")
    try:
        with launch(*command, sockets=listeners, names="plain:secure") as service:
            service.expect(rf"listening tcp://127\.0\.0\.1:{plain} fd=3 .*")
            service.expect(rf"listening tls://127\.0\.0\.1:{secure} fd=4 .*")
            with service.connect(plain) as client:
                client.sendall(b"hello")
                assert receive(client, 5) == b"hello"
            with Program(*s_client(f"127.0.0.1:{secure}")) as peer:
                peer.type("hello")
                assert peer.read_to("hello")[-1] == "hello"
            assert service.terminate() == 0
    finally:
        for sock in listeners:
            sock.close()


def s_client(where: str) -> tuple[str, ...]:
    """``where``: host and port, or the path of a Unix socket."""
    need("openssl")
    return (
        *("openssl", "s_client", "-unix" if where.startswith("/") else "-connect", where),
        *("-CAfile", certificates().authority, "-verify_ip", "127.0.0.1"),
        *("-verify_return_error", "-quiet"),
    )


@needs_openssl
def test_tls_on_inherited_descriptors(short_directory: Path) -> None:
    """IPv4, and a Unix socket, which has no endpoint of its own with TLS."""
    path = short_directory / "secure"
    unix = socket.socket(socket.AF_UNIX)
    unix.bind(str(path))
    unix.listen(1)
    pair = certificates().issue("127.0.0.1")
    options = ("--tls-cert", pair.certificate, "--tls-key", pair.key)
    with high(unix) as first, high(socket.create_server(("127.0.0.1", 0))) as second:
        port = second.getsockname()[1]
        numbers = (first.fileno(), second.fileno())
        endpoints = [f"fd://{fd}?tls=1" for fd in numbers]
        with Serving("serve", "echo", *endpoints, *options, pass_fds=numbers) as service:
            service.expect(rf"listening unix:{re.escape(str(path))}\?tls=1 fd=.*")
            service.expect(rf"listening tls://127\.0\.0\.1:{port} fd=.*")
            for where in (str(path), f"127.0.0.1:{port}"):
                with Program(*s_client(where)) as peer:
                    peer.type("hello")
                    assert peer.read_to("hello")[-1] == "hello"
            assert service.terminate() == 0
            assert path.is_socket()


@needs_openssl
def test_tls_is_not_for_datagrams() -> None:
    pair = certificates().issue("127.0.0.1")
    options = ("--tls-cert", pair.certificate, "--tls-key", pair.key)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        fd = sock.fileno()
        with Serving("serve", "echo", f"fd://{fd}?tls=1", *options, pass_fds=(fd,)) as service:
            assert service.ended() == 2
            assert service.said == [
                f"jackfield: fd://{fd}: is a datagram socket, and TLS is for streams"
            ]


@pytest.mark.parametrize("endpoint", ["systemd:?tls=1", "fd://3?tls=1"])
def test_tls_wants_a_certificate(endpoint: str) -> None:
    said = run("serve", "echo", endpoint)
    assert said.returncode == 2
    assert said.stderr.startswith(f"jackfield: {endpoint}: needs a certificate; give --tls-cert ")


def test_the_watchdog_of_a_service(manager: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "40000")
    with Serving("serve", "echo", "tcp://127.0.0.1:0") as service:
        service.port()
        assert heard(manager) == ["READY=1"]
        for _ in range(3):
            assert heard(manager) == ["WATCHDOG=1"]
        service.process.send_signal(signal.SIGTERM)
        until(lambda: heard(manager) == ["STOPPING=1"])
        assert service.ended() == 0


@needs_openssl
def test_a_reload_of_a_service(manager: socket.socket) -> None:
    pair = certificates().issue("localhost")
    options = ("--tls-cert", pair.certificate, "--tls-key", pair.key)
    with Serving("serve", "echo", "tls://127.0.0.1:0", *options) as service:
        assert heard(manager) == ["READY=1"]
        service.process.send_signal(signal.SIGHUP)
        assert heard(manager)[0] == "RELOADING=1"
        assert heard(manager) == ["READY=1"]
        assert service.terminate() == 0


def test_a_service_started_by_hand_says_what_is_missing() -> None:
    said = run("serve", "echo", "systemd:web")
    assert said.returncode == 2
    assert said.stderr == (
        "jackfield: systemd:web: no socket was passed to this process; start it from a .socket "
        "unit, or with systemd-socket-activate\n"
    )


def test_systemds_own_launcher(short_directory: Path) -> None:
    """It listens, and starts the service when the first client comes."""
    need("systemd-socket-activate")
    path = short_directory / "echo.socket"
    command = ["systemd-socket-activate", "--listen", str(path), "--fdname=web", *JACKFIELD]
    with subprocess.Popen(
        [*command, "serve", "echo", "systemd:web"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as service:
        try:
            until(lambda: answers(path))
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(PATIENCE)
                client.connect(str(path))
                client.sendall(b"hello")
                assert receive(client, 5) == b"hello"
            service.terminate()
            assert service.wait(PATIENCE) == 0
            assert path.is_socket()
        finally:
            service.kill()


def answers(path: Path) -> bool:
    """Is somebody listening? (A file that nobody listens on yet refuses.)"""
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(str(path)) == 0
