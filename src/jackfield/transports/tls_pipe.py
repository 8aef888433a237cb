"""One TLS session over one raw transport: what the two halves of a TLS connection share.

Plaintext that waits is kept by reference and encrypted when the raw transport's outbox has room:
the members of a room that lag go on sharing one ``bytes``, and an eviction drops whole messages.
Ciphertext is each connection's own, and cannot be dropped: the peer would miss a record.

The lock: fan-outs may come from another thread than the peer's bytes, and OpenSSL allows one at a
time. It comes after a room's and before the raw transport's own; no callback of the user's runs
under it. Must not know protocols, nor when a connection is closed and why.
"""

from __future__ import annotations

import threading
import typing as t

from jackfield import limits
from jackfield.errors import TlsError
from jackfield.wire.outbox import Outbox
from jackfield.wire.tls_session import TlsSession


class TlsPipe:
    """``ahead``: bytes of ciphertext that may wait below while more is encrypted. ``raw_paused``:
    the raw transport has said so, and will tell when it has room."""

    __slots__ = ("_lock", "_plain", "_raw", "_said_close", "ahead", "raw_paused", "session")

    def __init__(self, raw: t.Any, session: TlsSession) -> None:
        self._raw = raw
        self.session = session
        self._lock = threading.RLock()  # the raw transport may call back into the layer
        self._plain: Outbox | None = None
        self._said_close = False
        self.ahead = 0
        self.raw_paused = False

    # --- from the peer -----------------------------------------------------------------------

    def feed(self, data: bytes) -> None:
        """Ciphertext came."""
        with self._lock:
            self.session.feed(data)

    def decrypt(self) -> bytes:
        """What can be read of it; see ``TlsSession.decrypt``."""
        with self._lock:
            data = self.session.decrypt()
            self._send_ciphertext()  # what OpenSSL answers by itself: a key update, an alert
            return data

    # --- to the peer -------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Encrypt what there is room for; the rest waits, by reference."""
        with self._lock:
            if self._plain is None:
                if len(data) <= limits.TLS_RECORD and self._has_room():
                    self._send(data)
                    return
                self._plain = Outbox()
            self._plain.append(data)
            self.pump()

    def pump(self, everything: bool = False) -> None:
        """Encrypt what waits, while there is room for it, or ``everything``."""
        with self._lock:
            plain = self._plain
            while plain and (everything or self._has_room()):
                block = plain.head(limits.TLS_RECORD)
                plain.advance(len(block))
                self._send(block)
            if not plain:
                self._plain = None  # an idle connection holds no queue

    def _has_room(self) -> bool:
        return bool(self._raw.get_write_buffer_size() <= self.ahead)

    def _send(self, data: bytes) -> None:
        try:
            self.session.encrypt(data)
        except TlsError:  # broken: reading has found out, or will
            return
        self._send_ciphertext()

    def _send_ciphertext(self) -> None:
        ciphertext = self.session.take()
        if ciphertext:
            self._raw.write(ciphertext)

    @property
    def waits(self) -> bool:
        """Is there plaintext that was not encrypted yet?"""
        return bool(self._plain)

    @property
    def size(self) -> int:
        """Bytes that the kernel has not taken."""
        plain = self._plain
        return (plain.size if plain else 0) + int(self._raw.get_write_buffer_size())

    def truncate(self) -> None:
        """Drop the plaintext that waits, but for a message under way."""
        with self._lock:
            if self._plain:
                self._plain.truncate()

    def clear(self) -> None:
        """Drop all of it: the connection is over."""
        self._plain = None

    def close_notify(self) -> None:
        """Say, once, that no more comes."""
        with self._lock:
            if not self._said_close and not self.session.failure:
                self._said_close = True
                self.session.close_notify()
                self._send_ciphertext()
