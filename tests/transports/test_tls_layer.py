"""The layer without engine and socket: a raw transport and a clock in the test's hands."""

from __future__ import annotations

import functools
import socket
import typing as t
from collections import deque
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.certificates import needs_openssl
from tests.contracts.running import KeepsOpen, Recorder
from tests.contracts.tls import NAME, client_context, server_config

from jackfield import limits
from jackfield.errors import DeadlineError, JackfieldError, LagError, ServerStopping, TlsError
from jackfield.transports.base import BaseTransport
from jackfield.transports.tls import TlsFactory, TlsLayer
from jackfield.transports.tls_transport import TlsTransport
from jackfield.wire.tls_session import TlsSession

pytestmark = needs_openssl

config = functools.cache(server_config)


class HandTimer:
    def __init__(self, delay: float, call: Callable[[], object]) -> None:
        self.delay, self.call, self.cancelled = delay, call, False

    def cancel(self) -> None:
        self.cancelled = True


class HandEngine:
    max_held = 0
    now = 1.0

    def __init__(self) -> None:
        self.soon: deque[Callable[[], object]] = deque()
        self.timers: list[HandTimer] = []

    def call_soon(self, callback: Callable[..., object], *args: t.Any) -> None:
        self.soon.append(lambda: callback(*args))

    def call_later(self, delay: float, callback: Callable[[], object]) -> HandTimer:
        self.timers.append(HandTimer(delay, callback))
        return self.timers[-1]

    def settle(self) -> None:
        while self.soon:
            self.soon.popleft()()


class HandTransport(BaseTransport):
    """The raw transport. ``jammed``: the kernel takes nothing, until ``drain``."""

    def __init__(self, engine: t.Any, sock: socket.socket) -> None:
        super().__init__(engine, sock, ("192.0.2.1", 5), None)
        self.sent = b""
        self.waiting = b""
        self.jammed = False
        self.reading = True
        self.told = self.write_closed = False
        self.ended: list[tuple[str, BaseException | None]] = []

    def write(self, data: bytes) -> None:
        if self.jammed:
            self.waiting += data
            if len(self.waiting) > self._high and not self.told:
                self.told = True
                self.protocol.pause_writing()
        else:
            self.sent += data

    def get_write_buffer_size(self) -> int:
        return len(self.waiting)

    def drain(self) -> None:
        """The kernel takes everything that waits; it stays jammed."""
        self.sent, self.waiting = self.sent + self.waiting, b""
        if self.told:
            self.told = False
            self.protocol.resume_writing()

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def is_closing(self) -> bool:
        return bool(self.ended)

    def close(self) -> None:
        self.ended.append(("closed", None))

    def evict(self, reason: JackfieldError) -> None:
        self.ended.append((reason.reason, reason))

    def abort(self) -> None:
        self.ended.append(("aborted", None))


class Wire:
    """A layer that serves ``protocol``, and the client's session."""

    def __init__(self, protocol: t.Any = None, **options: t.Any) -> None:
        self.engine = HandEngine()
        self.protocol = protocol or Recorder()
        self.made = 0
        self._sock = socket.socket()
        self.raw = HandTransport(self.engine, self._sock)
        factory = TlsFactory(config().context, self._make, **options)
        self.layer: TlsLayer = factory()
        self.raw.protocol = self.layer
        self.client = TlsSession(client_context(), server_side=False, server_hostname=NAME)
        self.layer.connection_made(self.raw)

    def _make(self) -> t.Any:
        self.made += 1
        return self.protocol

    @property
    def transport(self) -> TlsTransport:
        assert self.layer.transport is not None
        return self.layer.transport

    def to_server(self, step: int = 1 << 20) -> None:
        """Carry what the client says, ``step`` bytes at a time."""
        data = self.client.take()
        for start in range(0, len(data), step):
            self.layer.data_received(data[start : start + step])

    def to_client(self) -> bytes:
        """Carry what the server says; what the client reads of it."""
        data, self.raw.sent = self.raw.sent, b""
        self.client.feed(data)
        if not self.client.established and not self.client.handshake():
            return b""
        plaintext = b""
        while block := self.client.decrypt():
            plaintext += block
        return plaintext

    def shake_hands(self, step: int = 1 << 20) -> t.Self:
        self.client.handshake()
        self.to_server(step)
        self.to_client()
        self.to_server(step)
        self.to_client()
        return self

    def say(self, data: bytes) -> None:
        """From the client."""
        self.client.encrypt(data)
        self.to_server()

    def close(self) -> None:
        self._sock.close()


