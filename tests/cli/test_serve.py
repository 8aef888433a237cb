"""``jackfield serve``: what it prints, what it logs, how it ends, what it refuses and how."""

from __future__ import annotations

import os
import re
import signal
import socket
import struct
import sys
import typing as t
from pathlib import Path

import pytest
from tests.cli.process import JACKFIELD, Serving, run
from tests.support import receive, receive_all, receive_until, reset, until

from jackfield import engines, limits
from jackfield.cli import main, serving
from jackfield.errors import UsageError

ANY: t.Final = "tcp://127.0.0.1:0"
ENGINES: t.Final = [name for name in engines.NAMES if engines.missing(name) is None]
LISTENING: t.Final = r"listening tcp://127\.0\.0\.1:(\d+) fd=(\d+) engine=(\w+) backlog=(\d+)"

# --- what it prints and logs -----------------------------------------------------------------


@pytest.mark.parametrize("engine", ENGINES)
def test_one_line_per_listener_with_the_real_port(engine: str) -> None:
    with Serving("serve", "echo", "--engine", engine, ANY, ANY) as server:
        ports = []
        for _ in range(2):
            line = server.line() or ""
            found = re.fullmatch(LISTENING, line)
            assert found, line
            assert found[3] == engine
            assert found[4] == "128"
            ports.append(int(found[1]))
        assert len(set(ports)) == 2
        for port in ports:
            with server.connect(port) as client:
                client.sendall(b"hello")
                assert receive(client, 5) == b"hello"


