"""TLS settings: the certificates a server shows, and whom each side believes.

    TlsConfig (server)         --context()--> ssl.SSLContext   for transports.tls.TlsFactory
    TlsClientConfig (client)   --context()--> ssl.SSLContext

Whatever is wrong with a file is a ``UsageError`` of one line when it is loaded: missing, not
readable, no PEM, a key of another certificate, expired. TLS 1.2 is the least, renegotiation is
refused (the client could make a server compute without end), session tickets are OpenSSL's.

A server's contexts are exchanged by ``reload``: connections that stand keep theirs.
Must not know sockets, transports or endpoints.
"""

from __future__ import annotations

import dataclasses
import os
import ssl
import stat
import typing as t
from collections.abc import Mapping

from jackfield.endpoint import printable
from jackfield.errors import UsageError
from jackfield.log import log

CERTIFICATE: t.Final = b"-----BEGIN CERTIFICATE-----"
PRIVATE_KEY: t.Final = b"PRIVATE KEY-----"
"""What marks them in a PEM file (RFC 7468); keys have a word before it: RSA, EC, ENCRYPTED."""

NOT_YET, EXPIRED = 9, 10
"""X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED of x509_vfy.h."""

LARGEST: t.Final = 16 * 1024 * 1024
"""Bytes of a PEM file. All authorities of a system take a fifth of a megabyte; beyond this it is
a mistake such as /dev/zero."""


