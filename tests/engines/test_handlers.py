"""Coroutines as protocols: ``async def handle(stream)``, on asyncio's loop and on uvloop's."""

from __future__ import annotations

import asyncio
import functools
import itertools
import logging
import socket
import threading
import time
import typing as t
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.certificates import needs_openssl
from tests.contracts.running import Recorder, Running, Witness
from tests.contracts.tls import TlsClient, server_config
from tests.support import PATIENCE, fill, receive, receive_all, receive_until, reset, until

from jackfield import LineProtocol, Room, Server, UsageError, engines, limits
from jackfield.engines.handlers import HandlerFactory, Stream
from jackfield.errors import DeadlineError, LagError, TooLong

BIG = 8 * 1024 * 1024
LOOPS = [name for name in engines.COROUTINES if engines.missing(name) is None]
OTHERS = [name for name in engines.NAMES if name not in engines.COROUTINES]

Handle = t.Callable[[Stream], t.Coroutine[t.Any, t.Any, object]]
Serve = t.Callable[..., Running]


class HandlerRunning(Running):
    """An engine whose protocols are coroutines; they have no ``transport`` to wait for."""

    def listen(self, endpoint: str, factory: t.Any, backlog: int = 128) -> None:
        super().listen(endpoint, HandlerFactory(factory), backlog)


@pytest.fixture(params=LOOPS)
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def serve(engine: str) -> Iterator[Serve]:
    everything: list[Running] = []

    def serve(handle: Handle, **options: t.Any) -> Running:
        witness = Witness()
        made = engines.make(engine, engines.Options(**options), [witness])
        running = HandlerRunning(made, witness)
        everything.append(running)
        running.listen("tcp://127.0.0.1:0", handle)
        running.start()
        return running

    yield serve
    for running in everything:
        running.close()


async def echo(stream: Stream) -> None:
    while data := await stream.read():
        stream.write(data)
        await stream.drain()


def errors(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.levelno >= logging.ERROR]


# --- there and back --------------------------------------------------------------------------


def test_echo(serve: Serve) -> None:
    running = serve(echo)
    client = running.dial()
    for message in (b"x", b"hello" * 1000):
        client.sendall(message)
        assert receive(client, len(message)) == message
    client.shutdown(socket.SHUT_WR)
    assert receive_all(client) == b""
    client.close()
    assert running.reasons() == ["eof"]
    until(lambda: running.engine.statistics().connections == 0)


def test_lines(serve: Serve) -> None:
    async def shout(stream: Stream) -> None:
        async for line in stream:
            stream.write(line.upper())
        stream.write(b"that was all")

    client = serve(shout).dial()
    client.sendall(b"one\r\ntw")
    assert receive_until(client, b"\n") == b"ONE\r\n"
    client.sendall(b"o\n\nlast")
    client.shutdown(socket.SHUT_WR)
    assert receive_all(client) == b"TWO\n\nLASTthat was all"


def test_it_awaits_what_another_connection_does(serve: Serve) -> None:
    queue: asyncio.Queue[bytes] = asyncio.Queue()

    async def pass_on(stream: Stream) -> None:
        match await stream.readline():
            case b"take\n":
                stream.write(await queue.get())
            case line:
                await queue.put(line)

    running = serve(pass_on)
    taker, giver = running.dial(), running.dial()
    taker.sendall(b"take\n")
    running.settle()
    giver.sendall(b"here you are\n")
    assert receive_all(taker) == b"here you are\n"


def test_its_loop_is_the_running_one(serve: Serve, engine: str) -> None:
    async def where(stream: Stream) -> None:
        loop = asyncio.get_running_loop()
        answer = await loop.run_in_executor(None, lambda: type(loop).__module__)
        stream.write(answer.encode())

    assert engine.encode() in receive_all(serve(where).dial())


def test_what_a_return_leaves_in_the_outbox_is_flushed(serve: Serve) -> None:
    async def hurry(stream: Stream) -> None:
        stream.write(bytes(BIG))

    assert len(receive_all(serve(hurry).dial())) == BIG