@pytest.fixture
def wires() -> Iterator[Callable[..., Wire]]:
    everything: list[Wire] = []

    def make(*args: t.Any, **options: t.Any) -> Wire:
        everything.append(Wire(*args, **options))
        return everything[-1]

    yield make
    for wire in everything:
        wire.close()


Wires = Callable[..., Wire]

# --- the handshake ---------------------------------------------------------------------------


@pytest.mark.parametrize("step", [1, 3, 1 << 20])
def test_the_protocol_is_made_when_the_handshake_is_done(wires: Wires, step: int) -> None:
    wire = wires()
    wire.client.handshake()
    wire.to_server(step)
    wire.to_client()
    assert wire.made == 0
    rest = wire.client.take()
    for byte in rest[:-1]:
        wire.layer.data_received(bytes([byte]))
    assert wire.made == 0
    wire.layer.data_received(rest[-1:])
    assert wire.made == 1
    assert wire.protocol.names() == ["made"]
    assert wire.engine.timers[0].cancelled


def test_words_in_the_same_block_as_the_end_of_the_handshake(wires: Wires) -> None:
    wire = wires()
    wire.client.handshake()
    wire.to_server()
    wire.to_client()
    wire.say(b"early")
    assert wire.protocol.events == [("made",), ("data", b"early")]


def test_words_wait_for_who_pauses_when_it_is_made(wires: Wires) -> None:
    class Pauses(Recorder):
        def connection_made(self, transport: t.Any) -> None:
            super().connection_made(transport)
            transport.pause_reading()

    wire = wires(Pauses())
    wire.client.handshake()
    wire.to_server()
    wire.to_client()
    wire.say(b"early")
    assert wire.protocol.names() == ["made"]
    assert not wire.raw.reading
    wire.transport.resume_reading()
    wire.engine.settle()
    assert wire.protocol.data == b"early"
    assert wire.raw.reading


@pytest.mark.parametrize("first", [b"GET / HTTP/1.1\r\n\r\n", b"EHLO mallory\r\n"])
def test_plaintext_before_the_handshake_ends_it(wires: Wires, first: bytes) -> None:
    wire = wires()
    wire.client.handshake()
    wire.layer.data_received(first + wire.client.take())
    assert [reason for reason, _ in wire.raw.ended] == ["not-tls"]
    wire.layer.data_received(b"more")
    wire.layer.connection_lost(None)
    assert wire.made == 0
    assert wire.protocol.events == []


def test_the_handshake_has_a_deadline_that_bytes_do_not_extend(wires: Wires) -> None:
    wire = wires()
    timer = wire.engine.timers[0]
    assert timer.delay == limits.TLS_HANDSHAKE
    wire.client.handshake()
    for byte in wire.client.take()[:-1]:
        wire.layer.data_received(bytes([byte]))
    assert wire.engine.timers == [timer]
    timer.call()
    (reason, exc) = wire.raw.ended[0]
    assert reason == "tls-handshake-timeout"
    assert isinstance(exc, DeadlineError)
    assert wire.made == 0


def test_leaving_before_or_in_the_midst_of_the_handshake(wires: Wires) -> None:
    wire = wires()
    assert wire.layer.eof_received() is False  # nothing was said: an ordinary end
    assert wire.raw.ended == []
    wire = wires()
    wire.layer.data_received(b"\x16\x03")
    wire.layer.eof_received()
    assert [reason for reason, _ in wire.raw.ended] == ["tls-handshake-eof"]


