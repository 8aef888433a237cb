"""TLS without sockets: two sessions, whose bytes the test carries as it likes."""

from __future__ import annotations

import functools
import ssl
import typing as t

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.certificates import certificates, needs_openssl

from jackfield import limits
from jackfield.errors import TlsError
from jackfield.tls import TlsClientConfig, TlsConfig
from jackfield.wire.tls_session import TlsSession

pytestmark = needs_openssl

NAME: t.Final = "server.test"


@functools.cache
def server_context(version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> ssl.SSLContext:
    context = TlsConfig(*certificates().issue(NAME)).context()
    context.maximum_version = version
    return context


@functools.cache
def client_context() -> ssl.SSLContext:
    return TlsClientConfig(ca=certificates().authority).context()


class Ends:
    """A client's session and a server's. ``carry`` moves bytes between them, ``step`` at a time."""

    def __init__(self, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> None:
        self.server = TlsSession(server_context(version), server_side=True)
        self.client = TlsSession(client_context(), server_side=False, server_hostname=NAME)

    def carry(self, source: TlsSession, to: TlsSession, step: int) -> bytes:
        """What ``to`` could read of it, step by step."""
        plaintext = b""
        data = source.take()
        for start in range(0, len(data), step):
            to.feed(data[start : start + step])
            if to.established or to.handshake():
                plaintext += to.decrypt()
        return plaintext

    def shake_hands(self, step: int = 1 << 20) -> t.Self:
        self.client.handshake()
        for _ in range(4):
            self.carry(self.client, self.server, step)
            self.carry(self.server, self.client, step)
        assert self.client.established
        assert self.server.established
        return self


VERSIONS: t.Final = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("step", [1, 2, 5, 1000])
def test_handshake_and_words_in_pieces(version: ssl.TLSVersion, step: int) -> None:
    ends = Ends(version).shake_hands(step)
    assert ends.server.object.version() == version.name.replace("_", ".")
    ends.client.encrypt(b"hello")
    assert ends.carry(ends.client, ends.server, step) == b"hello"
    ends.server.encrypt(b"hello yourself")
    assert ends.carry(ends.server, ends.client, step) == b"hello yourself"


@settings(max_examples=40)
@given(
    st.lists(st.binary(max_size=3000), max_size=8),
    st.integers(min_value=1, max_value=5000),
    st.sampled_from(VERSIONS),
)
def test_what_is_said_arrives_however_it_is_cut(
    words: list[bytes], step: int, version: ssl.TLSVersion
) -> None:
    ends = Ends(version).shake_hands()
    for word in words:
        ends.client.encrypt(word)
    ends.client.close_notify()
    assert ends.carry(ends.client, ends.server, step) == b"".join(words)
    assert ends.server.ended
    assert ends.server.failure is None


def test_words_in_the_same_block_as_the_end_of_the_handshake() -> None:
    ends = Ends()
    ends.client.handshake()
    ends.carry(ends.client, ends.server, 1 << 20)
    ends.carry(ends.server, ends.client, 1 << 20)
    ends.client.encrypt(b"early")
    ends.server.feed(ends.client.take())
    assert not ends.server.established
    assert ends.server.handshake()
    assert ends.server.decrypt() == b"early"


def test_at_most_the_fair_share_at_a_time() -> None:
    ends = Ends().shake_hands()
    block = bytes(limits.TLS_RECORD)
    for _ in range(9):
        ends.client.encrypt(block)
    ends.server.feed(ends.client.take())
    sizes = []
    while ends.server.holds:
        sizes.append(len(ends.server.decrypt()))
        assert ends.server.more == ends.server.holds
    assert sizes == [limits.RECEIVE_SIZE, limits.RECEIVE_SIZE, limits.TLS_RECORD]


@pytest.mark.parametrize("version", VERSIONS)
def test_half_close_with_words_unread(version: ssl.TLSVersion) -> None:
    """SSL_shutdown takes the peer's data for an error; what it says must be read nevertheless."""
    ends = Ends(version).shake_hands()
    ends.client.encrypt(b"on its way")
    ends.server.feed(ends.client.take())
    ends.server.close_notify()
    assert ends.server.decrypt() == b"on its way"
    assert ends.carry(ends.server, ends.client, 1) == b""
    assert ends.client.ended
    ends.client.encrypt(b"still talking")
    assert ends.carry(ends.client, ends.server, 1) == b"still talking"
    ends.client.close_notify()
    assert ends.carry(ends.client, ends.server, 1) == b""
    assert ends.server.ended
    assert ends.server.failure is None


def test_what_follows_close_notify_is_no_part_of_the_stream() -> None:
    ends = Ends().shake_hands()
    ends.client.encrypt(b"before")
    ends.client.close_notify()
    assert ends.carry(ends.client, ends.server, 7) == b"before"
    ends.server.feed(b"anything")
    assert ends.server.decrypt() == b""
    assert ends.server.failure is None


@pytest.mark.parametrize(
    "said", [b"GET / HTTP/1.1\r\n", b"\r\n", b"\x80\x2e\x01", b"\xff\xfe", b"h"]
)
def test_who_does_not_speak_tls(said: bytes) -> None:
    server = Ends().server
    with pytest.raises(TlsError, match="does not speak TLS") as caught:
        server.feed(said)
    assert caught.value.reason == "not-tls"
    assert str(caught.value).isprintable()


def test_a_server_that_speaks_plainly() -> None:
    client = Ends().client
    client.handshake()
    with pytest.raises(TlsError, match="it began with '220 mail"):
        client.feed(b"220 mail.example ready\r\n")


def test_plain_words_that_begin_like_a_record() -> None:
    server = Ends().server
    server.feed(b"\x16GET / HTTP/1.0\r\n\r\n")
    with pytest.raises(TlsError) as caught:
        server.handshake()
    assert caught.value.reason == "not-tls"


@given(st.binary(min_size=1, max_size=400))
def test_no_bytes_do_more_harm_than_a_refusal(data: bytes) -> None:
    server = Ends().server
    server.feed(b"\x16" + data)
    reason = "unfinished"
    try:
        assert server.handshake() is False
    except TlsError as exc:
        reason = exc.reason
    assert reason.isprintable()
    assert " " not in reason


def test_plaintext_before_the_handshake_is_never_handed_on() -> None:
    """What somebody on the way puts in front of the handshake ends it."""
    ends = Ends()
    ends.client.handshake()
    with pytest.raises(TlsError):
        ends.server.feed(b"RCPT TO:<mallory>\r\n" + ends.client.take())
    assert ends.server.decrypt() == b""


def test_a_record_that_was_changed_on_the_way() -> None:
    ends = Ends().shake_hands()
    ends.client.encrypt(b"first")
    ends.server.feed(ends.client.take())
    ends.client.encrypt(b"second")
    changed = bytearray(ends.client.take())
    changed[-1] ^= 1
    ends.server.feed(bytes(changed))
    assert ends.server.decrypt() == b"first"
    assert isinstance(ends.server.failure, TlsError)
    assert ends.server.failure.reason == "tls-decryption-failed-or-bad-record-mac"
    assert ends.server.take()  # the alert
    assert ends.server.decrypt() == b""


def test_the_peer_is_told_why() -> None:
    """An alert reaches the other side, and has a name there."""
    stranger = TlsSession(
        TlsClientConfig(ca=certificates().self_signed("other").certificate).context(),
        server_side=False,
        server_hostname=NAME,
    )
    ends = Ends()
    stranger.handshake()
    ends.carry(stranger, ends.server, 1 << 20)
    stranger.feed(ends.server.take())
    with pytest.raises(TlsError) as at_the_client:
        stranger.handshake()
    assert at_the_client.value.reason == "tls-unknown-authority"
    with pytest.raises(TlsError) as at_the_server:
        ends.carry(stranger, ends.server, 1 << 20)
    assert at_the_server.value.reason == "tls-alert-unknown-ca"


def test_renegotiation_is_refused() -> None:
    """The outside peer in test_openssl asks for one; TLS 1.2 alone has it."""
    assert server_context(ssl.TLSVersion.TLSv1_2).options & ssl.OP_NO_RENEGOTIATION
    assert server_context().minimum_version == ssl.TLSVersion.TLSv1_2


def test_encrypting_after_the_end_is_an_error() -> None:
    ends = Ends().shake_hands()
    ends.server.close_notify()
    with pytest.raises(TlsError):
        ends.server.encrypt(b"too late")
    ends.server.encrypt(b"")  # nothing is nothing
