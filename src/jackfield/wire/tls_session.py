"""One TLS connection without its socket: ciphertext in and out, plaintext out and in.

    feed(from the peer) -> handshake() until it is done -> decrypt() -> plaintext
    encrypt(plaintext), close_notify()                  -> take() -> to the peer

Python's ``ssl.SSLObject`` between two ``MemoryBIO``: OpenSSL does the cryptography, and what it
says in exceptions and constants becomes a ``TlsError`` with a line for people and a word for
logs. TLS ends a stream in each direction with an alert, close_notify (RFC 8446, 6.1): a stream
that ends without it may have been cut by anybody on the way.

Must not know transports, deadlines or files.
"""

from __future__ import annotations

import re
import ssl
import typing as t

from jackfield import limits
from jackfield.endpoint import printable
from jackfield.errors import TlsError

FIRST_BYTES: t.Final = (21, 22)
"""Content types that can begin a TLS stream: alert and handshake (RFC 8446, 5.1)."""

SHOWN: t.Final = 16
"""Of a peer that speaks something else, as many characters as name it: "GET / HTTP/1.1"."""

NOT_TLS: t.Final = frozenset({"HTTP_REQUEST", "HTTPS_PROXY_REQUEST", "WRONG_VERSION_NUMBER"})
"""How OpenSSL says that what it read is no TLS."""

ALERT: t.Final = re.compile(r"(?:SSLV3|TLSV1|TLSV13)_ALERT_(\w+)")

CERTIFICATES: t.Final = {
    9: ("tls-certificate-not-yet-valid", "the peer's certificate is not yet valid"),
    10: ("tls-certificate-expired", "the peer's certificate has expired"),
    18: ("tls-self-signed", "the peer's certificate is self-signed and not known here"),
    19: ("tls-unknown-authority", "the peer's certificate is of an authority not known here"),
    20: ("tls-unknown-authority", "the peer's certificate is of an authority not known here"),
    21: ("tls-unknown-authority", "the peer's certificate is of an authority not known here"),
    62: ("tls-wrong-name", "the peer's certificate is for another name"),
    64: ("tls-wrong-name", "the peer's certificate is for another address"),
}
"""X509_V_ERR_* of x509_vfy.h: reason and text."""


def explained(exc: ssl.SSLError) -> TlsError:
    """What OpenSSL's error means, with the word for logs."""
    if isinstance(exc, ssl.SSLCertVerificationError):
        default = "tls-certificate", f"the peer's certificate is refused: {exc.verify_message}"
        reason, text = CERTIFICATES.get(exc.verify_code, default)
        return TlsError(text, reason)
    name = exc.reason or "PROTOCOL_ERROR"
    if name in NOT_TLS:
        return TlsError("the peer does not speak TLS", "not-tls")
    alert = ALERT.fullmatch(name)
    if alert:
        word = alert[1].lower()
        return TlsError(f"the peer refuses: {word.replace('_', ' ')}", f"tls-alert-{_dashed(word)}")
    word = name.lower()
    return TlsError(f"TLS with the peer failed: {word.replace('_', ' ')}", f"tls-{_dashed(word)}")


def _dashed(word: str) -> str:
    return word.replace("_", "-")


class TlsSession:
    """See the top of this file. ``server_hostname``: whom a client expects (None: a server).

    ``begun``: the peer has sent something. ``established``: the handshake is done. ``ended``:
    the peer's close_notify was read. ``failure``: why nothing more can be read. ``more``:
    ``decrypt`` stopped at its bound, call it again.
    """

    __slots__ = (
        "_incoming",
        "_outgoing",
        "begun",
        "ended",
        "established",
        "failure",
        "more",
        "object",
    )

    def __init__(
        self, context: ssl.SSLContext, *, server_side: bool, server_hostname: str | None = None
    ) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self.object = context.wrap_bio(
            self._incoming, self._outgoing, server_side=server_side, server_hostname=server_hostname
        )
        self.begun = self.established = self.ended = self.more = False
        self.failure: TlsError | None = None

    def feed(self, data: bytes) -> None:
        """Some bytes came from the peer. Raises ``TlsError`` if they cannot be TLS at all."""
        if data and not self.begun:
            self.begun = True
            if data[0] not in FIRST_BYTES:
                said = printable(bytes(data[:SHOWN]))
                raise TlsError(f"the peer does not speak TLS; it began with '{said}'", "not-tls")
        self._incoming.write(data)

    def handshake(self) -> bool:
        """Go on with the handshake as far as the bytes fed allow; True when it is done.

        Raises ``TlsError``; what ``take`` then gives is the alert that tells the peer why.
        """
        try:
            self.object.do_handshake()
        except ssl.SSLWantReadError:
            return False
        except ssl.SSLError as exc:
            raise explained(exc) from exc
        self.established = True
        return True

    def take(self) -> bytes:
        """What is to be sent to the peer, in order; empty when nothing is."""
        return self._outgoing.read()

    # --- after the handshake ---------------------------------------------------------------

    @property
    def holds(self) -> bool:
        """Is there ciphertext that was not decrypted yet?"""
        return self._incoming.pending > 0

    def decrypt(self) -> bytes:
        """The plaintext that can be read now, at most RECEIVE_SIZE bytes. Never raises: sets
        ``ended``, ``failure`` or ``more`` after what came before."""
        parts = []
        room = limits.RECEIVE_SIZE
        self.more = False
        try:
            while room >= limits.TLS_RECORD and not (self.ended or self.failure):
                # With room for a whole record OpenSSL keeps none of it back.
                data = self.object.read(limits.TLS_RECORD)
                if data:
                    parts.append(data)
                    room -= len(data)
                else:
                    self.ended = True
            self.more = room < limits.TLS_RECORD and self.holds
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self.ended = True
        except ssl.SSLError as exc:
            self.failure = explained(exc)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def encrypt(self, data: bytes) -> None:
        """Make ``data``, at most TLS_RECORD bytes, one record for ``take``. Raises ``TlsError``
        if the connection is broken."""
        if data:
            try:
                self.object.write(data)
            except ssl.SSLError as exc:
                raise explained(exc) from exc

    def close_notify(self) -> None:
        """Say that no more comes from us (for ``take``). What the peer sends is read on."""
        # SSL_shutdown would look for the peer's close_notify, and meet its data as an error.
        held = self._incoming.read()
        try:
            self.object.unwrap()
        except ssl.SSLError:  # the peer's is not here yet, or the connection is broken
            pass
        self._incoming.write(held)