def test_handshakes_are_no_progress(wires: Wires) -> None:
    wire = wires().shake_hands()
    assert wire.layer.reports_progress
    assert wire.raw.progress_at == 0
    wire.say(b"x")
    assert wire.raw.progress_at == wire.engine.now


def test_a_protocol_that_reports_its_own_progress(wires: Wires) -> None:
    class Reports(Recorder):
        reports_progress = True

    wire = wires(Reports()).shake_hands()
    wire.say(b"half a message")
    assert wire.raw.progress_at == 0
    wire.transport.made_progress()
    assert wire.raw.progress_at == wire.engine.now


# --- reading -----------------------------------------------------------------------------------


@settings(max_examples=40)
@given(st.lists(st.binary(min_size=1, max_size=2000), max_size=6), st.integers(1, 4000))
def test_what_is_said_arrives_however_it_is_cut(words: list[bytes], step: int) -> None:
    wire = Wire().shake_hands(step)
    try:
        for word in words:
            wire.client.encrypt(word)
        wire.client.close_notify()
        wire.to_server(step)
        assert wire.protocol.data == b"".join(words)
        assert wire.protocol.names()[-1] == "eof"
        assert [reason for reason, _ in wire.raw.ended] == ["eof"]
    finally:
        wire.close()


def test_the_peers_end(wires: Wires) -> None:
    wire = wires().shake_hands()
    wire.say(b"bye")
    wire.client.close_notify()
    wire.to_server()
    assert wire.protocol.names() == ["made", "data", "eof"]
    wire.to_client()
    assert wire.client.ended  # it was answered in kind
    wire.layer.connection_lost(wire.raw.ended[0][1])
    assert wire.protocol.await_lost() is None


def test_the_peer_half_closes(wires: Wires) -> None:
    wire = wires(KeepsOpen()).shake_hands()
    wire.client.close_notify()
    wire.to_server()
    assert wire.raw.ended == []
    assert wire.layer.eof_received() is True  # the FIN that follows changes nothing
    wire.transport.write(b"the rest")
    wire.transport.close()
    assert wire.to_client() == b"the rest"
    assert wire.protocol.names() == ["made", "eof"]


def stalled(wires: Wires) -> Wire:
    """The peer reads nothing, the protocol was told to pause; then the peer speaks."""
    wire = wires().shake_hands()
    wire.raw.jammed = True
    wire.transport.write(bytes(limits.HIGH_WATER * 2))
    assert wire.protocol.names() == ["made", "pause"]
    wire.say(b"request")
    assert wire.protocol.data == b""
    return wire


def test_what_comes_while_writing_pauses_comes_behind_resume(wires: Wires) -> None:
    wire = stalled(wires)
    while "resume" not in wire.protocol.names():
        wire.raw.drain()
    wire.engine.settle()
    assert wire.protocol.names() == ["made", "pause", "resume", "data"]


def test_a_raw_transport_that_reads_before_it_tells_that_it_drained(wires: Wires) -> None:
    wire = stalled(wires)
    wire.raw.jammed = False
    wire.raw.waiting = b""
    wire.say(b", and more")
    assert wire.protocol.names() == ["made", "pause", "resume", "data"]
    assert wire.protocol.data == b"request, and more"
    wire.raw.drain()
    wire.engine.settle()
    assert wire.protocol.names() == ["made", "pause", "resume", "data"]


def test_an_end_while_writing_pauses_comes_behind_resume(wires: Wires) -> None:
    wire = stalled(wires)
    wire.client.close_notify()
    wire.to_server()
    assert wire.layer.eof_received() is True
    while "resume" not in wire.protocol.names():
        wire.raw.drain()
    wire.engine.settle()
    assert wire.protocol.names() == ["made", "pause", "resume", "data", "eof"]


