"""Certificates as files: what is wrong with them is said in one line, before anybody is served."""

from __future__ import annotations

import logging
import shutil
import ssl
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest
from tests.certificates import certificates, needs_openssl, openssl

from jackfield import tls
from jackfield.errors import UsageError
from jackfield.protocol import Protocol
from jackfield.server import Server
from jackfield.tls import TlsClientConfig, TlsConfig

pytestmark = needs_openssl

NAME: t.Final = "server.test"


def complaint(config: TlsConfig | TlsClientConfig) -> str:
    with pytest.raises(UsageError) as caught:
        config.context()
    text = str(caught.value)
    assert "\n" not in text
    assert text.isprintable()
    return text


def test_the_least_is_tls_1_2_without_renegotiation_and_compression() -> None:
    context = TlsConfig(*certificates().issue(NAME)).context()
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert context.options & ssl.OP_NO_RENEGOTIATION
    assert context.options & ssl.OP_NO_COMPRESSION
    assert context.verify_mode == ssl.CERT_NONE
    assert TlsClientConfig().context().minimum_version == ssl.TLSVersion.TLSv1_2


def test_a_certificate_and_its_key_in_one_file(tmp_path: Path) -> None:
    certificate, key = certificates().issue(NAME)
    both = tmp_path / "both.pem"
    both.write_text(Path(key).read_text() + Path(certificate).read_text())
    both.chmod(0o600)
    assert TlsConfig(str(both)).context()


def test_a_missing_file(tmp_path: Path) -> None:
    certificate, key = certificates().issue(NAME)
    nowhere = str(tmp_path / "nowhere")
    assert complaint(TlsConfig(nowhere, key)) == (
        f"{nowhere}: the certificate cannot be read: No such file or directory"
    )
    assert "the private key cannot be read" in complaint(TlsConfig(certificate, nowhere))
    assert "cannot be read" in complaint(TlsConfig(certificate, key, client_ca=nowhere))
    assert "Is a directory" in complaint(TlsConfig(str(tmp_path), key))


def test_a_name_that_does_not_print(tmp_path: Path) -> None:
    assert r"\x1b" in complaint(TlsConfig(str(tmp_path / "\x1b[31m"), ""))


def test_the_key_of_another_certificate() -> None:
    certificate, _ = certificates().issue(NAME)
    _, other = certificates().issue("other.test")
    assert complaint(TlsConfig(certificate, other)) == f"{other}: is not the key of {certificate}"


def test_the_wrong_kind_of_file(tmp_path: Path) -> None:
    certificate, key = certificates().issue(NAME)
    assert "no PEM certificate" in complaint(TlsConfig(key, certificate))
    assert "name the file of the key too" in complaint(TlsConfig(certificate))
    junk = tmp_path / "junk"
    junk.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    assert "OpenSSL refuses" in complaint(TlsConfig(str(junk), key))
    assert "OpenSSL refuses" in complaint(TlsConfig(certificate, key, client_ca=str(junk)))
    assert "no PEM certificate" in complaint(TlsClientConfig(ca=key))


def test_an_encrypted_key_asks_nobody(tmp_path: Path) -> None:
    certificate, key = certificates().issue(NAME)
    encrypted = tmp_path / "encrypted"
    openssl("pkey", "-in", key, "-aes256", "-passout", "pass:secret", "-out", encrypted)
    encrypted.chmod(0o600)
    assert "the key is encrypted" in complaint(TlsConfig(certificate, str(encrypted)))


def test_an_expired_certificate() -> None:
    certificate, key = certificates().issue("expired.test", days=-1)
    assert complaint(TlsConfig(certificate, key)) == f"{certificate}: the certificate has expired"
    good = certificates().issue(NAME)
    sni = {"expired.test": (certificate, key)}
    assert "expired" in complaint(TlsConfig(*good, sni=sni))


@pytest.mark.parametrize(
    ("mode", "warning"), [(0o600, ""), (0o640, ""), (0o644, "others may read"), (0o622, "replace")]
)
def test_a_key_that_others_may_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, mode: int, warning: str
) -> None:
    certificate, key = certificates().issue(NAME)
    copied = tmp_path / "key"
    shutil.copy(key, copied)
    copied.chmod(mode)
    with caplog.at_level(logging.WARNING, "jackfield"):
        TlsConfig(certificate, str(copied)).context()
    assert (warning in caplog.text) if warning else not caplog.records


def test_contradictions() -> None:
    certificate, key = certificates().issue(NAME)
    assert "client_optional" in complaint(TlsConfig(certificate, key, client_optional=True))
    assert "exclude each other" in complaint(TlsClientConfig(ca=certificate, insecure=True))
    assert "name its certificate too" in complaint(TlsClientConfig(key=key))


def test_reload_keeps_what_works(tmp_path: Path) -> None:
    files = [tmp_path / "certificate", tmp_path / "key"]
    for file, made in zip(files, certificates().issue(NAME), strict=True):
        shutil.copy(made, file)
    config = TlsConfig(str(files[0]), str(files[1]))
    first = config.context()
    assert config.context() is first
    config.reload()
    second = config.context()
    assert second is not first
    files[1].unlink()
    with pytest.raises(UsageError):
        config.reload()
    assert config.context() is second


def test_a_config_is_a_value() -> None:
    pair = certificates().issue(NAME)
    one, other = TlsConfig(*pair), TlsConfig(*pair)
    one.context()
    assert one == other
    assert "context" not in repr(one).lower()


def test_importing_jackfield_loads_no_openssl() -> None:
    code = (
        "import sys, jackfield; from jackfield import Server, Room, Protocol; "
        "import jackfield.cli.serve, jackfield.cli.connect; "
        "sys.exit('ssl' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


# --- a server's ------------------------------------------------------------------------------


def test_an_endpoint_without_certificates() -> None:
    with pytest.raises(UsageError, match="needs a certificate; give --tls-cert FILE"):
        Server("tls://127.0.0.1:0", Protocol)


def test_certificates_without_an_endpoint() -> None:
    config = TlsConfig(*certificates().issue(NAME))
    with pytest.raises(UsageError, match="no endpoint is tls://"):
        Server("tcp://127.0.0.1:0", Protocol, tls=config)


def test_a_servers_reload_logs_one_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = TlsConfig(*certificates().issue(NAME))
    server = Server("tls://127.0.0.1:0", Protocol, tls=config)
    kept = config.context()
    monkeypatch.setattr(tls, "CERTIFICATE", b"no such mark")
    with caplog.at_level(logging.INFO, "jackfield"):
        server.reload_tls()
        assert len(caplog.records) == 1
        assert "the old ones stay in use" in caplog.text
        assert config.context() is kept
        monkeypatch.undo()
        server.reload_tls()
    assert len(caplog.records) == 2
    assert config.context() is not kept
