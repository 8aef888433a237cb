"""The engine of threads: the contracts, and what threads alone can get wrong."""

from __future__ import annotations

import faulthandler
import itertools
import random
import selectors
import socket
import threading
import typing as t
from collections.abc import Iterator

import pytest
from tests.contracts.datagram import DatagramContract
from tests.contracts.engine import EngineContract
from tests.contracts.running import Echo, Recorder, Serve
from tests.contracts.stream import BIG, EngineSuite, StreamContract
from tests.support import PATIENCE, fill, receive, receive_all, reset, until

from jackfield import engines, limits
from jackfield.errors import LagError, ServerStopping, UsageError
from jackfield.rooms.room import Room
from jackfield.services.small import Chargen
from jackfield.wire.lines import LineProtocol


class ThreadSuite(EngineSuite):
    def make(self, options: t.Any, instruments: list[t.Any]) -> t.Any:
        return engines.make("thread", options, instruments)

    @pytest.fixture(autouse=True)
    def _tracebacks(self) -> Iterator[None]:
        """Who hangs where, should threads wait for each other."""
        faulthandler.dump_traceback_later(60)
        yield
        faulthandler.cancel_dump_traceback_later()


class TestContracts(ThreadSuite, EngineContract, StreamContract, DatagramContract):
    """Where one thread gives an order between connections, threads give none."""

    def test_at_tick_end_once_after_everything_else(self, serve: Serve) -> None:
        """Everything else of a tick of the engine's thread, whichever thread asks for it."""
        running = serve()
        threads: list[int] = []

        class Says(Recorder):
            def data_received(self, data: bytes) -> None:
                threads.append(threading.get_ident())
                running.engine.at_tick_end(lambda: threads.append(threading.get_ident()))

        client, server = running.meet()
        running.call(server.transport.set_protocol, Says())
        client.send(b"x")
        until(lambda: len(threads) == 2)
        assert threads[1] == running.call(threading.get_ident) != threads[0]
        order: list[str] = []

        def plan() -> None:
            running.engine.at_tick_end(lambda: order.append("end"))
            order.append("now")

        running.call(plan)
        until(lambda: order == ["now", "end"])

    def test_one_flood_does_not_starve_the_others(self, serve: Serve) -> None:
        running = serve()
        flooder, flooded = running.meet()
        quiet, heard = running.meet()
        flooder.setblocking(False)
        fill(flooder)
        quiet.send(b"x")
        until(lambda: heard.data)
        assert max(len(event[1]) for event in flooded.events[1:]) <= limits.RECEIVE_SIZE

    def test_what_the_peer_sent_before_it_vanished_is_delivered_anywhere(
        self, serve: Serve, endpoint: str
    ) -> None:
        """Our writes meet EPIPE while its last words wait unread, as we are busy."""
        busy = threading.Event()

        class Busy(Recorder):
            def data_received(self, data: bytes) -> None:
                assert busy.wait(PATIENCE)
                super().data_received(data)

        running = serve(Busy, endpoint)
        client, server = running.meet()
        words = b"last words " * 9000  # more than one read
        client.setblocking(False)
        sent = client.send(words)
        client.close()

        def write() -> bool:
            server.transport.write(b"anybody there?")
            return bool(server.transport.write_closed)

        until(lambda: running.call(write))
        busy.set()
        assert isinstance(server.await_lost(), (BrokenPipeError, ConnectionResetError))
        assert server.data == words[:sent]
        assert server.names().count("lost") == 1

    def test_a_number_taken_anew_never_gets_its_predecessors_event(self, serve: Serve) -> None:
        """Connections abort each other, from many threads, while others come."""
        running = serve(Recorder)
        clients = [running.meet() for _ in range(4)]

        def abort_the_others(data: bytes) -> None:
            for _, server in clients:
                server.transport.abort()

        for _, server in clients:
            server.data_received = abort_the_others
        for client, _ in clients:
            client.send(b"for nobody else")
        newcomers = [running.dial() for _ in range(4)]
        fresh = [running.protocol(4 + index) for index in range(4)]
        for _, server in clients:
            server.await_lost()
        for newcomer in newcomers:
            newcomer.send(b"x")
        until(lambda: all(protocol.data == b"x" for protocol in fresh))
        assert all(protocol.names() == ["made", "data"] for protocol in fresh)