def test_a_broken_write_does_not_end_reading(wires: Wires) -> None:
    wire = stalled(wires)
    wire.raw.write_closed = True
    wire.raw.waiting = b""
    wire.say(b", and more")
    assert wire.protocol.data == b"request, and more"


def test_what_came_before_the_connection_was_lost_is_read(wires: Wires) -> None:
    wire = stalled(wires)
    wire.layer.connection_lost(BrokenPipeError())
    assert wire.protocol.names() == ["made", "pause", "data", "lost"]
    assert isinstance(wire.protocol.await_lost(), BrokenPipeError)


def test_an_end_without_close_notify_is_an_error(wires: Wires) -> None:
    wire = wires().shake_hands()
    wire.transport.write(b"reply")
    wire.say(b"amount: 10")
    wire.layer.eof_received()
    assert wire.to_client() == b"reply"
    reason, exc = wire.raw.ended[0]
    assert reason == "tls-truncated"
    wire.layer.connection_lost(exc)
    assert wire.protocol.names() == ["made", "data", "lost"]  # no eof_received
    assert isinstance(wire.protocol.await_lost(), TlsError)


def test_how_the_peer_ends_after_we_closed_is_its_own_affair(wires: Wires) -> None:
    wire = wires().shake_hands()
    wire.transport.close()
    wire.layer.eof_received()
    wire.layer.connection_lost(None)
    assert wire.raw.ended == [("closed", None)]
    assert wire.protocol.await_lost() is None


def test_a_broken_record_ends_the_connection_after_what_came_before(wires: Wires) -> None:
    wire = wires().shake_hands()
    wire.client.encrypt(b"good")
    good = wire.client.take()
    wire.client.encrypt(b"bad")
    bad = bytearray(wire.client.take())
    bad[-1] ^= 1
    wire.layer.data_received(good + bytes(bad))
    assert wire.protocol.data == b"good"
    assert [reason for reason, _ in wire.raw.ended] == ["tls-decryption-failed-or-bad-record-mac"]
    wire.to_client()
    assert wire.client.failure is not None
    assert wire.client.failure.reason == "tls-alert-bad-record-mac"


# --- writing -----------------------------------------------------------------------------------


def test_plaintext_waits_by_reference(wires: Wires) -> None:
    wire = wires().shake_hands()
    wire.raw.jammed = True
    said = [bytes([number]) * 50_000 for number in range(20)]
    for data in said:
        assert wire.transport.deliver(data)
    pipe = wire.transport._pipe
    assert len(wire.raw.waiting) <= limits.TLS_AHEAD + limits.TLS_RECORD + 1000
    assert pipe._plain is not None
    assert pipe._plain.buffers()[-19:] == said[1:]
    assert all(a is b for a, b in zip(pipe._plain.buffers()[-19:], said[1:], strict=True))
    while wire.raw.waiting:
        wire.raw.drain()
    assert wire.to_client() == b"".join(said)
    assert pipe._plain is None


def test_a_fan_out_calls_nobody(wires: Wires) -> None:
    wire = wires().shake_hands()
    wire.raw.jammed = True
    wire.transport.deliver(bytes(200_000))
    assert wire.protocol.names() == ["made"]
    wire.engine.settle()
    assert wire.protocol.names() == ["made", "pause"]
    while wire.raw.waiting:
        wire.raw.drain()
    assert wire.protocol.names() == ["made", "pause", "resume"]


@pytest.mark.parametrize(("high", "low"), [(0, 0), (1, 0), (10, 5), (200_000, 0), (60_000, 60_000)])
def test_water_marks(wires: Wires, high: int, low: int) -> None:
    """Whatever they are, who was told to pause is told to go on."""
    wire = wires().shake_hands()
    wire.transport.set_write_buffer_limits(high=high, low=low)
    wire.raw.jammed = True
    for size in (1, 10, 1000, 250_000):
        wire.transport.write(bytes(size))
        paused = wire.transport.get_write_buffer_size() > high
        assert (wire.protocol.names()[-1] == "pause") == paused
        while wire.raw.waiting:
            wire.raw.drain()
        assert wire.protocol.names()[-1] in ("made", "resume")