def test_half_close(serve: Serve) -> None:
    heard: list[bytes] = []

    async def first(stream: Stream) -> None:
        stream.write(b"all I have")
        stream.write_eof()
        with pytest.raises(RuntimeError, match="after write_eof"):
            stream.write(b"more")
        heard.append(await stream.read())

    client = serve(first).dial()
    assert receive_all(client) == b"all I have"
    client.sendall(b"heard")
    until(lambda: heard == [b"heard"])


def test_information(serve: Serve) -> None:
    async def who(stream: Stream) -> None:
        stream.write(stream.get_extra_info("peer").encode())
        assert stream.get_extra_info("nonsense", 5) == 5
        assert not stream.is_closing()
        stream.close()
        assert stream.is_closing()

    client = serve(who).dial()
    assert receive_all(client).decode() == f"127.0.0.1:{client.getsockname()[1]}"


def test_its_own_close_does_not_cancel_it(serve: Serve) -> None:
    done: list[str] = []

    async def tidy(stream: Stream) -> None:
        stream.write(b"bye")
        stream.close()
        assert await stream.read() == await stream.readline() == b""
        await stream.drain()
        stream.write(b"too late, and without a word")
        await asyncio.sleep(0.02)
        done.append("tidied up")

    running = serve(tidy)
    client = running.dial()
    assert receive_all(client) == b"bye"
    client.close()
    assert running.reasons() == ["closed"]
    until(lambda: done)


def test_two_readers_of_one_stream(serve: Serve) -> None:
    failures: list[str] = []

    async def twice(stream: Stream) -> None:
        first = asyncio.ensure_future(stream.read())
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError) as failed:
            await stream.readline()
        failures.append(str(failed.value))
        stream.write(await first)

    client = serve(twice).dial()
    until(lambda: failures == ["another coroutine is reading from this stream already"])
    client.sendall(b"for the first")
    assert receive_all(client) == b"for the first"


@pytest.mark.parametrize("size", [0, -1])
def test_reading_is_bounded(size: int) -> None:
    async def read() -> None:
        with pytest.raises(ValueError, match=f"read\\({size}\\): say how many"):
            await Stream(FakeTransport()).read(size)

    asyncio.run(read())


# --- backpressure ----------------------------------------------------------------------------


def test_what_it_does_not_read_waits_at_the_peer(serve: Serve) -> None:
    go_on = threading.Event()
    streams: list[Stream] = []
    total = 0

    async def slow(stream: Stream) -> None:
        nonlocal total
        streams.append(stream)
        while not go_on.is_set():
            await asyncio.sleep(0.005)
        while data := await stream.read():
            total += len(data)

    client = serve(slow).dial()
    client.setblocking(False)
    sent = fill(client)
    until(lambda: streams and not streams[0].transport.is_reading())
    sent += fill(client)
    assert len(streams[0]._buffer) <= limits.HIGH_WATER + limits.RECEIVE_SIZE
    assert sent > len(streams[0]._buffer)
    go_on.set()
    client.close()
    until(lambda: total == sent)


