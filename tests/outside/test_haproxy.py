"""Behind HAProxy, and before curl: senders of PROXY headers that we did not write."""

from __future__ import annotations

import os
import socket
import subprocess
import typing as t
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.cli.process import Serving
from tests.outside.programs import need
from tests.support import PATIENCE, has_ipv6, receive

CONFIGURATION: t.Final = """
defaults
    mode tcp
    timeout connect 10s
    timeout client 20s
    timeout server 20s
    timeout check 10s

frontend clients
    bind fd@{fd}
    unique-id-format %[uuid]
    default_backend servers

backend servers
    server jackfield {server} {options}
"""


@contextmanager
def haproxy(
    directory: Path, server: str, options: str, host: str = "127.0.0.1"
) -> Iterator[tuple[t.Any, ...]]:
    """HAProxy before ``server``; where it listens, on a socket that we bound for it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as listener:
        file = directory / "haproxy.cfg"
        file.write_text(CONFIGURATION.format(fd=listener.fileno(), server=server, options=options))
        with subprocess.Popen(
            ["haproxy", "-q", "-db", "-f", str(file)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(listener.fileno(),),
        ) as process:
            try:
                yield listener.getsockname()
            finally:
                process.kill()


@pytest.fixture(autouse=True)
def _sbin(monkeypatch: pytest.MonkeyPatch) -> None:
    """Debian keeps HAProxy where the PATH of who is not root does not look."""
    monkeypatch.setenv("PATH", f"{os.environ['PATH']}:/usr/sbin")


def text_of(sockaddr: tuple[t.Any, ...]) -> str:
    return "{}:{}".format(*sockaddr) if len(sockaddr) == 2 else "[{}]:{}".format(*sockaddr[:2])


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
@pytest.mark.parametrize(
    "options",
    ["send-proxy", "send-proxy-v2", "send-proxy-v2 proxy-v2-options crc32c,unique-id"],
)
def test_the_client_before_haproxy_is_seen(options: str, host: str, short_directory: Path) -> None:
    """In whichever version, and over IPv4 for a client of either family."""
    need("haproxy")
    if host == "::1" and not has_ipv6():
        pytest.skip("no IPv6 loopback here")
    with (
        Serving("serve", "echo", "tcp://127.0.0.1:0", "--proxy-from", "127.0.0.1") as server,
        haproxy(short_directory, f"127.0.0.1:{server.port()}", options, host) as address,
        socket.create_connection(address[:2], timeout=PATIENCE) as client,
    ):
        client.sendall(b"hello")
        assert receive(client, 5) == b"hello"
        fd, via = server.expect(r"connected fd=(\d+) peer=(127\.0\.0\.1:\d+)").groups()
        me = text_of(client.getsockname())
        assert server.line() == f"proxied fd={fd} peer={me} via={via}"
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1) == b""
        assert server.line() == f"disconnected fd={fd} peer={me} reason=eof"


def test_over_a_unix_socket(short_directory: Path) -> None:
    need("haproxy")
    path = f"{short_directory}/echo"
    with Serving("serve", "echo", f"unix:{path}", "--proxy-from", "unix") as server:
        server.expect("listening unix:.*")
        with (
            haproxy(short_directory, f"unix@{path}", "send-proxy-v2") as address,
            socket.create_connection(address, timeout=PATIENCE) as client,
        ):
            client.sendall(b"hello")
            assert receive(client, 5) == b"hello"
            me = text_of(client.getsockname())
            server.expect(rf"proxied fd=\d+ peer={me} via=unix")


@pytest.mark.parametrize("options", ["send-proxy check", "send-proxy-v2 check"])
def test_health_checks(options: str, short_directory: Path) -> None:
    """They speak for nobody (LOCAL), and find the server well."""
    need("haproxy")
    with (
        Serving("serve", "echo", "tcp://127.0.0.1:0", "--proxy-from", "127.0.0.1") as server,
        haproxy(short_directory, f"127.0.0.1:{server.port()}", f"{options} inter 50ms"),
    ):
        for _ in range(3):
            ended = server.expect(r"disconnected fd=\d+ peer=127\.0\.0\.1:\d+ reason=(.*)")
            assert ended[1] in ("eof", "ECONNRESET")


def test_haproxy_that_was_not_told_to_send_it(short_directory: Path) -> None:
    """Its clients are not served as if they were HAProxy itself."""
    need("haproxy")
    with (
        Serving("serve", "echo", "tcp://127.0.0.1:0", "--proxy-from", "127.0.0.1") as server,
        haproxy(short_directory, f"127.0.0.1:{server.port()}", "") as address,
        socket.create_connection(address, timeout=PATIENCE) as client,
    ):
        client.sendall(b"hello")
        server.expect(r"disconnected fd=\d+ peer=127\.0\.0\.1:\d+ reason=proxy-header")
        assert client.recv(1) == b""


def test_curl_sends_version_1() -> None:
    """The time of day, whatever curl asks for; its answer has no headers, as in HTTP 0.9."""
    need("curl")
    with Serving("serve", "daytime", "tcp://127.0.0.1:0", "--proxy-from", "127.0.0.1") as server:
        port = server.port()
        command = ["curl", "--silent", "--show-error", "--http0.9", "--haproxy-protocol"]
        said = subprocess.run(
            [*command, "--noproxy", "*", f"http://127.0.0.1:{port}/"],
            check=True,
            capture_output=True,
            timeout=PATIENCE,
        )
        fd, via = server.expect(r"connected fd=(\d+) peer=(127\.0\.0\.1:\d+)").groups()
        assert server.line() == f"proxied fd={fd} peer={via} via={via}"
        assert b":" in said.stdout
