"""The stream transport's contract, under a running engine: real sockets on loopback."""

from __future__ import annotations

import logging
import socket
import struct
import sys
import threading
import typing as t
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.contracts.buffered import BufferedContract
from tests.contracts.running import Echo, KeepsOpen, Recorder, Running, Serve, Witness
from tests.support import fill, has_ipv6, receive, receive_all, reset, until

from jackfield import limits
from jackfield.errors import LagError, ServerStopping

BIG = 8 * 1024 * 1024


class EngineSuite:
    """What every suite of engines has: a subclass says how an engine is made."""

    def make(self, options: t.Any, instruments: list[t.Any]) -> t.Any:
        raise NotImplementedError

    @pytest.fixture
    def serve(self) -> Iterator[Serve]:
        """``serve(factory, endpoint, **options)``: an engine that runs; ended after the test."""
        from jackfield.engines import Options

        everything: list[Running] = []

        def serve(
            factory: t.Any = Recorder,
            endpoint: str = "tcp://127.0.0.1:0",
            *,
            backlog: int = 128,
            **options: t.Any,
        ) -> Running:
            witness = Witness()
            running = Running(self.make(Options(**options), [witness]), witness)
            everything.append(running)
            running.listen(endpoint, factory, backlog)
            running.start()
            return running

        yield serve
        for running in everything:
            running.close()

    @pytest.fixture(params=["ipv4", "ipv6", "unix"])
    def endpoint(self, request: pytest.FixtureRequest, short_directory: Path) -> str:
        """Every kind of stream; ``anywhere`` in a test's name says that it runs on each."""
        if request.param == "ipv6" and not has_ipv6():
            pytest.skip("no IPv6 loopback")
        if request.param == "unix" and not hasattr(socket, "AF_UNIX"):
            pytest.skip("no Unix sockets")
        return {
            "ipv4": "tcp://127.0.0.1:0",
            "ipv6": "tcp://[::1]:0",
            "unix": f"unix:{short_directory}/socket",
        }[str(request.param)]


class Greeter(Recorder):
    def connection_made(self, transport: t.Any) -> None:
        super().connection_made(transport)
        transport.write(b"hello")