def test_half_close_follows_what_waits(wires: Wires) -> None:
    wire = wires().shake_hands()
    wire.raw.jammed = True
    wire.transport.write(bytes(100_000))
    wire.transport.write_eof()
    wire.transport.write_eof()
    with pytest.raises(RuntimeError, match="after write_eof"):
        wire.transport.write(b"x")
    assert not wire.transport.deliver(b"x")
    while wire.raw.waiting:
        wire.raw.drain()
    assert wire.to_client() == bytes(100_000)
    assert wire.client.ended
    wire.say(b"heard")
    assert wire.protocol.data == b"heard"
    assert wire.raw.ended == []


# --- closing -------------------------------------------------------------------------------------


def test_close_sends_what_waits_first(wires: Wires) -> None:
    wire = wires().shake_hands()
    wire.raw.jammed = True
    wire.transport.write(bytes(100_000))
    wire.transport.close()
    assert wire.transport.is_closing()
    assert wire.raw.ended == []
    while wire.raw.waiting:
        wire.raw.drain()
    assert wire.raw.ended == [("closed", None)]
    assert wire.to_client() == bytes(100_000)
    assert wire.client.ended


def test_closing_ends_though_the_peer_reads_nothing(wires: Wires) -> None:
    wire = wires().shake_hands()
    wire.raw.jammed = True
    wire.transport.write(bytes(100_000))
    wire.transport.close()
    timer = wire.engine.timers[-1]
    assert timer.delay == limits.FLUSH
    timer.call()
    assert [reason for reason, _ in wire.raw.ended] == ["flush", "aborted"]


class Explains(Recorder):
    def closing(self, reason: Exception) -> None:
        super().closing(reason)
        self.transport.write(b"why")


def test_eviction_of_a_lagging_peer_leaves_whole_messages(wires: Wires) -> None:
    wire = wires(Explains()).shake_hands()
    wire.raw.jammed = True
    message = b"m" * 9_999 + b"\n"
    for _ in range(50):
        wire.transport.deliver(message)
    wire.transport.evict(LagError("too slow"))
    assert wire.transport.get_write_buffer_size() < 60_000
    while wire.raw.waiting:
        wire.raw.drain()
    *whole, last = wire.to_client().splitlines(keepends=True)
    assert last == b"why"
    assert set(whole) == {message}
    assert wire.client.ended
    reason, exc = wire.raw.ended[0]
    assert reason == "lag"
    assert not isinstance(exc, LagError)  # which would cost the raw outbox its records
    wire.layer.connection_lost(exc)
    assert isinstance(wire.protocol.await_lost(), LagError)


def test_the_engine_closes(wires: Wires) -> None:
    """At its own stop, or for a deadline: what waits has to be below by then."""
    wire = wires(Explains()).shake_hands()
    wire.raw.jammed = True
    wire.transport.write(bytes(300_000))
    stopping = ServerStopping("bye")
    wire.layer.closing(stopping)
    wire.layer.connection_lost(None)
    assert [event for event in wire.protocol.events if event[0] == "closing"] == [
        ("closing", stopping)
    ]
    wire.raw.drain()
    assert wire.to_client() == bytes(300_000) + b"why"
    assert wire.client.ended


def test_the_engine_closes_during_the_handshake(wires: Wires) -> None:
    wire = wires()
    wire.layer.closing(ServerStopping("bye"))
    wire.layer.connection_lost(None)
    assert wire.made == 0
    assert wire.engine.timers[0].cancelled


def test_abort(wires: Wires) -> None:
    wire = wires().shake_hands()
    wire.raw.jammed = True
    wire.transport.write(bytes(100_000))
    wire.transport.abort()
    assert wire.raw.ended == [("aborted", None)]
    wire.layer.connection_lost(None)
    assert wire.protocol.await_lost() is None
