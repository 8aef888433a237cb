"""TLS with peers that we did not write: ``openssl s_client``, ``s_server`` and curl."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import typing as t
from collections.abc import Iterator

import pytest
from tests.certificates import certificates
from tests.contracts.running import Recorder
from tests.outside.programs import Program, ask, need
from tests.support import PATIENCE, until

from jackfield import engines
from jackfield.protocol import Protocol
from jackfield.server import Server
from jackfield.services import ServiceOptions, make
from jackfield.tls import TlsConfig

NAME: t.Final = "server.test"
WORKING: t.Final = [name for name in engines.NAMES if engines.missing(name) is None]


def config(**options: t.Any) -> TlsConfig:
    return TlsConfig(*certificates().issue(NAME, "127.0.0.1"), **options)


class Http(Protocol):
    """HTTP/1.0, as much as curl needs. The body comes in one write of three megabytes."""

    BODY = b"".join(b"%07d\n" % number for number in range(400_000))

    def __init__(self) -> None:
        self.transport: t.Any = None
        self.request = b""

    def connection_made(self, transport: t.Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.request += data
        if self.request.endswith(b"\r\n\r\n"):
            self.transport.write(b"HTTP/1.0 200 OK\r\n\r\n")
            self.transport.write(self.BODY)
            self.transport.close()


@contextlib.contextmanager
def serving(factory: t.Any, tls: TlsConfig | None = None, engine: str = "auto") -> Iterator[int]:
    with Server("tls://127.0.0.1:0", factory, tls=tls or config(), engine=engine) as server:
        yield server.addresses[0].port


def s_client(port: int, *more: str) -> tuple[str, ...]:
    need("openssl")
    return (
        *("openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-servername", NAME),
        *("-CAfile", certificates().authority, "-verify_return_error", "-quiet", *more),
    )


@pytest.mark.parametrize("engine", WORKING)
def test_curl(engine: str) -> None:
    """No length is given: the body ends with the stream, whose end curl checks."""
    need("curl", "openssl")
    with serving(Http, engine=engine) as port:
        body = ask(
            *("curl", "--silent", "--show-error", "--cacert", certificates().authority),
            *("--resolve", f"{NAME}:{port}:127.0.0.1", f"https://{NAME}:{port}/"),
        )
    assert body == Http.BODY


def test_curl_speaking_plainly() -> None:
    need("curl", "openssl")
    protocols: list[Recorder] = []
    with serving(lambda: protocols.append(Recorder())) as port:
        done = subprocess.run(
            ["curl", "--silent", f"http://127.0.0.1:{port}/"], check=False, timeout=PATIENCE
        )
    assert done.returncode == 52  # "Empty reply from server"
    assert not protocols


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_s_client(version: str) -> None:
    need("openssl")
    with (
        serving(make("echo", ServiceOptions(greeting="Hello")).stream) as port,
        Program(*s_client(port, version)) as peer,
    ):
        peer.read_to("Hello")
        for line in ("one", "two"):
            peer.type(line)
            assert peer.read_to(line) == [line]


@pytest.mark.parametrize("version", ["-tls1", "-tls1_1"])
def test_old_versions_are_refused(version: str) -> None:
    need("openssl")
    with serving(Recorder) as port:
        command = s_client(port, version, "-cipher", "ALL:@SECLEVEL=0")
        done = subprocess.run(
            command, input=b"", capture_output=True, check=False, timeout=PATIENCE
        )
    assert done.returncode != 0
    # Or our OpenSSL has been built without them.
    assert b"alert protocol version" in done.stderr or b"nknown option" in done.stderr


def test_renegotiation_is_refused() -> None:
    """A line "R" makes s_client ask for it; the connection is of no more use to it then."""
    need("openssl")
    protocols: list[Recorder] = []

    def factory() -> Recorder:
        protocols.append(Recorder())
        return protocols[-1]

    with serving(factory) as port:
        command = [word for word in s_client(port, "-tls1_2", "-msg") if word != "-quiet"]
        with Program(*command) as peer:
            until(lambda: protocols)
            peer.type("R")
            while "no renegotiation" not in peer.read_line().replace("_", " ").lower():
                pass
    assert protocols[0].data == b""


def test_session_tickets() -> None:
    """A second connection resumes the first one's session."""
    need("openssl")
    with serving(make("daytime", ServiceOptions()).stream) as port:
        command = s_client(port)
        kept = certificates().path("session")
        ask(*command, "-sess_out", str(kept))
        again = [word for word in command if word != "-quiet"]
        assert b"Reused, TLSv1.3" in ask(*again, "-ign_eof", "-sess_in", str(kept))


def test_client_certificates() -> None:
    need("openssl")
    echo = make("echo", ServiceOptions(greeting="Hello")).stream
    with serving(echo, config(client_ca=certificates().authority)) as port:
        certificate, key = certificates().issue("alice")
        with Program(*s_client(port, "-cert", certificate, "-key", key)) as alice:
            alice.read_to("Hello")
        refused = subprocess.run(
            s_client(port), input=b"", capture_output=True, check=False, timeout=PATIENCE
        )
        assert b"alert certificate required" in refused.stderr
        certificate, key = certificates().self_signed("mallory")
        refused = subprocess.run(
            s_client(port, "-cert", certificate, "-key", key),
            input=b"",
            capture_output=True,
            check=False,
            timeout=PATIENCE,
        )
        assert b"alert unknown ca" in refused.stderr


def test_sni() -> None:
    need("openssl")
    with serving(Recorder, config(sni={"other.test": certificates().issue("other.test")})) as port:
        for name in (NAME, "other.test"):
            command = [word for word in s_client(port) if word not in ("-quiet", NAME)]
            command.insert(command.index("-servername") + 1, name)
            assert f"subject=CN = {name}".encode() in ask(*command)


def test_our_client_with_s_server() -> None:
    need("openssl")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    certificate, key = certificates().issue("127.0.0.1")
    server = Program(
        *("openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-naccept", "1", "-rev"),
        *("-cert", certificate, "-key", key),
    )
    connect = (sys.executable, "-m", "jackfield", "connect", f"tls://127.0.0.1:{port}")
    with server:
        server.read_to("ACCEPT")
        with Program(*connect, "--tls-ca", certificates().authority) as ours:
            ours.type("desserts")
            assert ours.read_to("stressed") == ["stressed"]