class StreamContract(BufferedContract, EngineSuite):
    """Subclass it with ``make``."""

    ahead: t.ClassVar[int] = 0
    """Bytes that may wait beside the message under way, when those behind it were dropped."""

    # --- there and back --------------------------------------------------------------------

    def test_echo_anywhere(self, serve: Serve, endpoint: str) -> None:
        running = serve(Echo, endpoint)
        client, server = running.meet()
        for message in (b"x", b"hello" * 1000):
            client.sendall(message)
            assert receive(client, len(message)) == message
        client.shutdown(socket.SHUT_WR)
        assert receive_all(client) == b""
        assert server.await_lost() is None
        assert running.reasons() == ["eof"]

    def test_large_echo_through_backpressure_anywhere(self, serve: Serve, endpoint: str) -> None:
        """The client sends everything before it reads anything: both kernel buffers fill, the
        outbox passes its mark, and reading stops until it has drained."""
        running = serve(Echo, endpoint)
        client, server = running.meet()
        data = b"".join(i.to_bytes(4, "big") for i in range(BIG // 4))
        sender = threading.Thread(target=client.sendall, args=(data,))
        sender.start()
        server.await_event("pause")
        assert receive(client, BIG) == data
        sender.join()
        assert server.largest_outbox <= limits.HIGH_WATER + limits.RECEIVE_SIZE
        assert server.largest_block <= limits.RECEIVE_SIZE
        until(lambda: server.names()[-1] == "resume")
        changes = [name for name in server.names() if name in ("pause", "resume")]
        assert changes == ["pause", "resume"] * (len(changes) // 2)

    def test_who_makes_too_much_wait_is_closed(self, serve: Serve) -> None:
        most = 256 * 1024
        running = serve(Recorder, max_held=most)
        client, server = running.meet()
        running.call(server.transport.write, bytes(32 * 1024 * 1024))  # more than any kernel buffer
        assert receive(client, 1)
        assert len(receive_all(client)) > 0
        assert isinstance(server.await_lost(), LagError)
        assert running.reasons() == ["lag"]
        _, other = running.meet()  # the others stay
        running.call(other.transport.write, bytes(most))
        assert not running.call(other.transport.is_closing)

    def test_accept_burst(self, serve: Serve) -> None:
        running = serve(Greeter, backlog=400)
        with running.held():
            clients = [running.dial() for _ in range(300)]
        for client in clients:
            assert receive(client, 5) == b"hello"
        until(lambda: running.engine.statistics().accepted == 300)
        assert running.engine.statistics().connections == 300

    def test_written_in_connection_made_then_closed(self, serve: Serve) -> None:
        class Daytime(Greeter):
            def connection_made(self, transport: t.Any) -> None:
                super().connection_made(transport)
                transport.close()
                transport.write(b"too late, and without a word")

        running = serve(Daytime)
        client, server = running.meet()
        assert receive_all(client) == b"hello"
        assert server.await_lost() is None
        assert server.names() == ["made", "lost"]

    def test_one_flood_does_not_starve_the_others(self, serve: Serve) -> None:
        running = serve()
        flooder, flooded = running.meet()
        quiet, heard = running.meet()
        order: list[int] = []
        running.call(lambda: None)
        for number, protocol in enumerate((flooded, heard)):
            take = protocol.data_received

            def note(data: bytes, number: int = number, take: t.Any = take) -> None:
                order.append(number)
                take(data)

            protocol.data_received = note
        with running.held():
            flooder.setblocking(False)
            total = fill(flooder)
            assert total > 2 * limits.RECEIVE_SIZE
            quiet.send(b"x")
        until(lambda: len(flooded.data) == total and heard.data)
        assert order.index(1) <= 1  # after one block of the flood at most
        assert max(len(event[1]) for event in flooded.events[1:]) <= limits.RECEIVE_SIZE

    def test_kinds_of_data(self, serve: Serve) -> None:
        running = serve()
        client, server = running.meet()

        def write() -> None:
            scratch = bytearray(b"bytearray ")
            server.transport.write(b"bytes ")
            server.transport.write(scratch)
            server.transport.write(memoryview(b"memoryview ")[:])
            server.transport.write(b"")
            server.transport.writelines([b"lines ", bytearray(b"and "), memoryview(b"end")])
            scratch[:] = b"overwritten"
            with pytest.raises(TypeError):
                server.transport.write("text")

        running.call(write)
        expected = b"bytes bytearray memoryview lines and end"
        assert receive(client, len(expected)) == expected

    def test_queued_data_is_kept_whatever_becomes_of_the_callers_buffer(self, serve: Serve) -> None:
        running = serve()
        client, server = running.meet()

        def write() -> None:
            server.transport.write(bytes(BIG))  # fills the kernel's buffer
            scratch = bytearray(b"kept")
            server.transport.write(scratch)
            scratch[:] = b"gone"

        running.call(write)
        assert receive(client, BIG + 4).endswith(b"\0kept")

    def test_information(self, serve: Serve, endpoint: str) -> None:
        running = serve(Recorder, endpoint)
        client, server = running.meet()
        get = server.transport.get_extra_info
        info = {n: running.call(get, n) for n in ("peername", "sockname", "fd", "peer", "socket")}
        assert info["sockname"] == client.getpeername() == running.addresses[0].sockaddr
        assert info["peername"] == client.getsockname()
        assert info["socket"].fileno() == info["fd"]
        assert "\n" not in info["peer"]
        assert info["peer"]
        assert get("cipher") is None
        assert get("cipher", 5) == 5
        assert server.transport.can_write_eof()
        assert server.transport.engine is running.engine
        assert not server.transport.is_closing()
        client.close()
        server.await_lost()
        assert server.transport.is_closing()
        assert get("peer") == info["peer"]  # logs need it afterwards too

    def test_another_protocol_takes_over(self, serve: Serve) -> None:
        running = serve()
        client, first = running.meet()
        second = Recorder()
        client.sendall(b"one")
        first.await_event("data")
        running.call(first.transport.set_protocol, second)
        assert running.call(first.transport.get_protocol) is second
        client.sendall(b"two")
        second.await_event("data")
        client.close()
        second.await_lost()
        assert first.names() == ["made", "data"]
        assert second.names() == ["data", "eof", "lost"]

    # --- pausing -----------------------------------------------------------------------------

    def test_pause_and_resume_reading_anywhere(self, serve: Serve, endpoint: str) -> None:
        running = serve(Recorder, endpoint)
        client, server = running.meet()
        running.call(server.transport.pause_reading)
        assert not running.call(server.transport.is_reading)
        client.sendall(b"waits")
        running.settle()
        assert server.data == b""
        running.call(server.transport.resume_reading)
        until(lambda: server.data == b"waits")
        assert running.call(server.transport.is_reading)

    def test_pausing_in_data_received_takes_effect_at_once(self, serve: Serve) -> None:
        class OneBlock(Recorder):
            def data_received(self, data: bytes) -> None:
                super().data_received(data)
                self.transport.pause_reading()

        running = serve(OneBlock)
        client, server = running.meet()
        client.setblocking(False)
        assert fill(client) > limits.RECEIVE_SIZE
        server.await_event("data")
        running.settle()
        assert server.names() == ["made", "data"]

    def test_the_end_of_the_stream_waits_while_paused(self, serve: Serve) -> None:
        running = serve()
        client, server = running.meet()
        running.call(server.transport.pause_reading)
        client.sendall(b"last words")
        client.close()
        running.settle()
        assert server.names() == ["made"]
        running.call(server.transport.resume_reading)
        assert server.await_lost() is None
        assert server.data == b"last words"

    def test_water_marks(self, serve: Serve) -> None:
        """As asyncio has it: called from within write() once above high, not again before it has
        been at or below low."""
        running = serve()
        client, server = running.meet(receive_buffer=4096)
        transport = server.transport

        def overfill() -> tuple[int, int]:
            transport.set_write_buffer_limits(high=1000, low=100)
            while not server.events[1:]:
                before = transport.get_write_buffer_size()
                assert before <= 1000
                transport.write(bytes(400))
            after = transport.get_write_buffer_size()
            transport.write(bytes(400))
            return before, after

        before, after = running.call(overfill)
        assert before <= 1000 < after
        assert server.names() == ["made", "pause"]
        assert running.call(transport.get_write_buffer_limits) == (100, 1000)
        total = running.call(transport.get_write_buffer_size)
        assert total == after + 400
        client.settimeout(0.05)
        while "resume" not in server.names():
            client.recv(1 << 20)
        assert server.names() == ["made", "pause", "resume"]

    def test_a_peer_that_does_not_read_is_not_read(self, serve: Serve) -> None:
        """It pipelines requests without reading replies: its next ones wait in the kernel."""
        running = serve()
        client, server = running.meet()
        running.call(server.transport.write, bytes(BIG))
        assert server.names() == ["made", "pause"]
        client.sendall(b"request")
        running.settle()
        assert server.data == b""
        receive(client, BIG)
        until(lambda: server.data == b"request")
        assert server.names() == ["made", "pause", "resume", "data"]

    @pytest.mark.parametrize(
        ("high", "low", "expected"),
        [
            (None, None, (limits.HIGH_WATER // 4, limits.HIGH_WATER)),
            (1000, None, (250, 1000)),
            (None, 1000, (1000, 4000)),
            (0, None, (0, 0)),
            (5, 5, (5, 5)),
        ],
    )
    def test_water_mark_defaults_are_asyncios(
        self, serve: Serve, high: int | None, low: int | None, expected: tuple[int, int]
    ) -> None:
        running = serve()
        _, server = running.meet()
        running.call(lambda: server.transport.set_write_buffer_limits(high=high, low=low))
        assert running.call(server.transport.get_write_buffer_limits) == expected

    def test_lowering_the_mark_pauses_at_once(self, serve: Serve) -> None:
        running = serve()
        _, server = running.meet()
        transport = server.transport

        def lower() -> None:
            transport.set_write_buffer_limits(high=2 * BIG)
            transport.write(bytes(BIG))
            assert server.names() == ["made"]
            transport.set_write_buffer_limits(high=1)

        running.call(lower)
        assert server.names() == ["made", "pause"]

    @pytest.mark.parametrize(("high", "low"), [(10, 11), (10, -1), (-1, None)])
    def test_impossible_water_marks(self, serve: Serve, high: int, low: int | None) -> None:
        running = serve()
        _, server = running.meet()
        with pytest.raises(ValueError, match="must be"):
            server.transport.set_write_buffer_limits(high=high, low=low)

    # --- half-close --------------------------------------------------------------------------

    def test_the_peer_half_closes_and_gets_all_replies_anywhere(
        self, serve: Serve, endpoint: str
    ) -> None:
        running = serve(Echo, endpoint)
        client, server = running.meet()
        half = BIG // 2
        sender = threading.Thread(target=_send_and_half_close, args=(client, bytes(half)))
        sender.start()
        assert len(receive_all(client)) == half
        sender.join()
        assert server.await_lost() is None
        assert server.names().count("eof") == 1

    def test_true_from_eof_received_keeps_it_open_anywhere(
        self, serve: Serve, endpoint: str
    ) -> None:
        running = serve(KeepsOpen, endpoint)
        client, server = running.meet()
        client.sendall(b"question")
        client.shutdown(socket.SHUT_WR)
        server.await_event("eof")
        running.settle()
        assert not running.call(server.transport.is_closing)
        running.call(server.transport.write, b"late answer")
        assert receive(client, 11) == b"late answer"
        running.call(server.transport.close)
        assert receive_all(client) == b""
        assert server.await_lost() is None
        assert server.names() == ["made", "data", "eof", "lost"]

    def test_a_half_closed_idle_connection_does_not_spin(self, serve: Serve) -> None:
        running = serve(KeepsOpen)
        client, server = running.meet()
        client.shutdown(socket.SHUT_WR)
        server.await_event("eof")
        running.settle()
        before = running.engine.statistics().ticks
        _wait_a_moment(running)
        assert running.engine.statistics().ticks - before < 20

    def test_we_half_close_and_go_on_reading_anywhere(self, serve: Serve, endpoint: str) -> None:
        running = serve(Recorder, endpoint)
        client, server = running.meet()
        running.call(server.transport.write, b"all I have")
        running.call(server.transport.write_eof)
        assert receive_all(client) == b"all I have"
        client.sendall(b"still here")
        until(lambda: server.data == b"still here")
        client.close()
        assert server.await_lost() is None

    def test_half_close_waits_for_the_outbox(self, serve: Serve) -> None:
        running = serve()
        client, server = running.meet()

        def act() -> None:
            server.transport.write(bytes(BIG))
            server.transport.write_eof()
            server.transport.write_eof()  # twice is once

        running.call(act)
        assert len(receive_all(client)) == BIG
        client.sendall(b"x")
        until(lambda: server.data == b"x")

    def test_write_after_write_eof_raises(self, serve: Serve) -> None:
        running = serve()
        client, server = running.meet()

        def act() -> None:
            server.transport.write_eof()
            with pytest.raises(RuntimeError, match="after write_eof"):
                server.transport.write(b"x")

        running.call(act)
        client.close()
        server.await_lost()
        running.call(server.transport.write, b"closed: says nothing, as asyncio")

    def test_half_close_to_a_peer_that_was_reset(self, serve: Serve) -> None:
        """shutdown() fails with ENOTCONN; the end must be found nevertheless."""
        running = serve()
        client, server = running.meet()

        def act() -> None:
            reset(client)
            server.transport.write_eof()
            server.transport.pause_reading()
            server.transport.resume_reading()

        running.call(act)
        exc = server.await_lost()
        assert exc is None or isinstance(exc, ConnectionResetError)

    # --- close -------------------------------------------------------------------------------

    def test_close_flushes_a_large_outbox_anywhere(self, serve: Serve, endpoint: str) -> None:
        running = serve(Recorder, endpoint)
        client, server = running.meet()
        data = b"".join(i.to_bytes(4, "big") for i in range(BIG // 4))

        def act() -> None:
            server.transport.write(data)
            server.transport.close()
            assert server.transport.is_closing()
            assert not server.transport.is_reading()

        running.call(act)
        running.settle()
        assert "lost" not in server.names()
        assert receive_all(client) == data
        assert server.await_lost() is None
        assert server.names() == ["made", "pause", "lost"]

    def test_close_with_unread_input_does_not_lose_the_last_bytes_anywhere(
        self, serve: Serve, endpoint: str
    ) -> None:
        """Closing a socket with unread input resets the connection, and the reset overtakes what
        the peer has not read yet. So we linger."""
        running = serve(Recorder, endpoint)
        client, server = running.meet()
        with running.held():
            client.setblocking(False)
            fill(client)

            def act() -> None:
                server.transport.write(b"goodbye")
                server.transport.close()

            running.engine.call_soon(act)
        server.await_lost()
        running.settle()
        client.settimeout(5)
        client.sendall(b"still talking")
        running.settle()
        client.sendall(b"and on")
        assert receive_all(client) == b"goodbye"
        assert "data" not in server.names()[server.names().index("lost") :]

    def test_lingering_ends(self, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
        """A peer that never closes does not keep the descriptor."""
        monkeypatch.setattr(limits, "LINGER", 0.02)
        running = serve()
        client, server = running.meet()
        running.call(server.transport.close)
        assert server.await_lost() is None
        until(lambda: running.engine.statistics().connections == 0)
        assert receive_all(client) == b""
        assert running.reasons() == ["closed"]

    def test_flushing_ends(self, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
        """A peer that never reads does not keep the outbox."""
        monkeypatch.setattr(limits, "FLUSH", 0.02)
        running = serve()
        _, server = running.meet()

        def act() -> None:
            server.transport.write(bytes(BIG))
            server.transport.close()

        running.call(act)
        assert server.await_lost() is not None
        until(lambda: running.engine.statistics().connections == 0)
        assert running.reasons() == ["flush"]

    def test_abort(self, serve: Serve) -> None:
        running = serve()
        client, server = running.meet()

        def act() -> None:
            server.transport.write(bytes(BIG))
            server.transport.abort()
            assert server.transport.is_closing()
            assert "lost" not in server.names()  # not from inside of the caller's stack

        running.call(act)
        assert server.await_lost() is None
        try:
            assert len(receive_all(client)) < BIG
        except ConnectionResetError:
            pass
        assert running.reasons() == ["aborted"]
        running.call(server.transport.abort)
        running.call(server.transport.close)
        running.settle()
        assert server.names() == ["made", "pause", "lost"]

    def test_abort_while_flushing(self, serve: Serve) -> None:
        running = serve()
        _, server = running.meet()

        def act() -> None:
            server.transport.write(bytes(BIG))
            server.transport.close()
            server.transport.close()
            server.transport.abort()

        running.call(act)
        server.await_lost()
        running.settle()
        assert server.names() == ["made", "pause", "lost"]

    @pytest.mark.parametrize("act", ["close", "abort"])
    @pytest.mark.parametrize("when", ["made", "data", "eof", "pause", "resume", "lost"])
    def test_closing_from_inside_any_callback(self, serve: Serve, act: str, when: str) -> None:
        class Closes(Recorder):
            def __getattribute__(self, name: str) -> t.Any:
                method = super().__getattribute__(name)
                if name != CALLBACKS[when]:
                    return method

                def call(*args: t.Any) -> t.Any:
                    result = method(*args)
                    getattr(self.transport, act)()
                    return result

                return call

        running = serve(Closes)
        client, server = running.meet()
        if when in ("pause", "resume"):
            running.call(server.transport.write, bytes(BIG))
        try:
            if when in ("data", "eof", "lost"):
                client.sendall(b"x")
                client.shutdown(socket.SHUT_WR)
            receive_all(client)
        except ConnectionResetError:
            assert act == "abort"
        assert server.await_lost() is None
        client.close()
        until(lambda: running.engine.statistics().connections == 0)
        assert server.names().count("lost") == 1
        assert server.names()[-1] == "lost"

    # --- exceptions ----------------------------------------------------------------------------

    @pytest.mark.parametrize("when", ["made", "data", "eof", "pause", "resume", "lost", "closing"])
    def test_an_exception_ends_its_connection_alone(
        self, serve: Serve, caplog: pytest.LogCaptureFixture, when: str
    ) -> None:
        class Raises(Recorder):
            def __getattribute__(self, name: str) -> t.Any:
                method = super().__getattribute__(name)
                if name != CALLBACKS[when]:
                    return method

                def call(*args: t.Any) -> t.Any:
                    method(*args)
                    raise ZeroDivisionError(when)

                return call

        running = serve(Raises)
        others = [] if when == "made" else [running.meet()]
        client, server = running.meet()
        peer = server.transport.peer
        if when in ("pause", "resume"):
            running.call(server.transport.write, bytes(BIG))
        try:
            if when in ("data", "eof", "lost"):
                client.sendall(b"x")
            if when in ("eof", "lost"):
                client.shutdown(socket.SHUT_WR)
            if when == "closing":
                running.call(server.transport.evict, LagError("too slow"))
            receive_all(client)
        except ConnectionResetError:
            pass
        lost = server.await_lost()
        client.close()
        until(lambda: running.engine.statistics().connections == (0 if when == "made" else 1))
        assert (lost is None) if when == "lost" else isinstance(lost, ZeroDivisionError)
        assert server.names().count("lost") == 1
        records = [r for r in caplog.records if r.levelno >= logging.ERROR]
        assert len(records) == 1
        assert peer in records[0].getMessage()
        assert records[0].exc_info
        assert running.running
        for good, neighbour in others:
            running.call(neighbour.transport.write, b"served on")
            assert receive(good, 9) == b"served on"

    def test_an_exception_in_the_factory(
        self, serve: Serve, caplog: pytest.LogCaptureFixture
    ) -> None:
        made: list[Echo] = []

        def factory() -> Echo:
            if not made:
                made.append(Echo())
                raise ZeroDivisionError
            return Echo()

        running = serve(factory)
        with running.dial() as unlucky:
            assert receive_all(unlucky) == b""
        client = running.dial()
        client.sendall(b"x")
        assert receive(client, 1) == b"x"
        assert "factory" in caplog.text

    def test_a_protocol_that_lacks_a_callback(
        self, serve: Serve, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Somebody's class that is no subclass of ours: its own connection pays."""

        paused = threading.Event()

        class Bare:
            transport: t.Any = None

            def connection_made(self, transport: t.Any) -> None:
                self.transport = transport
                transport.write(bytes(BIG))

            def pause_writing(self) -> None:
                paused.set()

        running = serve(Bare)
        client, _ = running.meet()
        assert paused.wait(20)  # a client that reads meanwhile may leave nothing to queue
        try:
            receive_all(client)
        except ConnectionResetError:
            pass
        until(lambda: running.engine.statistics().connections == 0)
        assert running.running
        assert "resume_writing" in caplog.text

    # --- peers that vanish ----------------------------------------------------------------------

    def test_reset_by_the_peer(self, serve: Serve) -> None:
        running = serve()
        client, server = running.meet()
        reset(client)
        assert isinstance(server.await_lost(), ConnectionResetError)
        until(lambda: running.engine.statistics().connections == 0)
        assert running.reasons() == ["ECONNRESET"]

    def test_reset_with_a_full_outbox(self, serve: Serve) -> None:
        running = serve()
        client, server = running.meet()
        running.call(server.transport.write, bytes(BIG))
        reset(client)
        assert isinstance(server.await_lost(), (ConnectionResetError, BrokenPipeError))
        until(lambda: running.engine.statistics().connections == 0)
        assert server.names() == ["made", "pause", "lost"]

    @pytest.mark.parametrize("how", ["closes", "lingers"])
    def test_reset_while_we_close(self, serve: Serve, how: str) -> None:
        running = serve()
        client, server = running.meet()
        if how == "closes":
            running.call(server.transport.write, bytes(BIG))
        running.call(server.transport.close)
        running.settle()
        reset(client)
        server.await_lost()
        until(lambda: running.engine.statistics().connections == 0)
        assert server.names().count("lost") == 1

    def test_what_the_peer_sent_before_it_vanished_is_delivered_anywhere(
        self, serve: Serve, endpoint: str
    ) -> None:
        """Our writes meet EPIPE while its last words wait unread."""
        running = serve(Recorder, endpoint)
        client, server = running.meet()
        words = b"last words " * 9000  # more than one read
        with running.held():
            client.setblocking(False)
            sent = client.send(words)
            client.close()

            def write() -> None:
                for _ in range(50):
                    server.transport.write(b"anybody there?" * 1000)  # beyond what is gathered

            running.engine.call_soon(write)
        exc = server.await_lost()
        assert isinstance(exc, (BrokenPipeError, ConnectionResetError))
        assert server.data == words[:sent]
        assert sent > limits.RECEIVE_SIZE or endpoint.startswith("unix")
        assert server.names().count("lost") == 1

    def test_vanished_while_reading_is_paused(self, serve: Serve) -> None:
        running = serve()
        client, server = running.meet()
        running.call(server.transport.pause_reading)
        client.sendall(b"not to be delivered while paused")
        client.close()

        def write() -> bool:
            server.transport.write(b"x")
            return "lost" in server.names()

        until(lambda: running.call(write))
        assert isinstance(server.await_lost(), (BrokenPipeError, ConnectionResetError))
        assert server.names() == ["made", "lost"]

    # --- eviction ---------------------------------------------------------------------------------

    def test_evict_tells_why_and_flushes(self, serve: Serve) -> None:
        class Explains(Recorder):
            def closing(self, reason: Exception) -> None:
                super().closing(reason)
                self.transport.write(f"closed: {reason}".encode())

        running = serve(Explains)
        client, server = running.meet()

        def act() -> None:
            server.transport.write(b"said before; ")
            server.transport.evict(LagError("too slow"))
            server.transport.evict(LagError("twice"))
            server.transport.write(b"too late")

        running.call(act)
        assert receive_all(client) == b"said before; closed: too slow"
        assert isinstance(server.await_lost(), LagError)
        assert server.names() == ["made", "closing", "lost"]
        assert running.reasons() == ["lag"]

    def test_a_lagging_peer_reads_whole_chunks_then_why(self, serve: Serve) -> None:
        class Explains(Recorder):
            def closing(self, reason: Exception) -> None:
                self.transport.write(b"why\n")

        running = serve(Explains)
        client, server = running.meet()
        chunk = b"a" * 65535 + b"\n"

        def act() -> None:
            for _ in range(BIG // len(chunk)):
                server.transport.write(chunk)
            server.transport.evict(LagError("too slow"))
            assert server.transport.get_write_buffer_size() <= len(chunk) + 4 + self.ahead

        running.call(act)
        *whole, last = receive_all(client).splitlines(keepends=True)
        assert last == b"why\n"
        assert whole
        assert set(whole) == {chunk}

    @pytest.mark.parametrize("act", ["write", "close", "write_eof", "evict"])
    def test_found_lagging_by_a_room_in_the_midst_of_something(
        self, serve: Serve, act: str
    ) -> None:
        """Catching up may evict; what was begun must not cut the last words short."""

        class LastStraw:
            def catch_up(self, transport: t.Any) -> None:
                transport.detach(self)
                transport.evict(LagError("too slow"))

        class Explains(Recorder):
            def closing(self, reason: Exception) -> None:
                super().closing(reason)
                self.transport.write(b"closed: %s" % str(reason).encode())

        running = serve(Explains)
        client, server = running.meet()

        def begin() -> None:
            server.transport.attach(LastStraw())
            arguments: dict[str, t.Any] = {"write": b"too late", "evict": ServerStopping("bye")}
            getattr(server.transport, act)(*([arguments[act]] if act in arguments else []))

        running.call(begin)
        assert receive_all(client) == b"closed: too slow"
        assert isinstance(server.await_lost(), LagError)
        assert server.names() == ["made", "closing", "lost"]

    def test_evicting_somebody_without_closing(self, serve: Serve) -> None:
        """asyncio's protocols do not know ``closing``."""

        class Foreign(Recorder):
            closing = None  # type: ignore[assignment]

        running = serve(Foreign)
        client, server = running.meet()
        running.call(server.transport.evict, ServerStopping("bye"))
        assert receive_all(client) == b""
        assert isinstance(server.await_lost(), ServerStopping)

    # --- odd clients -------------------------------------------------------------------

    @pytest.mark.skipif(sys.platform != "linux", reason="Linux lets MSG_OOB be read in line")
    def test_urgent_data_stays_in_the_stream(self, serve: Serve) -> None:
        running = serve(Echo)
        client, _ = running.meet()
        client.send(b"a")
        client.send(b"!", socket.MSG_OOB)
        client.send(b"z")
        assert receive(client, 3) == b"a!z"

    def test_many_come_and_go(self, serve: Serve) -> None:
        """Every way to leave, many times; nothing is left behind."""
        running = serve(Echo)
        for number in range(60):
            client = running.dial()
            client.sendall(b"x" * number)
            if number % 3 == 0:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            elif number % 3 == 1:
                client.shutdown(socket.SHUT_WR)
                assert receive_all(client) == b"x" * number
            client.close()
        until(lambda: running.engine.statistics().lost == 60)
        until(lambda: running.engine.statistics().connections == 0)
        assert all(p.names().count("lost") == 1 for p in running.protocols)
        assert len(running.reasons(60)) == 60


CALLBACKS = {
    "made": "connection_made",
    "data": "data_received",
    "eof": "eof_received",
    "pause": "pause_writing",
    "resume": "resume_writing",
    "lost": "connection_lost",
    "closing": "closing",
}


def _send_and_half_close(sock: socket.socket, data: bytes) -> None:
    sock.sendall(data)
    sock.shutdown(socket.SHUT_WR)


def _wait_a_moment(running: Running) -> None:
    """Fifty milliseconds of the engine's own time."""
    done = threading.Event()
    running.engine.call_soon(lambda: running.engine.call_later(0.05, done.set))
    assert done.wait(20)
