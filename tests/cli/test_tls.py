"""TLS on the command line: ``serve`` and ``connect`` as people run them."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import sys
import typing as t
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.certificates import certificates, needs_openssl
from tests.cli.process import JACKFIELD, Serving, run
from tests.contracts.tls import TlsClient
from tests.support import PATIENCE, receive

from jackfield.wire.tls_session import TlsSession

pytestmark = [
    needs_openssl,
    pytest.mark.skipif(sys.platform == "win32", reason="connect is not for Windows"),
]

ENDPOINT: t.Final = "tls://127.0.0.1:0"


def options(*names: str) -> tuple[str, ...]:
    certificate, key = certificates().issue(*names)
    return "--tls-cert", certificate, "--tls-key", key


@pytest.fixture(scope="module")
def echo() -> Iterator[str]:
    """The endpoint of an echo server whose certificate is for localhost and 127.0.0.1."""
    with Serving("serve", "echo", ENDPOINT, *options("localhost", "127.0.0.1")) as server:
        yield f"tls://127.0.0.1:{port_of(server)}"


def port_of(server: Serving) -> int:
    return int(server.expect(r"listening tls://.*:(\d+) fd=\d+ .*")[1])


def connect(*arguments: str, words: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*JACKFIELD, "connect", *arguments],
        input=words,
        capture_output=True,
        timeout=PATIENCE,
        check=False,
    )


def complaint(*arguments: str) -> str:
    done = connect(*arguments, words=b"secret")
    assert (done.returncode, done.stdout) == (1, b"")
    (line,) = done.stderr.decode().splitlines()
    return line


def test_echo(echo: str) -> None:
    words = bytes(range(256)) * 8000
    for endpoint in (echo, echo.replace("127.0.0.1", "localhost")):
        done = connect(endpoint, "--tls-ca", certificates().authority, words=words)
        assert (done.returncode, done.stderr) == (0, b"")
        assert done.stdout == words


def test_by_default_the_systems_authorities_are_asked(echo: str) -> None:
    line = complaint(echo)
    assert line == (
        f"jackfield: {echo}: the peer's certificate is of an authority not known here; "
        "give that authority's certificate with --tls-ca FILE"
    )


def test_the_wrong_name(echo: str) -> None:
    authority = certificates().authority
    line = complaint(echo, "--tls-ca", authority, "--tls-name", "other.test")
    assert "is for another name" in line
    assert "--tls-name" in line


def test_insecure_says_loudly_what_it_is(echo: str) -> None:
    done = connect(echo, "--tls-insecure", words=b"x")
    assert (done.returncode, done.stdout) == (0, b"x")
    assert b"whoever is on the way there can read and change everything" in done.stderr


def test_self_signed() -> None:
    certificate, key = certificates().self_signed("127.0.0.1")
    with Serving("serve", "echo", ENDPOINT, "--tls-cert", certificate, "--tls-key", key) as server:
        endpoint = f"tls://127.0.0.1:{port_of(server)}"
        assert "self-signed" in complaint(endpoint)
        done = connect(endpoint, "--tls-ca", certificate, words=b"x")
        assert (done.returncode, done.stdout) == (0, b"x")


def test_expired(tmp_path: Path) -> None:
    """Ours refuses to start with it; somebody else's is refused by the client."""
    certificate, key = certificates().issue("127.0.0.1", days=-1)
    done = run("serve", "echo", ENDPOINT, "--tls-cert", certificate, "--tls-key", key)
    assert (done.returncode, done.stderr) == (
        2,
        f"jackfield: {certificate}: the certificate has expired\n",
    )


def test_no_tls_at_all() -> None:
    with Serving("serve", "chat", "tcp://127.0.0.1:0") as server:
        line = complaint(f"tls://127.0.0.1:{server.port()}")
    assert "does not speak TLS; it began with '-- welcome" in line
    assert line.endswith("perhaps it speaks plainly, tcp://")


def test_cut_in_the_handshake() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        command = [*JACKFIELD, "connect", f"tls://127.0.0.1:{listener.getsockname()[1]}"]
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE) as client:
            peer, _ = listener.accept()
            with peer:
                peer.settimeout(PATIENCE)
                assert peer.recv(1) == b"\x16"
                peer.recv(65536)
            _, said = client.communicate(timeout=PATIENCE)
    assert b"closed the connection before the TLS handshake was done" in said
    assert client.returncode == 1