class Overlaps(Recorder):
    """Finds out whether two threads are in its callbacks at a time, and which thread that is."""

    def __init__(self) -> None:
        super().__init__()
        self.inside: list[int] = []
        self.overlapped = False
        self.threads: dict[str, int] = {}

    def __getattribute__(self, name: str) -> t.Any:
        method = super().__getattribute__(name)
        if name not in CALLBACKS:
            return method

        def call(*args: t.Any) -> t.Any:
            me = threading.get_ident()
            if any(other != me for other in self.inside):
                self.overlapped = True
            self.inside.append(me)
            self.threads[name] = me
            try:
                return method(*args)
            finally:
                self.inside.pop()

        return call


CALLBACKS = {
    *("connection_made", "data_received", "eof_received", "pause_writing", "resume_writing"),
    *("connection_lost", "closing"),
}


class TestThreads(ThreadSuite):
    # --- one connection ----------------------------------------------------------------------

    def test_every_callback_of_a_plain_connection_in_its_own_thread(self, serve: Serve) -> None:
        """So that it may keep what belongs to a thread, such as an sqlite3 connection."""
        running = serve(Overlaps)
        (client, first), (_, second) = running.meet(), running.meet()
        client.sendall(b"x")
        first.await_event("data")
        client.close()
        first.await_lost()
        assert len(set(first.threads.values())) == 1
        assert set(first.threads) == CALLBACKS - {"pause_writing", "resume_writing", "closing"}
        assert second.threads["connection_made"] not in first.threads.values()

    def test_a_thread_that_blocks_stalls_nobody(self, serve: Serve) -> None:
        go_on = threading.Event()

        class Blocks(Echo):
            def data_received(self, data: bytes) -> None:
                if data == b"block":
                    assert go_on.wait(PATIENCE)
                super().data_received(data)

        running = serve(Blocks)
        (slow, _), (quick, _) = running.meet(), running.meet()
        slow.sendall(b"block")
        for _ in range(20):
            quick.sendall(b"quick")
            assert receive(quick, 5) == b"quick"
        newcomer, _ = running.meet()
        newcomer.sendall(b"new")
        assert receive(newcomer, 3) == b"new"
        go_on.set()
        assert receive(slow, 5) == b"block"

    def test_what_is_written_while_the_protocol_blocks_is_sent(self, serve: Serve) -> None:
        """By the writer, which needs the protocol's thread for nothing."""
        go_on = threading.Event()

        class Blocks(Recorder):
            def data_received(self, data: bytes) -> None:
                self.transport.write(bytes(BIG))
                assert go_on.wait(PATIENCE)

        running = serve(Blocks)
        client, server = running.meet()
        client.sendall(b"x")
        server.await_event("pause")
        assert len(receive(client, BIG)) == BIG
        go_on.set()
        until(lambda: "resume" in server.names())

    def test_a_slow_reader_gets_a_writer_and_the_last_byte_ends_it(self, serve: Serve) -> None:
        running = serve(Echo)
        slow, server = running.meet()
        quick, _ = running.meet()
        before = threading.active_count()
        running.call(server.transport.write, bytes(BIG))
        assert threading.active_count() == before + 1
        for _ in range(20):
            quick.sendall(b"quick")
            assert receive(quick, 5) == b"quick"
        running.call(server.transport.write, b"end")
        assert threading.active_count() == before + 1
        assert receive(slow, BIG + 3).endswith(b"end")
        until(lambda: threading.active_count() == before)

    def test_nothing_is_taken_from_the_kernel_while_paused(self, serve: Serve) -> None:
        running = serve()
        client, server = running.meet()
        running.call(server.transport.pause_reading)
        client.sendall(b"waits")
        sock = server.transport.get_extra_info("socket")
        until(sock.has_input)
        running.settle()
        assert sock.recv(10, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b"waits"
        running.call(server.transport.resume_reading)
        until(lambda: server.data == b"waits")

    def test_what_a_protocol_plans_does_not_overlap_its_callbacks(self, serve: Serve) -> None:
        class Plans(Overlaps):
            planned = 0

            def data_received(self, data: bytes) -> None:
                super().data_received(data)
                self.transport.engine.call_soon(self.closing, ValueError())
                self.transport.engine.call_later(0.0001, self.closing, ValueError())

            def closing(self, reason: Exception) -> None:
                self.planned += 1

        running = serve(Plans)
        client, server = running.meet()
        for _ in range(300):
            client.sendall(b"x")
        until(lambda: len(server.data) == 300)
        calls = sum(name == "data" for name in server.names())
        until(lambda: server.planned == 2 * calls)
        assert not server.overlapped

    def test_a_timer_outlives_its_connection(self, serve: Serve) -> None:
        fired = threading.Event()

        class Again(Recorder):
            def connection_lost(self, exc: BaseException | None) -> None:
                super().connection_lost(exc)
                self.transport.engine.call_later(0.02, fired.set)

        running = serve(Again)
        client, server = running.meet()
        client.close()
        server.await_lost()
        assert fired.wait(PATIENCE)

    def test_a_timer_is_cancelled_by_another_thread(self, serve: Serve) -> None:
        running = serve()
        client, server = running.meet()
        fired: list[str] = []
        timer = running.call(running.engine.call_later, 0.05, fired.append, "cancelled")
        server.data_received = lambda data: timer.cancel()
        client.sendall(b"x")
        done = threading.Event()
        running.call(running.engine.call_later, 0.1, done.set)
        assert done.wait(PATIENCE)
        assert fired == []

    def test_a_protocol_that_calls_itself_for_ever_is_read(self, serve: Serve) -> None:
        heard = threading.Event()

        class Restless(Chargen):
            def data_received(self, data: bytes) -> None:
                heard.set()

        running = serve(Restless)
        client = running.dial()
        client.sendall(b"anybody there?")
        until(lambda: receive(client, 1 << 16) and heard.is_set())
        running.call(lambda: None)

    def test_exit_in_a_callback_ends_that_connection(self, serve: Serve) -> None:
        class Exits(Recorder):
            def data_received(self, data: bytes) -> None:
                raise SystemExit

        running = serve(Exits)
        client, server = running.meet()
        client.sendall(b"x")
        server.await_lost()
        until(lambda: running.engine.statistics().connections == 0)
        assert running.running

    # --- rooms -------------------------------------------------------------------------------

    def test_many_publish_from_their_threads_and_read_one_order(self, serve: Serve) -> None:
        members, messages = 200, 5
        room = Room()

        class Member(LineProtocol):
            def connection_made(self, transport: t.Any) -> None:
                super().connection_made(transport)
                room.join(transport)

            def line_received(self, line: bytes) -> None:
                room.publish(line + b"\n")

            def connection_lost(self, exc: BaseException | None) -> None:
                super().connection_lost(exc)
                room.leave(self.transport)

        running = serve(Member, backlog=members)
        clients = [running.dial() for _ in range(members)]
        until(lambda: len(room) == members)
        for number, client in enumerate(clients):
            client.sendall(b"".join(b"%d %d\n" % (number, i) for i in range(messages)))
        size = sum(len(b"%d %d\n" % (n, i)) for n in range(members) for i in range(messages))
        transcripts = _read_all(clients, size)
        assert set(map(bytes, transcripts)) == {bytes(transcripts[0])}
        said = [tuple(map(int, line.split())) for line in transcripts[0].splitlines()]
        assert sorted(said) == list(itertools.product(range(members), range(messages)))
        for number in range(members):  # each one's own order, too
            assert [i for n, i in said if n == number] == list(range(messages))

    def test_a_message_waits_for_nobody_elses_callback(self, serve: Serve) -> None:
        """Nor for its author's: one publishes, and then blocks."""
        room = Room()
        go_on = threading.Event()

        class Member(Recorder):
            def connection_made(self, transport: t.Any) -> None:
                super().connection_made(transport)
                room.join(transport)

            def data_received(self, data: bytes) -> None:
                room.publish(data)
                if data == b"slow":
                    assert go_on.wait(PATIENCE)

        running = serve(Member)
        (slow, _), (quick, _) = running.meet(), running.meet()
        slow.sendall(b"slow")
        assert receive(quick, 4) == receive(slow, 4) == b"slow"
        quick.sendall(b"quick")
        assert receive(quick, 5) == receive(slow, 5) == b"quick"
        go_on.set()

    def test_a_member_that_never_reads_is_evicted_by_the_others(self, serve: Serve) -> None:
        room = Room(soft_limit=1000, hard_limit=100_000)

        class Member(Overlaps):
            def connection_made(self, transport: t.Any) -> None:
                super().connection_made(transport)
                room.join(transport)

            def data_received(self, data: bytes) -> None:
                room.publish(data)

        running = serve(Member)
        deaf, server = running.meet(receive_buffer=4096)
        talker, _ = running.meet()
        block = bytes(50_000)
        while not server.transport.is_closing():
            talker.sendall(block)
            assert len(receive(talker, len(block))) == len(block)
        deaf.close()
        assert isinstance(server.await_lost(), LagError)
        assert server.names().count("closing") == 1
        assert not server.overlapped

    def test_a_storm(self, serve: Serve) -> None:
        """Everybody publishes, closes, aborts and evicts everybody, from every thread; clients
        read or not, reset or close. Nobody waits for ever, callbacks never overlap, everyone
        is lost once, nothing is left."""
        rooms = [Room(soft_limit=1000, hard_limit=50_000, history=3) for _ in range(2)]
        dice = random.Random(7)
        roll = threading.Lock()

        def rolled(sides: int) -> int:
            with roll:
                return dice.randrange(sides)

        class Wild(Overlaps):
            def connection_made(self, transport: t.Any) -> None:
                super().connection_made(transport)
                for room in rooms if rolled(2) else reversed(rooms):
                    room.join(transport)

            def data_received(self, data: bytes) -> None:
                rooms[rolled(2)].publish(data, noise=not rolled(3))
                other = running.protocols[rolled(len(running.protocols))].transport
                if other is not None:
                    act(other)

            def closing(self, reason: Exception) -> None:
                self.transport.write(b"closed\n")
                for room in rooms:
                    room.leave(self.transport)
                    room.publish(b"evicted\n")

            def connection_lost(self, exc: BaseException | None) -> None:
                super().connection_lost(exc)
                for room in rooms:
                    room.leave(self.transport)
                    room.publish(b"left\n")

        def act(transport: t.Any) -> None:
            match rolled(12):
                case 0:
                    transport.close()
                case 1:
                    transport.abort()
                case 2:
                    transport.evict(LagError("storm"))
                case 3:
                    transport.pause_reading()
                case 4:
                    transport.resume_reading()
                case 5 | 6:
                    transport.write(bytes(20_000))
                case _:
                    rooms[rolled(2)].catch_up(transport)

        running = serve(Wild, backlog=100)
        for _ in range(4):
            clients = [running.dial(receive_buffer=4096 * rolled(2)) for _ in range(25)]
            for client in clients:
                client.setblocking(False)
            for _ in range(400):
                _disturb(clients[rolled(25)], rolled(40))
                if not rolled(8):
                    known = len(running.protocols)
                    target = running.protocols[rolled(known)].transport if known else None
                    if target is not None:
                        running.engine.call_soon(act, target)
            for client in clients:
                client.close()
        until(lambda: running.engine.statistics().accepted >= 100)
        running.engine.stop(0.2)
        running.join()
        assert all(protocol.names().count("lost") == 1 for protocol in running.protocols)
        assert not any(protocol.overlapped for protocol in running.protocols)
        assert not any(map(len, rooms))
        until(lambda: not [t for t in threading.enumerate() if t.name.startswith("jackfield")])

    # --- limits, and the end -----------------------------------------------------------------

    def test_threads_max(self, serve: Serve) -> None:
        """Who is one too many waits in the backlog, and is served when somebody has left."""
        running = serve(Echo, threads_max=2)
        first, second = running.dial(), running.dial()
        for client in (first, second):
            client.sendall(b"x")
            assert receive(client, 1) == b"x"
        third = running.dial()
        third.sendall(b"y")
        running.settle()
        assert running.engine.statistics().accepted == 2
        assert running.engine.statistics().refused == 0
        first.close()
        assert receive(third, 1) == b"y"

    @pytest.mark.parametrize("size", [1, 4096, 1 << 60])
    def test_an_impossible_stack(self, size: int) -> None:
        with pytest.raises(UsageError, match="thread_stack"):
            self.make(engines.Options(thread_stack=size), [])

    def test_the_stack_is_the_threads_alone(self, serve: Serve) -> None:
        before = threading.stack_size()
        running = serve(Echo, thread_stack=256 * 1024)
        client, _ = running.meet()
        client.sendall(b"x")
        assert receive(client, 1) == b"x"
        assert threading.stack_size() == before

    def test_the_system_has_no_more_threads(
        self, serve: Serve, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        running = serve(Echo)
        served, _ = running.meet()

        def fail(thread: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", fail)
            with running.dial() as unlucky:
                assert receive_all(unlucky) == b""
        until(lambda: running.witness.refusals)
        assert [reason for _, reason in running.witness.refusals] == ["EAGAIN"]
        assert running.engine.statistics().connections == 1
        served.sendall(b"x")
        assert receive(served, 1) == b"x"

    def test_no_thread_for_a_writer(self, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
        """It ends that connection: nobody would flush its outbox."""
        running = serve()
        client, server = running.meet()

        def fail(thread: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", fail)
            running.call(server.transport.write, bytes(BIG))
        assert isinstance(server.await_lost(), OSError)
        client.close()
        until(lambda: running.engine.statistics().connections == 0)

    def test_a_stop_while_a_callback_blocks(
        self, serve: Serve, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Its thread is left behind, and does no harm when it comes back."""
        monkeypatch.setattr(limits, "THREAD_END", 0.02)
        go_on = threading.Event()
        over = threading.Event()

        class Blocks(Recorder):
            def data_received(self, data: bytes) -> None:
                assert go_on.wait(PATIENCE)
                self.transport.write(b"too late")
                over.set()

        running = serve(Blocks)
        client, server = running.meet()
        client.sendall(b"x")
        running.engine.stop(0.01)
        running.join()
        assert "left behind in a protocol's callback: 1" in caplog.text
        go_on.set()
        assert over.wait(PATIENCE)
        server.await_lost()
        assert server.names().count("lost") == 1

    def test_last_words_wait_for_the_callback_under_way(self, serve: Serve) -> None:
        go_on = threading.Event()

        class Blocks(Recorder):
            def data_received(self, data: bytes) -> None:
                assert go_on.wait(PATIENCE)
                self.transport.write(b"answer; ")

            def closing(self, reason: Exception) -> None:
                self.transport.write(b"goodbye")

        running = serve(Blocks)
        client, server = running.meet()
        client.sendall(b"x")
        until(lambda: not server.transport._serial._lock.acquire(blocking=False) or _free(server))
        running.call(server.transport.evict, ServerStopping("bye"))
        go_on.set()
        assert receive_all(client) == b"answer; goodbye"


def _free(server: t.Any) -> bool:
    server.transport._serial._lock.release()
    return False


def _read_all(clients: list[socket.socket], size: int) -> list[bytearray]:
    """``size`` bytes of each client."""
    transcripts = [bytearray() for _ in clients]
    with selectors.DefaultSelector() as selector:
        for number, client in enumerate(clients):
            selector.register(client, selectors.EVENT_READ, transcripts[number])
        while selector.get_map():
            ready = selector.select(PATIENCE)
            assert ready, f"{min(map(len, transcripts))} of {size} bytes"
            for key, _ in ready:
                key.data.extend(t.cast(socket.socket, key.fileobj).recv(1 << 16))
                if len(key.data) >= size:
                    selector.unregister(key.fileobj)
    return transcripts


def _disturb(client: socket.socket, how: int) -> None:
    try:
        if how == 0:
            reset(client)
        elif how == 1:
            client.close()
        elif how == 2:
            client.shutdown(socket.SHUT_WR)
        elif how < 10:
            client.recv(1 << 16)
        else:
            client.send(b"storm %d\n" % how * 10)
    except OSError:
        pass
