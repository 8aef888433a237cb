"""Certificates for the tests of TLS, made by the ``openssl`` command when first asked for.

One authority, which ``authority`` names, signs what ``issue`` makes. Everything lies in one
directory that is gone at the end of the run.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import tempfile
import typing as t
from pathlib import Path

import pytest

OPENSSL: t.Final = shutil.which("openssl")

needs_openssl = pytest.mark.skipif(
    OPENSSL is None and os.environ.get("CI") != "true", reason="missing Debian package: openssl"
)


class Pair(t.NamedTuple):
    """Paths of a certificate and its key, as the options take them."""

    certificate: str
    key: str


class Certificates:
    """``authority``: path of its certificate. Every key is an elliptic curve's: made in no time."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._made: dict[tuple[str, int], Pair] = {}
        self._authority = self.self_signed("authority")
        self.authority = self._authority.certificate

    def path(self, name: str) -> Path:
        return self._directory / name

    def issue(self, *names: str, days: int = 30) -> Pair:
        """For these DNS names or addresses, signed by the authority; the same pair each time.
        ``days``: -1 for one that has expired."""
        known = (" ".join(names), days)
        if known not in self._made:
            self._made[known] = self._issue(names, days)
        return self._made[known]

    def _issue(self, names: tuple[str, ...], days: int) -> Pair:
        pair = self._pair(f"issued-{len(self._made)}")
        request, extensions = self.path("request"), self.path("extensions")
        self._make_key(pair)
        names_of_it = "subjectAltName=" + ",".join(map(_alternative, names))
        # RFC 5280, 4.2.1.1: whose key signed it. Python 3.13 insists (VERIFY_X509_STRICT).
        extensions.write_text(f"{names_of_it}\nauthorityKeyIdentifier=keyid\n")
        openssl("req", "-new", "-key", pair.key, "-subj", f"/CN={names[0]}", "-out", request)
        openssl(
            *("x509", "-req", "-in", request, "-days", days, "-extfile", extensions),
            *("-CA", self._authority.certificate, "-CAkey", self._authority.key),
            *("-CAcreateserial", "-out", pair.certificate),
        )
        return pair

    def self_signed(self, name: str) -> Pair:
        pair = self._pair(name)
        self._make_key(pair)
        openssl(
            *("req", "-x509", "-key", pair.key, "-days", "30", "-subj", f"/CN={name}"),
            *("-addext", f"subjectAltName={_alternative(name)}"),
            # RFC 5280, 4.2.1.3: it may sign others', and serve.
            *("-addext", "keyUsage=digitalSignature,keyCertSign"),
            *("-out", pair.certificate),
        )
        return pair

    def _pair(self, name: str) -> Pair:
        return Pair(str(self.path(f"{name}.pem")), str(self.path(f"{name}.key")))

    @staticmethod
    def _make_key(pair: Pair) -> None:
        openssl(
            "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", pair.key
        )
        Path(pair.key).chmod(0o600)


def _alternative(name: str) -> str:
    return f"IP:{name}" if name[0].isdigit() or ":" in name else f"DNS:{name}"


def openssl(*arguments: object) -> None:
    """Run it; its complaint is the failure."""
    assert OPENSSL
    done = subprocess.run(
        [OPENSSL, *map(str, arguments)], check=False, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr


@functools.cache
def certificates() -> Certificates:
    """Those of this run."""
    _kept.append(tempfile.TemporaryDirectory(prefix="jf-tls"))
    return Certificates(Path(_kept[0].name))


_kept: list[tempfile.TemporaryDirectory[str]] = []