def test_an_end_without_close_notify() -> None:
    """What came is written; but somebody on the way may have cut the rest."""
    from jackfield.tls import TlsConfig

    session = TlsSession(TlsConfig(*certificates().issue("127.0.0.1")).context(), server_side=True)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        endpoint = f"tls://127.0.0.1:{listener.getsockname()[1]}"
        command = [*JACKFIELD, "connect", endpoint, "--tls-ca", certificates().authority]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as client:
            peer, _ = listener.accept()
            with peer:
                peer.settimeout(PATIENCE)
                while not session.established:
                    session.feed(peer.recv(65536))
                    session.handshake()
                    peer.sendall(session.take())
                session.encrypt(b"amount: 10")
                peer.sendall(session.take())
                peer.shutdown(socket.SHUT_WR)
                out, err = client.communicate(timeout=PATIENCE)
    assert out == b"amount: 10"
    assert b"without close_notify" in err
    assert client.returncode == 1


def test_client_certificates() -> None:
    authority = certificates().authority
    with Serving(
        *("serve", "echo", ENDPOINT, *options("127.0.0.1"), "--tls-client-ca", authority)
    ) as server:
        endpoint = f"tls://127.0.0.1:{port_of(server)}"
        trusting = (endpoint, "--tls-ca", authority)
        done = connect(*trusting, *options("alice"), words=b"x")
        assert (done.returncode, done.stdout) == (0, b"x")
        assert "give yours with --tls-cert FILE" in complaint(*trusting)
        server.expect(r"disconnected .* reason=tls-peer-did-not-return-a-certificate")


def test_sni() -> None:
    other = ",".join(certificates().issue("other.test"))
    with Serving(
        *("serve", "echo", ENDPOINT, *options("127.0.0.1"), "--tls-sni", f"other.test={other}")
    ) as server:
        endpoint = f"tls://127.0.0.1:{port_of(server)}"
        trusting = (endpoint, "--tls-ca", certificates().authority)
        for named in ((), ("--tls-name", "other.test")):
            assert connect(*trusting, *named, words=b"x").stdout == b"x"


def test_sighup_reloads(tmp_path: Path) -> None:
    files = [tmp_path / "certificate", tmp_path / "key"]

    def install(name: str) -> None:
        for file, made in zip(files, certificates().issue(name), strict=True):
            shutil.copy(made, file)

    def client(port: int, name: str) -> t.Any:
        sock = socket.create_connection(("127.0.0.1", port), PATIENCE)
        return TlsClient(sock, name).handshake()

    install("old.test")
    with Serving(
        *("serve", "echo", ENDPOINT, "--tls-cert", str(files[0]), "--tls-key", str(files[1]))
    ) as server:
        port = port_of(server)
        with client(port, "old.test") as old:
            install("new.test")
            server.process.send_signal(signal.SIGHUP)
            server.expect("certificates reloaded; new connections get them")
            with client(port, "new.test") as new:
                for one in (old, new):
                    one.sendall(b"x")
                    assert receive(one, 1) == b"x"
            files[1].write_text("broken")
            server.process.send_signal(signal.SIGHUP)
            server.expect("warning: certificates not reloaded, the old ones stay in use: .*")
            client(port, "new.test").close()
        assert server.terminate() == 0


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("serve", "echo", ENDPOINT), "needs a certificate"),
        (("serve", "echo", ENDPOINT, "--tls-key", "k"), "give --tls-cert FILE too"),
        (("serve", "echo", "--tls-cert", "nowhere"), "no endpoint is tls://"),
        (("serve", "echo", ENDPOINT, "--tls-cert", "nowhere"), "nowhere: the certificate cannot"),
        (
            ("serve", "echo", ENDPOINT, "--tls-cert", "c", "--tls-sni", "a.test"),
            "write NAME=CERT,KEY",
        ),
        (
            ("serve", "echo", ENDPOINT, "--tls-cert", "c", "--tls-client-optional"),
            "is for --tls-client-ca FILE",
        ),
        (("connect", "tcp://127.0.0.1:1", "--tls-insecure"), "--tls-insecure is for tls://"),
        (("connect", "tls://127.0.0.1:1", "--tls-insecure", "--tls-ca", "x"), "give one"),
        (("connect", "tls://127.0.0.1:1", "--tls-ca", "nowhere"), "nowhere: the authorities"),
        (("connect", "tls://127.0.0.1:0"), "port 0"),
        (("connect", "tls://127.0.0.1:1", "--tls-name", ".x"), "no server is called '.x'"),
    ],
)
def test_mistakes(arguments: tuple[str, ...], expected: str) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert expected in line