@dataclasses.dataclass(frozen=True)
class TlsConfig:
    """What a server needs for TLS. All files are PEM.

    ``certificate``: ours, then those between it and its authority. ``key``: its private key (the
    same file where none is given). ``sni``: by server name (``example.org``, ``*.example.org``)
    another certificate and key, for clients that ask for it. ``client_ca``: authorities of the
    certificates that clients must show, or may, with ``client_optional``; what they showed is
    ``transport.get_extra_info("peercert")``.
    """

    certificate: str
    key: str = ""
    sni: Mapping[str, tuple[str, str]] = dataclasses.field(default_factory=dict)
    client_ca: str = ""
    client_optional: bool = False
    _loaded: list[ssl.SSLContext] = dataclasses.field(
        default_factory=list, init=False, repr=False, compare=False
    )

    def context(self) -> ssl.SSLContext:
        """What new connections use; loaded by the first call. Raises ``UsageError``."""
        if not self._loaded:
            self.reload()
        return self._loaded[0]

    def reload(self) -> None:
        """Read the files again, for new connections. Raises ``UsageError`` if one is wrong: then
        what was loaded before stays."""
        context = self._load()
        self._loaded[:] = [context]

    def _load(self) -> ssl.SSLContext:
        if self.client_optional and not self.client_ca:
            raise UsageError("client_optional: name the authorities of client certificates too")
        default = self._load_one(self.certificate, self.key)
        named = {name.lower(): self._load_one(*files) for name, files in self.sni.items()}
        if named:

            def choose(connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
                chosen = named.get((name or "").lower()) or named.get(_wildcard(name or ""))
                if chosen is not None:
                    connection.context = chosen

            default.sni_callback = choose
        return default

    def _load_one(self, certificate: str, key: str) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_NO_RENEGOTIATION
        _load_chain(context, certificate, key)
        _require_valid_now(context, certificate)
        if self.client_ca:  # in each: after the choice by name its own authorities count
            _load_authorities(context, self.client_ca)
            optional = self.client_optional
            context.verify_mode = ssl.CERT_OPTIONAL if optional else ssl.CERT_REQUIRED
        return context


@dataclasses.dataclass(frozen=True)
class TlsClientConfig:
    """Whom a client believes, and what it shows. All files are PEM.

    ``ca``: authorities, or the very certificate of the server, believed instead of the system's.
    ``insecure``: believe anybody; the connection is then safe from listeners only. ``certificate``,
    ``key``: shown to a server that asks.
    """

    ca: str = ""
    insecure: bool = False
    certificate: str = ""
    key: str = ""

    def context(self) -> ssl.SSLContext:
        """A new context. Raises ``UsageError`` if a file is wrong."""
        if self.insecure and self.ca:
            raise UsageError("tls: insecure and an authority to believe exclude each other")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        elif self.ca:
            _load_authorities(context, self.ca)
            context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # a server's own certificate
        else:
            context.load_default_certs(ssl.Purpose.SERVER_AUTH)
        if self.certificate:
            _load_chain(context, self.certificate, self.key)
        elif self.key:
            raise UsageError(f"{_shown(self.key)}: a key alone; name its certificate too")
        return context


def _wildcard(name: str) -> str:
    """The name under which a wildcard certificate for ``name`` is listed."""
    return "*." + name.lower().partition(".")[2]


# --- files -----------------------------------------------------------------------------------


def _load_chain(context: ssl.SSLContext, certificate: str, key: str) -> None:
    if CERTIFICATE not in _read(certificate, "certificate"):
        raise UsageError(f"{_shown(certificate)}: there is no PEM certificate in it")
    key = key or certificate
    if PRIVATE_KEY not in _read(key, "private key"):
        hint = "; name the file of the key too" if key == certificate else ""
        raise UsageError(f"{_shown(key)}: there is no PEM private key in it{hint}")
    _warn_if_open(key)

    def no_password() -> t.NoReturn:
        raise UsageError(f"{_shown(key)}: the key is encrypted; decrypt it with: openssl pkey")

    try:
        context.load_cert_chain(certificate, key, no_password)
    except ssl.SSLError as exc:
        if exc.reason == "KEY_VALUES_MISMATCH":
            why = f"is not the key of {_shown(certificate)}"
            raise UsageError(f"{_shown(key)}: {why}") from exc
        name = (exc.reason or "it cannot be decoded").lower().replace("_", " ")
        why = f"OpenSSL refuses {_shown(certificate)} with the key {_shown(key)}: {name}"
        raise UsageError(why) from exc


def _load_authorities(context: ssl.SSLContext, path: str) -> None:
    if CERTIFICATE not in _read(path, "authorities"):
        raise UsageError(f"{_shown(path)}: there is no PEM certificate in it")
    try:
        context.load_verify_locations(path)
    except ssl.SSLError as exc:
        name = (exc.reason or "it cannot be decoded").lower().replace("_", " ")
        raise UsageError(f"{_shown(path)}: OpenSSL refuses it: {name}") from exc


def _read(path: str, what: str) -> bytes:
    """The file, which OpenSSL's own errors would not name."""
    try:
        with open(path, "rb") as file:
            return file.read(LARGEST)
    except OSError as exc:
        raise UsageError(f"{_shown(path)}: the {what} cannot be read: {exc.strerror}") from exc


def _shown(path: str) -> str:
    return printable(os.fsencode(path))


def _warn_if_open(key: str) -> None:
    """Group members may read it, as Debian's group ssl-cert does; others may not."""
    mode = stat.S_IMODE(os.stat(key).st_mode)
    if os.name == "posix" and mode & 0o027:
        whoever = "others may read" if mode & 0o004 else "others may replace"
        log().warning("%s: %s this private key (mode %o); chmod 600 it", _shown(key), whoever, mode)


def _require_valid_now(context: ssl.SSLContext, path: str) -> None:
    """Shake hands with ourselves: only a verifying client looks at a certificate's dates."""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # it is its own authority
    client.load_verify_locations(path)
    here, there = ssl.MemoryBIO(), ssl.MemoryBIO()
    asking = client.wrap_bio(here, there)
    answering = context.wrap_bio(there, here, server_side=True)
    try:
        for side in (asking, answering, asking):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                pass
    except ssl.SSLCertVerificationError as exc:
        if exc.verify_code in (NOT_YET, EXPIRED):
            state = "has expired" if exc.verify_code == EXPIRED else "is not yet valid"
            raise UsageError(f"{_shown(path)}: the certificate {state}") from exc
    except ssl.SSLError:  # whatever else is wrong, each client will judge by itself
        pass