def test_the_defaults(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """As Server is given them: a test does not take the default port from anybody."""
    asked: dict[str, t.Any] = {}

    def server(endpoints: t.Any, _factory: t.Any, **options: t.Any) -> t.NoReturn:
        asked.update(options, endpoints=endpoints)
        raise UsageError("seen enough")

    monkeypatch.setattr(serving, "_log_to_stderr", lambda _level: None)
    monkeypatch.setattr(serving, "Server", server)
    assert main(["serve", "echo", "--log-level", "warning"]) == 2
    assert capsys.readouterr().err == "jackfield: seen enough\n"
    expected = {
        "endpoints": "tcp://127.0.0.1:8888",
        "engine": "auto",
        "backlog": limits.BACKLOG,
        "idle_timeout": 0,
        "login_timeout": 0,
        "max_connections": 0,
        "max_per_host": 0,
        "max_per_second": 0,
        "workers": 0,
        "drain": limits.DRAIN,
        "proxy_from": "",
        "user": "",
        "group": "",
        "tls": None,
    }
    assert expected.items() <= asked.items()


def test_who_comes_and_goes_is_logged_with_descriptor_and_address() -> None:
    with Serving("serve", "echo", ANY) as server:
        with server.connect(server.port()) as client:
            host, port = client.getsockname()
            found = server.expect(rf"connected fd=(\d+) peer={re.escape(host)}:{port}")
        server.expect(rf"disconnected fd={found[1]} peer={re.escape(host)}:{port} reason=eof")


def test_a_reset_is_logged_by_its_name() -> None:
    with Serving("serve", "echo", ANY) as server:
        client = server.connect(server.port())
        server.expect(r"connected .*")
        reset(client)
        server.expect(r"disconnected fd=\d+ peer=127\.0\.0\.1:\d+ reason=ECONNRESET")


def test_a_unix_socket_is_listed_private_and_removed_at_the_end(short_directory: Path) -> None:
    path = short_directory / "chat"
    with Serving("serve", "chat", f"unix:{path}") as server:
        server.expect(rf"listening unix:{re.escape(str(path))} fd=\d+ engine=\w+ backlog=128")
        assert path.stat().st_mode & 0o777 == 0o600
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            receive_until(client, b"-- guest-1 joined lobby\r\n")
            server.expect(r"connected fd=\d+ peer=unix")
        assert server.terminate() == 0
        assert not path.exists()


def test_an_inherited_descriptor() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        fd, port = listener.fileno(), listener.getsockname()[1]
        with Serving("serve", "echo", f"fd://{fd}", pass_fds=(fd,)) as server:
            server.expect(rf"listening tcp://127\.0\.0\.1:{port} fd=\d+ engine=\w+ backlog=\d+")
            with server.connect(port) as client:
                client.sendall(b"hello")
                assert receive(client, 5) == b"hello"


def test_a_backlog_the_kernel_cuts_is_reported() -> None:
    try:
        most = int(Path("/proc/sys/net/core/somaxconn").read_text())
    except OSError:
        pytest.skip("no /proc/sys/net/core/somaxconn here")
    with Serving("serve", "echo", "--backlog", str(most + 1), ANY) as server:
        server.expect(rf"listening .* backlog={most}")
        server.expect(
            rf"warning: tcp://127\.0\.0\.1:\d+: backlog {most + 1} was asked for, the kernel "
            rf"allows {most}; raise it with: sysctl net\.core\.somaxconn={most + 1}"
        )


def test_the_log_level() -> None:
    with Serving("serve", "echo", "--log-level", "warning", ANY) as server:
        with server.connect(server.port()) as client:
            client.sendall(b"x")
            assert receive(client, 1) == b"x"
        assert server.terminate() == 0
        assert len(server.said) == 1


# --- services and options --------------------------------------------------------------------


def test_the_greeting_of_echo_and_of_chat() -> None:
    for service, greeting in (("echo", b"Hello\r\n"), ("chat", b"-- Hello\r\n")):
        with (
            Serving("serve", service, "--greeting", "Hello", ANY) as server,
            server.connect(server.port()) as client,
        ):
            assert receive(client, len(greeting)) == greeting


def test_udp_beside_tcp() -> None:
    with Serving("serve", "time", ANY, "udp://127.0.0.1:0") as server:
        port = server.port()
        found = server.expect(r"listening udp://127\.0\.0\.1:(\d+) fd=\d+ engine=\w+")
        with server.connect(port) as client:
            (stream,) = struct.unpack("!I", receive_all(client))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(20)
            client.sendto(b"what?", ("127.0.0.1", int(found[1])))
            (datagram,) = struct.unpack("!I", client.recv(100))
        assert 0 <= datagram - stream < 60


def test_the_idle_and_the_login_deadline() -> None:
    for option in ("idle", "login"):
        with (
            Serving("serve", "chat", f"--{option}-timeout", "0.05", ANY) as server,
            server.connect(server.port()) as client,
        ):
            assert b"\r\n-- disconnected: " in receive_all(client)
            server.expect(rf"disconnected .* reason={option}-timeout")


@pytest.mark.parametrize("option", ["--max-connections", "--max-per-host"])
def test_one_connection_too_many_is_refused_and_logged(option: str) -> None:
    with Serving("serve", "echo", "--greeting", "Hello", option, "1", ANY) as server:
        port = server.port()
        with server.connect(port) as first, server.connect(port) as second:
            assert receive(first, 7) == b"Hello\r\n"
            assert receive_all(second) == b""
            server.expect(r"warning: refused peer=127\.0\.0\.1:\d+ reason=[a-z-]+")


def test_flood_off_and_on() -> None:
    lines = b"x\n" * 200
    with (
        Serving("serve", "chat", "--flood", "off", ANY) as server,
        server.connect(server.port()) as client,
    ):
        client.sendall(lines + b"/quit\n")
        assert receive_all(client).count(b"<guest-1> x\r\n") == 200
    with (
        Serving("serve", "chat", "--flood", "0.5", ANY) as server,
        server.connect(server.port()) as client,
    ):
        client.sendall(lines)
        assert receive_all(client).endswith(b"-- disconnected: too many lines too fast\r\n")
        server.expect(r"disconnected .* reason=flood")


# --- your own protocol -----------------------------------------------------------------------

TEN_LINES: t.Final = """\
from jackfield import Protocol, Room, serve

room = Room()

class Everyone(Protocol):
    def connection_made(self, transport):
        self.transport = transport
        room.join(transport)
    def data_received(self, data):
        room.publish(data)
    def connection_lost(self, exc):
        room.leave(self.transport)
"""

DATAGRAMS: t.Final = """\
from jackfield import DatagramProtocol

class Shout(DatagramProtocol):
    def connection_made(self, transport):
        self.transport = transport
    def datagram_received(self, data, addr):
        self.transport.sendto(data.upper(), addr)
"""


def talk_in_the_room(server: Serving) -> None:
    port = server.port()
    with server.connect(port) as one, server.connect(port) as two:
        for _ in range(2):
            server.expect(r"connected .*")
        one.sendall(b"hello")
        assert receive(one, 5) == receive(two, 5) == b"hello"
        two.sendall(b"you too")
        assert receive(one, 7) == receive(two, 7) == b"you too"
    assert server.terminate() == 0


def test_the_ten_lines_of_the_readme_as_a_program(tmp_path: Path) -> None:
    (tmp_path / "everyone.py").write_text(f'{TEN_LINES}\nserve("{ANY}", Everyone)\n')
    with Serving("everyone.py", cwd=tmp_path, command=(sys.executable,)) as server:
        talk_in_the_room(server)


def test_a_protocol_from_the_working_directory(tmp_path: Path) -> None:
    (tmp_path / "everyone.py").write_text(TEN_LINES)
    with Serving("serve", "everyone:Everyone", ANY, cwd=tmp_path) as server:
        talk_in_the_room(server)


def test_a_datagram_protocol_from_the_working_directory(tmp_path: Path) -> None:
    (tmp_path / "shout.py").write_text(DATAGRAMS)
    with (
        Serving("serve", "shout:Shout", "udp://127.0.0.1:0", cwd=tmp_path) as server,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client,
    ):
        client.settimeout(20)
        client.sendto(b"hello", ("127.0.0.1", server.port()))
        assert client.recv(100) == b"HELLO"


def test_a_protocol_that_raises_ends_its_own_connection_alone(tmp_path: Path) -> None:
    (tmp_path / "shaky.py").write_text(
        "from jackfield import Protocol\n"
        "class Shaky(Protocol):\n"
        "    def connection_made(self, transport):\n"
        "        self.transport = transport\n"
        "    def data_received(self, data):\n"
        "        self.transport.write(b'%d' % (1 // (data != b'0')))\n"
    )
    with Serving("serve", "shaky:Shaky", ANY, cwd=tmp_path) as server:
        port = server.port()
        with server.connect(port) as good, server.connect(port) as bad:
            bad.sendall(b"0")
            server.expect(r"error: exception in a callback fd=\d+ peer=127\.0\.0\.1:\d+")
            server.expect(r"disconnected .* reason=ZeroDivisionError")
            good.sendall(b"1")
            assert receive(good, 1) == b"1"


# --- the end ---------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_drains_and_the_status_is_0(number: signal.Signals) -> None:
    with Serving("serve", "chat", ANY) as server:
        port = server.port()
        with server.connect(port) as client:
            receive_until(client, b"-- guest-1 joined lobby\r\n")
            server.process.send_signal(number)
            assert receive_all(client) == b"-- disconnected: the server is shutting down\r\n"
        assert server.ended() == 0
        assert re.fullmatch(r"disconnected fd=\d+ peer=127\.0\.0\.1:\d+ reason=.+", server.said[-1])
        with pytest.raises(ConnectionRefusedError):
            server.connect(port)


def test_a_signal_as_soon_as_it_listens_is_no_crash() -> None:
    for _ in range(5):
        with Serving("serve", "discard", ANY) as server:
            server.port()
            assert server.terminate() == 0


def test_what_has_been_sent_to_it_is_still_answered() -> None:
    sent = os.urandom(20_000)
    with Serving("serve", "echo", ANY) as server:
        with server.connect(server.port()) as client:
            server.expect("connected .*")
            client.sendall(sent)  # over loopback it has arrived when this returns
            server.process.send_signal(signal.SIGTERM)
            assert receive_all(client) == sent
        assert server.ended() == 0


def test_a_second_signal_ends_it_at_once() -> None:
    """The client reads nothing: alone the drain would take its minute."""
    with (
        Serving("serve", "chargen", "--drain", "60", ANY) as server,
        server.connect(server.port()) as client,
    ):
        client.recv(1)
        server.process.send_signal(signal.SIGTERM)
        until(lambda: refused(client.getpeername()))
        assert server.process.poll() is None
        assert server.terminate() == 0


def refused(address: t.Any) -> bool:
    try:
        socket.create_connection(address, timeout=20).close()
    except ConnectionRefusedError:
        return True
    except ConnectionResetError:
        pass
    return False


def test_the_drain_has_its_time_and_no_more() -> None:
    with (
        Serving("serve", "chargen", "--drain", "0.05", ANY) as server,
        server.connect(server.port()) as client,
    ):
        client.recv(1)
        assert server.terminate() == 0


# --- refusals --------------------------------------------------------------------------------

REFUSED: t.Final = [
    (["serve"], "Missing argument 'SERVICE'; see jackfield serve --help"),
    (["serve", "qotd"], "unknown service 'qotd'; known: chat "),
    (["serve", ""], "unknown service ''"),
    (["serve", "echo", "8888"], "8888: the scheme is missing"),
    (["serve", "echo", "tcp://127.0.0.1:70000"], "tcp://127.0.0.1:70000: port 70000 is outside"),
    (["serve", "echo", "tcp://::1:80"], "tcp://::1:80: "),
    (["serve", "echo", "http://localhost:80"], "http://localhost:80: unknown scheme 'http'"),
    (["serve", "echo", "fd://1000"], "fd://1000: descriptor 1000 is not open"),
    (["serve", "echo", "unix:/nowhere/at/all"], "unix:/nowhere/at/all: the directory"),
    (["serve", "echo", ""], "an empty text is no endpoint"),
    (["serve", "echo", "tcp://127.0.0.1:0\n"], "tcp://127.0.0.1:0\\n: character 18 is '\\n'"),
    (["serve", "echo", ANY, "--engine", "warp"], "unknown engine 'warp'; known: auto "),
    (["serve", "echo", ANY, "--backlog", "-1"], "Invalid value for '--backlog': -1 "),
    (["serve", "echo", ANY, "--drain", "-0.1"], "Invalid value for '--drain': -0.1 "),
    (["serve", "echo", ANY, "--drain", "nan"], "drain must be 0 or more, not nan"),
    (["serve", "echo", ANY, "--idle-timeout", "-1"], "Invalid value for '--idle-timeout'"),
    (["serve", "echo", ANY, "--login-timeout", "x"], "Invalid value for '--login-timeout'"),
    (["serve", "echo", ANY, "--max-connections", "-1"], "Invalid value for '--max-connections'"),
    (["serve", "echo", ANY, "--max-per-host", "1.5"], "Invalid value for '--max-per-host'"),
    (["serve", "chat", ANY, "--flood", "fast"], "Invalid value for '--flood': 'fast' is neither"),
    (["serve", "chat", ANY, "--flood", "-1"], "Invalid value for '--flood': '-1' is neither"),
    (["serve", "chat", ANY, "--flood", "nan"], "Invalid value for '--flood': 'nan' is neither"),
    (["serve", "chat", ANY, "--log-level", "loud"], "Invalid value for '--log-level': 'loud'"),
    (
        ["serve", "chat", "udp://127.0.0.1:0"],
        "chat is not served by datagrams; use tcp:// or unix:",
    ),
    (["serve", "chargen", "udp://127.0.0.1:0"], "chargen is not served by datagrams"),
    (["serve", "discard", ANY, "--greeting", "Hi"], "--greeting is for chat and echo, not for"),
    (["serve", "echo", ANY, "--flood", "9"], "--flood is for chat, not for echo"),
    (["serve", "echo", ANY, "--greeting", "caf\udce9"], "--greeting is not valid UTF-8"),
    (["serve", "os:getcwd", ANY, "--greeting", "Hi"], "--greeting is for chat and echo, not for"),
    (["serve", "nowhere:Factory"], "nowhere:Factory: there is no module nowhere here or installed"),
    (["serve", "os:Missing"], "os:Missing: os has no protocol class or factory 'Missing'"),
    (["serve", "os:"], "os:: os has no protocol class or factory ''"),
    (["serve", "os:name"], "os:name: os has no protocol class or factory 'name'"),
    (["serve", ":Factory"], ":Factory: write module:Factory, as in myserver:MyProtocol"),
    (["serve", ".here:Factory"], ".here:Factory: write module:Factory"),
    (["serve", "a\nb:Factory"], "a\\nb:Factory: write module:Factory"),
    (["serve", "room.py:Everyone"], "room.py:Everyone: a module is named without its .py"),
    (["serve", ANY], f"{ANY} is an endpoint; name the service first, as in echo {ANY}"),
    (["serve", "unix:/tmp/chat"], "unix:/tmp/chat is an endpoint; name the service first"),
    (["serve", "systemd:"], "systemd: is an endpoint; name the service first"),
    (["serve", "echo", "systemd:web"], "systemd:web: no socket was passed to this process"),
    (["serve", "echo", ANY, "--proxy-from", "lo"], "proxy_from 'lo': 'lo' does not appear to be"),
    (["serve", "echo", ANY, "--user", "no-such-user"], "--user no-such-user: there is no such"),
    (["serve", "echo", ANY, "--group", "no-such"], "--group no-such: there is no such group"),
    (["serve", "echo", ANY, "--user", "a:b", "--group", "c"], "the group is given once"),
    (["serve", "echo", "--colour"], "No such option"),
]


@pytest.mark.parametrize(("arguments", "why"), REFUSED, ids=lambda value: None)
def test_a_mistake_is_one_line_and_status_2(arguments: list[str], why: str) -> None:
    check_refusal(run(*arguments), why)


def check_refusal(ended: t.Any, why: str) -> None:
    assert ended.returncode == 2, ended.stderr
    assert ended.stdout == ""
    assert ended.stderr.startswith(f"jackfield: {why}"), ended.stderr
    assert ended.stderr.count("\n") == 1
    assert ended.stderr.rstrip("\n").isprintable()


@pytest.mark.parametrize("engine", [name for name in engines.NAMES if engines.missing(name)])
def test_an_engine_this_system_lacks(engine: str) -> None:
    check_refusal(
        run("serve", "echo", ANY, "--engine", engine), f"engine {engine} is not available here: "
    )


def test_a_port_in_use_names_who_holds_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        endpoint = f"tcp://127.0.0.1:{holder.getsockname()[1]}"
        ended = run("serve", "echo", endpoint)
    check_refusal(ended, f"{endpoint}: in use by ")
    assert ended.stderr.endswith("; stop it or choose another port\n")
    if sys.platform == "linux":
        assert str(os.getpid()) in ended.stderr


def test_a_port_in_use_for_udp() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as holder:
        holder.bind(("127.0.0.1", 0))
        endpoint = f"udp://127.0.0.1:{holder.getsockname()[1]}"
        check_refusal(run("serve", "echo", endpoint), f"{endpoint}: in use by ")


def test_a_refused_endpoint_leaves_no_file_of_the_others(short_directory: Path) -> None:
    path = short_directory / "chat"
    check_refusal(run("serve", "chat", f"unix:{path}", "tcp://127.0.0.1:70000"), "tcp://")
    with socket.create_server(("127.0.0.1", 0)) as holder:
        taken = f"tcp://127.0.0.1:{holder.getsockname()[1]}"
        check_refusal(run("serve", "chat", f"unix:{path}", taken), taken)
    assert not path.exists()


WITHOUT_PRIVILEGE: t.Final = """\
import os, sys
from jackfield import cli, engines
from jackfield.cli import serve  # before the change of user, who may not read all of it
from jackfield.kernel import procfs
from jackfield.engines import reactor
from jackfield.pollers import poll, select
from jackfield.services import small
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
sys.exit(cli.main(["serve", "discard", "--engine", "select", "tcp://127.0.0.1:" + sys.argv[1]]))
"""


def test_a_port_that_wants_a_privilege() -> None:
    first = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")
    if not first.exists() or int(first.read_text()) < 2:
        pytest.skip("this system lets everybody listen on every port")
    ended = run("1", command=(sys.executable, "-c", WITHOUT_PRIVILEGE))
    check_refusal(ended, "tcp://127.0.0.1:1: no permission: ports under 1024 want root")


def test_python_m_and_the_installed_command_are_the_same(tmp_path: Path) -> None:
    script = Path(sys.executable).with_name("jackfield")
    if not script.exists():
        pytest.skip("jackfield is not installed beside this Python")
    for arguments in (["--version"], ["engines"], ["serve", "qotd"]):
        ours, theirs = run(*arguments), run(*arguments, command=(str(script),))
        assert (ours.returncode, ours.stdout, ours.stderr) == (
            theirs.returncode,
            theirs.stdout,
            theirs.stderr,
        )
    assert JACKFIELD[1:] == ("-m", "jackfield")