def test_drain_waits_for_the_peer(serve: Serve) -> None:
    largest = 0

    async def pour(stream: Stream) -> None:
        nonlocal largest
        for _ in range(BIG // 1000):
            stream.write(bytes(1000))
            largest = max(largest, stream.transport.get_write_buffer_size())
            await stream.drain()

    running = serve(pour)
    client = running.dial()
    until(lambda: largest > limits.HIGH_WATER)
    running.settle()
    assert len(receive_all(client)) == BIG // 1000 * 1000
    assert largest <= limits.HIGH_WATER + 1000


def test_who_writes_without_end_leaves_the_others_their_turn(serve: Serve) -> None:
    async def endless(stream: Stream) -> None:
        if await stream.readline() == b"pour\n":
            while True:
                stream.write(b"x" * 100)
                await stream.drain()
        stream.write(b"served")

    running = serve(endless)
    greedy, polite = running.dial(), running.dial()
    greedy.sendall(b"pour\n")
    reader = threading.Thread(target=_read_for_a_while, args=(greedy,))
    reader.start()
    polite.sendall(b"hello\n")
    assert receive_all(polite) == b"served"
    polite.close()
    reader.join()
    reset(greedy)
    until(lambda: running.engine.statistics().connections == 0)


def _read_for_a_while(client: socket.socket) -> None:
    receive(client, BIG)


def test_who_never_drains_into_a_peer_that_has_vanished(serve: Serve) -> None:
    """Its writes go nowhere; it must not spin without ever hearing that it is cancelled."""

    async def pour(stream: Stream) -> None:
        while True:
            stream.write(b"x" * 1000)
            await stream.drain()

    running = serve(pour)
    client = running.dial()
    receive(client, BIG)
    reset(client)
    assert running.reasons()[0] in ("ECONNRESET", "EPIPE")
    running.settle()


# --- lines: bounds ---------------------------------------------------------------------------


class FakeTransport:
    """What a stream asks of its transport, as far as reading goes."""

    reading = True

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def made_progress(self) -> None:
        pass


async def lines_of(blocks: list[bytes], limit: int) -> list[bytes | None]:
    """The lines that a reader gets, None for one too long; each block is fed when it waits."""
    stream = Stream(FakeTransport())
    stream.line_limit = limit
    got: list[bytes | None] = []

    async def read() -> None:
        while True:
            try:
                line = await stream.readline()
            except TooLong:
                got.append(None)
                continue
            if not line:
                return
            got.append(line)

    reader = asyncio.ensure_future(read())
    for block in blocks:
        await asyncio.sleep(0)
        stream.feed(block)
    stream.end()
    await reader
    return got


@given(
    st.lists(st.sampled_from([b"", b"a", b"ab", b"abc", b"abcd", b"a\r", b"abc\r", b"abcdefgh"])),
    st.sampled_from([b"", b"abc", b"abcd", b"abc\r"]),
    st.lists(st.integers(0, 40)),
)
def test_lines_however_the_stream_is_cut(lines: list[bytes], rest: bytes, cuts: list[int]) -> None:
    limit = 3
    data = b"".join(line + b"\n" for line in lines) + rest
    wanted: list[bytes | None] = [
        line + b"\n" if len(line.removesuffix(b"\r")) <= limit else None for line in lines
    ]
    if rest:
        wanted.append(rest if len(rest.removesuffix(b"\r")) <= limit else None)
    places = sorted({cut for cut in cuts if cut < len(data)} | {0, len(data)})
    blocks = [data[a:b] for a, b in itertools.pairwise(places)]
    assert asyncio.run(lines_of(blocks, limit)) == wanted
    assert asyncio.run(lines_of([data[i : i + 1] for i in range(len(data))], limit)) == wanted


def test_a_line_limit_above_the_water_mark() -> None:
    """Waiting for the rest of a long line must not wait for a transport that is paused."""
    limit = 4 * limits.HIGH_WATER
    blocks = [bytes(limits.RECEIVE_SIZE)] * 3 + [b"\n" + b"x" * limit + b"\n"]
    assert [len(line or b"") for line in asyncio.run(lines_of(blocks, limit))] == [
        3 * limits.RECEIVE_SIZE + 1,
        limit + 1,
    ]


def test_a_line_too_long_closes_who_does_not_expect_it(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    async def lines(stream: Stream) -> None:
        async for line in stream:
            stream.write(line)

    running = serve(lines)
    client = running.dial()
    client.sendall(b"short\n" + b"x" * 100_000)
    assert receive_all(client) == b"short\n"
    client.close()
    assert running.reasons() == ["too-long"]
    assert not errors(caplog)  # the peer's fault, not the program's


# --- deadlines -------------------------------------------------------------------------------


def test_single_bytes_extend_no_deadline(serve: Serve) -> None:
    async def lines(stream: Stream) -> None:
        async for line in stream:
            stream.write(line)

    running = serve(lines, login_timeout=0.08)
    client = running.dial()
    began = time.monotonic()
    while not running.witness.reasons:
        assert time.monotonic() - began < PATIENCE
        try:
            client.send(b"x")
        except OSError:
            pass
        time.sleep(0.005)
    assert running.reasons() == ["login-timeout"]
    assert isinstance(running.witness.exceptions[0], DeadlineError)


def test_what_it_reads_extends_the_deadline(serve: Serve) -> None:
    running = serve(echo, idle_timeout=0.1)
    client = running.dial()
    began = answered = time.monotonic()
    while (sent := time.monotonic()) - began < 0.25:
        try:
            client.sendall(b"x")
            if not receive(client, 1):
                break  # this machine stood still for longer than the deadline
        except OSError:
            break
        answered = sent
        time.sleep(0.01)
    assert running.reasons() == ["idle-timeout"]
    assert time.monotonic() - answered >= 0.099


# --- its end ---------------------------------------------------------------------------------


class Notes:
    """How coroutines ended."""

    def __init__(self) -> None:
        self.events: list[str] = []

    async def wait(self, stream: Stream) -> None:
        self.events.append("began")
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            stream.write(b"last words")
            self.events.append("cancelled")
            raise
        finally:
            await asyncio.sleep(0)
            self.events.append("cleaned up")


def test_cancelled_when_the_connection_is_lost(serve: Serve) -> None:
    notes = Notes()
    running = serve(notes.wait)
    client = running.dial()
    until(lambda: notes.events == ["began"])
    reset(client)
    until(lambda: notes.events == ["began", "cancelled", "cleaned up"])
    assert running.reasons() == ["ECONNRESET"]


def test_cancelled_at_a_stop_with_last_words(serve: Serve) -> None:
    notes = Notes()
    running = serve(notes.wait)
    clients = [running.dial() for _ in range(3)]
    until(lambda: notes.events == ["began"] * 3)
    running.engine.stop(PATIENCE)
    for client in clients:
        assert receive_all(client) == b"last words"
        client.close()
    running.join()
    assert sorted(notes.events[3:]) == ["cancelled"] * 3 + ["cleaned up"] * 3
    assert running.reasons(3) == ["closed"] * 3


def test_what_was_received_before_the_stop_is_answered(serve: Serve) -> None:
    running = serve(echo)
    known = [running.dial() for _ in range(3)]
    for client in known:
        client.sendall(b"x")
        assert receive(client, 1) == b"x"
    with running.held():
        fresh = [running.dial() for _ in range(3)]
        for client in known + fresh:
            client.sendall(b"before the stop")
        running.engine.stop(PATIENCE)
    for client in known + fresh:
        assert receive_all(client) == b"before the stop"
        client.close()
    running.join()


def test_a_second_stop_cuts(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    stubborn = Stubborn()
    monkeypatch.setattr(limits, "TASK_END", 0.02)
    running = serve(stubborn.stay)
    client = running.dial()
    until(lambda: stubborn.began)
    running.engine.stop(1000)
    until(lambda: stubborn.refusals)
    running.engine.stop(1000)
    until(lambda: not running.running or len(stubborn.refusals) > 1)
    stubborn.enough = True
    running.join()
    assert receive_all(client) == b""


class Stubborn:
    """Does not heed its cancellation until it is told that it is enough."""

    def __init__(self) -> None:
        self.began = self.enough = False
        self.refusals: list[str] = []

    async def stay(self, stream: Stream) -> None:
        self.began = True
        while not self.enough:
            try:
                await asyncio.sleep(0.002)
            except asyncio.CancelledError:
                self.refusals.append("no")


def test_a_task_that_does_not_end_is_left_behind(
    serve: Serve, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "TASK_END", 0.02)
    never: list[t.Any] = []

    async def swallow(stream: Stream) -> None:
        while len(never) < 2:
            never.append(asyncio.get_running_loop().create_future())
            try:
                await never[-1]
            except asyncio.CancelledError:
                pass
        never.append(asyncio.get_running_loop().create_future())
        await never[-1]

    running = serve(swallow)
    running.dial()
    until(lambda: never)
    running.engine.stop(0.01)
    running.join()
    for task in running.engine._tasks:
        task._log_destroy_pending = False  # else asyncio says so in the midst of another test
    assert "tasks left behind, as they do not heed their cancellation: 1" in caplog.text


def test_an_exception_ends_its_connection_alone(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    async def fragile(stream: Stream) -> None:
        async for line in stream:
            stream.write(b"%d\n" % (10 // int(line)))

    running = serve(fragile)
    good, bad = running.dial(), running.dial()
    peer = f"127.0.0.1:{bad.getsockname()[1]}"
    bad.sendall(b"5\n")
    assert receive_until(bad, b"\n") == b"2\n"
    bad.sendall(b"0\n")
    assert receive_all(bad) == b""
    assert running.reasons() == ["ZeroDivisionError"]
    assert isinstance(running.witness.exceptions[0], ZeroDivisionError)
    good.sendall(b"2\n")
    assert receive_until(good, b"\n") == b"5\n"
    (record,) = errors(caplog)
    assert peer in record.getMessage()
    assert record.exc_info


def test_an_exception_as_it_cleans_up_is_logged_once(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    async def careless(stream: Stream) -> None:
        try:
            await stream.read()
        finally:
            raise ZeroDivisionError

    running = serve(careless)
    client = running.dial()
    until(lambda: running.witness.connections)
    reset(client)
    until(lambda: errors(caplog))
    assert running.reasons() == ["ECONNRESET"]
    running.settle()
    assert len(errors(caplog)) == 1


def test_system_exit_ends_the_server(serve: Serve) -> None:
    notes = Notes()

    async def leave(stream: Stream) -> None:
        if await stream.readline() == b"exit\n":
            raise SystemExit(3)
        await notes.wait(stream)

    running = serve(leave)
    other, client = running.dial(), running.dial()
    other.sendall(b"wait\n")
    until(lambda: notes.events)
    client.sendall(b"exit\n")
    with pytest.raises(SystemExit):
        running.join()
    assert notes.events == ["began", "cancelled", "cleaned up"]
    running.forgive()


def test_other_tasks_end_with_the_server(serve: Serve) -> None:
    """Also those that a coroutine has started and forgotten."""
    ended: list[str] = []
    tasks = []

    async def background() -> None:
        try:
            await asyncio.sleep(1000)
        finally:
            ended.append("background")

    async def start(stream: Stream) -> None:
        tasks.append(asyncio.ensure_future(background()))
        await asyncio.sleep(0)

    running = serve(start)
    client = running.dial()
    assert receive_all(client) == b""
    client.close()
    running.engine.stop(PATIENCE)
    running.join()
    assert ended == ["background"]


# --- rooms -----------------------------------------------------------------------------------


def test_what_coroutines_publish_is_gathered_and_fanned_out_once(serve: Serve) -> None:
    room = Room()

    async def member(stream: Stream) -> None:
        room.join(stream.transport)
        try:
            async for line in stream:
                room.publish(line)
        finally:
            room.leave(stream.transport)

    running = serve(member)
    clients = [running.dial() for _ in range(20)]
    until(lambda: running.call(len, room) == 20)
    calls: list[int] = []
    fan_out = running.engine.fan_out

    def count(data: bytes, transports: list[t.Any]) -> t.Any:
        calls.append(len(transports))
        return fan_out(data, transports)

    running.engine.fan_out = count
    with running.held():
        for number, client in enumerate(clients):
            client.sendall(b"%02d\n" % number)
    heard = {receive(client, 60) for client in clients}
    (one,) = heard  # in one order
    assert sorted(one.split()) == [b"%02d" % number for number in range(20)]
    assert calls == [20]
    for client in clients:
        client.close()
    until(lambda: running.call(len, room) == 0)


def test_a_member_that_does_not_read_is_evicted_and_cancelled(serve: Serve) -> None:
    room = Room(soft_limit=1000, hard_limit=100_000)
    ended: list[str] = []

    async def member(stream: Stream) -> None:
        room.join(stream.transport)
        try:
            await stream.read()
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    running = serve(member)
    client = running.dial(receive_buffer=4096)
    until(lambda: running.call(len, room) == 1)
    for _ in range(200):
        running.call(room.publish, bytes(100_000))
        if ended:
            break
    until(lambda: ended)
    client.close()
    until(lambda: running.witness.exceptions)
    assert isinstance(running.witness.exceptions[0], LagError)


# --- between two ticks -----------------------------------------------------------------------


def test_a_timer_set_by_a_coroutine_counts_from_then(serve: Serve) -> None:
    """The tick before it may be long ago."""
    took: list[float] = []

    async def plan(stream: Stream) -> None:
        await asyncio.sleep(0.08)
        began = time.monotonic()
        fired = asyncio.Event()
        stream.transport.engine.call_later(0.05, fired.set)
        await fired.wait()
        took.append(time.monotonic() - began)

    running = serve(plan)
    running.dial()
    until(lambda: took)
    assert took[0] >= 0.049


def test_an_engine_with_sleeping_coroutines_sleeps(serve: Serve) -> None:
    running = serve(Notes().wait, idle_timeout=1000)
    running.dial()
    running.settle()
    before = running.engine.statistics().ticks
    time.sleep(0.05)
    assert running.engine.statistics().ticks - before < 10


def test_dialled_connections_too(serve: Serve) -> None:
    heard: list[bytes] = []

    async def talk(stream: Stream) -> None:
        stream.write(b"hello\n")
        heard.append(await stream.readline())

    running = serve(echo)
    factory = HandlerFactory(talk)
    running.call(running.engine.connect, running.addresses[0], factory, print)
    until(lambda: heard == [b"hello\n"])


def test_protocols_beside_coroutines(serve: Serve) -> None:
    class Greeter(LineProtocol):
        def connection_made(self, transport: t.Any) -> None:
            super().connection_made(transport)
            self.send_line(b"hello")
            transport.close()

    running = serve(echo)
    with Server("tcp://127.0.0.1:0", Greeter, engine="asyncio") as server:
        mine = Recorder()
        running.call(running.engine.connect, server.addresses[0], lambda: mine, print)
        until(lambda: mine.data == b"hello\r\n")


# --- as a server -----------------------------------------------------------------------------


def test_server(engine: str) -> None:
    with (
        Server("tcp://127.0.0.1:0", functools.partial(echo), engine=engine) as server,
        socket.create_connection(("127.0.0.1", server.addresses[0].port), PATIENCE) as client,
    ):
        client.sendall(b"hello")
        assert receive(client, 5) == b"hello"


@needs_openssl
def test_within_tls(engine: str) -> None:
    class Handler:
        async def __call__(self, stream: Stream) -> None:
            assert stream.get_extra_info("cipher")
            async for line in stream:
                stream.write(line.upper())

    with (
        Server("tls://127.0.0.1:0", Handler(), engine=engine, tls=server_config()) as server,
        socket.create_connection(("127.0.0.1", server.addresses[0].port), PATIENCE) as raw,
    ):
        client = TlsClient(raw).handshake()
        client.sendall(b"hello\n")
        assert client.recv(100) == b"HELLO\n"
        client.shutdown(socket.SHUT_WR)
        assert client.recv(100) == b""


@pytest.mark.parametrize("name", [engines.AUTO, *OTHERS])
def test_refused_elsewhere_in_one_line(name: str) -> None:
    if name != engines.AUTO and engines.missing(name):
        pytest.skip(f"no engine {name} here")
    with pytest.raises(UsageError, match="use --engine asyncio or uvloop") as refused:
        Server("tcp://127.0.0.1:0", echo, engine=name)
    assert str(refused.value).startswith("echo is a coroutine function, which the engine ")
    assert "\n" not in str(refused.value)


def test_refused_for_datagrams(engine: str) -> None:
    server = Server("udp://127.0.0.1:0", echo, engine=engine)
    with pytest.raises(UsageError, match="echo serves streams; for datagrams give a protocol"):
        server.open()


def test_a_server_inside_of_a_coroutine(engine: str) -> None:
    async def main() -> None:
        server = Server("tcp://127.0.0.1:0", echo, engine=engine)
        with pytest.raises(UsageError, match="whose asyncio loop runs already"):
            server.run()
        with Server("tcp://127.0.0.1:0", echo, engine=engine) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.addresses[0].port)
            writer.write(b"hello")
            assert await reader.readexactly(5) == b"hello"
            writer.close()
            await writer.wait_closed()

    asyncio.run(main())
