"""The engine's contract: its loop, its limits and deadlines, dialling, and how it stops."""

from __future__ import annotations

import errno
import os
import socket
import sys
import threading
import time
import typing as t

import pytest
from tests.contracts.running import Echo, Recorder, Running, Serve
from tests.contracts.stream import BIG, EngineSuite
from tests.support import drain, fill, receive, receive_all, until

from jackfield import limits
from jackfield.address import Address
from jackfield.errors import DeadlineError, ServerStopping, UsageError
from jackfield.wire.lines import LineProtocol


class FailingAccept:
    """In an acceptor's place of ``accept``: it fails with each of ``failures`` first."""

    def __init__(self, accept: t.Callable[[], t.Any], failures: list[int]) -> None:
        self._accept = accept
        self.failures = failures
        self.tries = 0

    def __call__(self) -> t.Any:
        self.tries += 1
        if self.failures:
            number = self.failures.pop(0)
            raise OSError(number, os.strerror(number))
        return self._accept()


class Line(LineProtocol):
    """Answers each line; remembers how it ended."""

    def __init__(self) -> None:
        self.lost: list[BaseException | None] = []
        self.lost_at = 0.0

    def line_received(self, line: bytes) -> None:
        self.send_line(line)

    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        self.lost_at = time.monotonic()
        self.lost.append(exc)


class EngineContract(EngineSuite):
    """Subclass it with ``make``."""

    # --- the loop ----------------------------------------------------------------------------

    def test_call_soon_from_other_threads_wakes_it(self, serve: Serve) -> None:
        running = serve()
        heard: list[tuple[int, int]] = []

        def call(number: int) -> None:
            for i in range(200):
                running.engine.call_soon(heard.append, (number, i))

        threads = [threading.Thread(target=call, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        until(lambda: len(heard) == 800)
        for number in range(4):  # each thread's calls in its order
            assert [i for n, i in heard if n == number] == list(range(200))

    def test_call_soon_wakes_it_each_time(self, serve: Serve) -> None:
        running = serve()
        for _ in range(50):
            running.call(lambda: None)

    def test_call_soon_in_the_engines_thread(self, serve: Serve) -> None:
        """In order, and what a call adds comes in the next tick: other events have a turn."""
        running = serve()
        order: list[str] = []
        done = threading.Event()

        def first() -> None:
            running.engine.call_soon(again, 3)
            running.engine.at_tick_end(lambda: order.append("end"))
            order.append("first")

        def again(left: int) -> None:
            order.append(f"again {left}")
            running.engine.call_soon(*((again, left - 1) if left else (done.set,)))

        running.call(first)
        assert done.wait(20)
        assert order == ["first", "end", "again 3", "again 2", "again 1", "again 0"]

    def test_a_failing_call_does_not_end_the_others(
        self, serve: Serve, caplog: pytest.LogCaptureFixture
    ) -> None:
        running = serve()

        def fail() -> t.NoReturn:
            raise ZeroDivisionError

        def plan() -> None:
            running.engine.call_soon(fail)
            running.engine.call_later(0, fail)
            running.engine.at_tick_end(fail)

        running.call(plan)
        running.settle(5)
        assert [r.exc_info[0] for r in caplog.records if r.exc_info] == [ZeroDivisionError] * 3

    def test_call_later_in_order(self, serve: Serve) -> None:
        running = serve()
        order: list[str] = []
        done = threading.Event()
        began = time.monotonic()

        def plan() -> None:
            later = running.engine.call_later
            for name, delay in (("c", 0.03), ("a", 0.01), ("b", 0.02), ("a2", 0.01)):
                later(delay, order.append, name)
            cancelled = later(0.015, order.append, "cancelled")
            later(0.01, cancelled.cancel)
            later(0.03, done.set)

        running.call(plan)
        assert done.wait(20)
        assert time.monotonic() - began >= 0.03
        assert order == ["a", "a2", "b", "c"]

    @pytest.mark.parametrize("delay", [1e8, 1e12, float("inf")])
    def test_a_timer_far_away(self, serve: Serve, delay: float) -> None:
        """Beyond what the system call can wait at a time."""
        running = serve(Echo)
        timer = running.call(running.engine.call_later, delay, print)
        running.settle()
        client = running.dial()
        client.sendall(b"x")
        assert receive(client, 1) == b"x"
        running.call(timer.cancel)

    def test_an_idle_engine_sleeps(self, serve: Serve) -> None:
        running = serve(idle_timeout=1000, login_timeout=1000)
        running.meet()
        running.settle()
        before = running.engine.statistics().ticks
        _wait(running, 0.05)
        assert running.engine.statistics().ticks - before < 10

    def test_at_tick_end_once_after_everything_else(self, serve: Serve) -> None:
        running = serve()
        order: list[str] = []

        class Says(Recorder):
            def data_received(self, data: bytes) -> None:
                order.append("data")
                running.engine.at_tick_end(lambda: order.append("end"))
                running.engine.call_soon(order.append, "soon")

        running.protocols.clear()
        clients = [running.dial() for _ in range(3)]
        for index in range(3):
            running.call(running.protocol(index).transport.set_protocol, Says())
        with running.held():
            for client in clients:
                client.send(b"x")
        until(lambda: len(order) >= 9)
        running.settle()
        assert order == ["data"] * 3 + ["soon"] * 3 + ["end"] * 3

    def test_at_tick_end_wakes_the_next_tick_when_added_at_one(self, serve: Serve) -> None:
        running = serve()
        done = threading.Event()
        end = running.engine.at_tick_end
        running.call(lambda: end(lambda: end(done.set)))
        assert done.wait(20)

    # --- fan-out -----------------------------------------------------------------------------

    def test_fan_out(self, serve: Serve) -> None:
        running = serve()
        pairs = [running.meet() for _ in range(5)]
        transports = [server.transport for _, server in pairs]

        def act() -> list[t.Any]:
            transports[1].write(bytes(BIG))  # behind
            transports[2].close()
            transports[3].write_eof()
            behind: list[t.Any] = running.engine.fan_out(b"to all", transports)
            transports[1].write(b" and you")
            return behind

        assert running.call(act) == [transports[1]]
        for index in (0, 4):
            assert receive(pairs[index][0], 6) == b"to all"
        assert receive(pairs[1][0], BIG + 14) == bytes(BIG) + b"to all and you"
        assert receive_all(pairs[2][0]) == receive_all(pairs[3][0]) == b""

    def test_fan_out_by_reference(self, serve: Serve) -> None:
        """What a thousand laggards hold is the same object."""
        running = serve()
        _, server = running.meet()
        data = bytes(1000)
        before = running.call(lambda: (server.transport.write(bytes(BIG)), _references(data))[1])
        running.call(running.engine.fan_out, data, [server.transport])
        assert running.call(_references, data) > before

    def test_fan_out_to_one_that_has_vanished(self, serve: Serve) -> None:
        running = serve()
        pairs = [running.meet() for _ in range(3)]
        with running.held():
            pairs[1][0].close()

            def act() -> None:
                for _ in range(20):
                    running.engine.fan_out(b"x", [server.transport for _, server in pairs])

            running.engine.call_soon(act)
        assert receive(pairs[0][0], 20) == receive(pairs[2][0], 20) == b"x" * 20
        pairs[1][1].await_lost()

    def test_fan_out_calls_nobody_before_everybody_has_it(self, serve: Serve) -> None:
        """A protocol told to pause answers at once; its answer must not overtake the message."""
        running = serve()
        pairs = [running.meet() for _ in range(2)]
        transports = [server.transport for _, server in pairs]
        pairs[0][1].pause_writing = lambda: transports[1].write(b"second")

        def act() -> None:
            transports[0].set_write_buffer_limits(high=2 * BIG)
            transports[0].write(bytes(BIG))
            transports[0].set_write_buffer_limits(high=transports[0].get_write_buffer_size())
            running.engine.fan_out(b"first-", transports)

        running.call(act)
        assert receive(pairs[1][0], 12) == b"first-second"
        assert pairs[0][1].transport.get_write_buffer_size() > 0

    def test_drained_before_it_could_be_told_to_pause(self, serve: Serve) -> None:
        """Then it is not told to resume either."""
        running = serve()
        client, server = running.meet()
        client.setblocking(False)

        def act() -> None:
            server.transport.set_write_buffer_limits(high=10)
            fill(server.transport.get_extra_info("socket"))
            running.engine.fan_out(bytes(100), [server.transport])
            assert server.transport.get_write_buffer_size() == 100
            drain(client)

        running.call(act)
        until(lambda: running.call(server.transport.get_write_buffer_size) == 0)
        assert server.names() in (["made"], ["made", "pause", "resume"])

    # --- descriptor numbers ------------------------------------------------------------------

    def test_a_number_taken_anew_never_gets_its_predecessors_event(self, serve: Serve) -> None:
        """In one tick: A is read and aborts B, whose bytes wait too, and C connects."""
        running = serve()
        clients = [running.meet() for _ in range(4)]
        numbers = [server.transport.fd for _, server in clients]

        def abort_the_others(data: bytes) -> None:
            for _, server in clients:
                if server.data == b"" and not server.transport.is_closing():
                    server.transport.abort()

        for _, server in clients:
            server.data_received = abort_the_others
        with running.held():
            for client, _ in clients:
                client.send(b"for nobody else")
            newcomers = [running.dial() for _ in range(4)]
        fresh = [running.protocol(4 + index) for index in range(4)]
        assert not {protocol.transport.fd for protocol in fresh} & set(numbers)
        running.settle()
        assert all(protocol.names() == ["made"] for protocol in fresh)
        for newcomer in newcomers:
            newcomer.send(b"x")
        until(lambda: all(protocol.data == b"x" for protocol in fresh))
        assert all(server.data == b"" for _, server in clients)

    def test_connection_lost_before_the_number_is_taken_anew(self, serve: Serve) -> None:
        """Else a log would show two connections with one number at a time."""
        running = serve()
        alive: set[int] = set()
        twice: list[int] = []
        witness = running.witness

        def connected(transport: t.Any) -> None:
            if transport.fd in alive:
                twice.append(transport.fd)
            alive.add(transport.fd)

        def disconnected(transport: t.Any, exc: BaseException | None, reason: str) -> None:
            alive.discard(transport.fd)
            witness.reasons.append(reason)

        witness.connected = connected  # type: ignore[method-assign]
        witness.disconnected = disconnected  # type: ignore[method-assign]
        for _ in range(5):
            with running.held():
                for _ in range(20):
                    running.dial().close()
        running.reasons(100)

        def abort_one_while_another_comes() -> None:
            running.protocols[-1].transport.abort()
            running.dial()

        running.dial()
        for count in range(101, 106):
            running.protocol(count - 1)
            running.call(abort_one_while_another_comes)
            running.reasons(count)
        until(lambda: len(alive) == 1)
        running.protocols[-1].transport.engine.call_soon(running.protocols[-1].transport.abort)
        running.reasons(106)
        assert not twice
        assert not alive

    # --- accepting ---------------------------------------------------------------------------

    @pytest.mark.parametrize("name", ["ECONNABORTED", "EPROTO", "EPERM", "ENETDOWN", "EINTR"])
    def test_one_lost_client_is_not_the_next_ones_trouble(self, serve: Serve, name: str) -> None:
        running = serve(Echo)
        fake = _failing(running, [getattr(errno, name)] * 3)
        client = running.dial()
        client.sendall(b"x")
        assert receive(client, 1) == b"x"
        assert fake.failures == []
        assert running.engine.statistics().accept_failures == 0

    @pytest.mark.parametrize("name", ["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM", "EINVAL"])
    def test_accepting_pauses_when_the_system_is_out_of_something(
        self, serve: Serve, name: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(limits, "ACCEPT_RETRY", 0.03)
        running = serve(Echo)
        served = running.dial()
        served.sendall(b"x")
        assert receive(served, 1) == b"x"
        fake = _failing(running, [getattr(errno, name)] * 3)
        began = time.monotonic()
        client = running.dial()
        served.sendall(b"served on")
        assert receive(served, 9) == b"served on"
        client.sendall(b"y")
        assert receive(client, 1) == b"y"
        assert time.monotonic() - began >= 0.09  # three pauses: it did not spin
        assert fake.tries <= 6
        assert running.engine.statistics().accept_failures == 3
        assert [exc.errno for exc in running.witness.failures] == [getattr(errno, name)] * 3

    def test_an_accepted_socket_that_cannot_be_tuned(
        self, serve: Serve, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Where options are not inherited, setsockopt() on one that was reset gives EINVAL."""
        module = type(serve().engine)._admit.__module__  # of the class that accepts
        monkeypatch.setattr(f"{module}.INHERITS_OPTIONS", False)
        failures = [OSError(errno.EINVAL, "Invalid argument")]

        def tune(sock: socket.socket) -> None:
            if failures:
                raise failures.pop()

        monkeypatch.setattr(f"{module}.tune_stream", tune)
        running = serve(Echo)
        assert receive_all(running.dial()) == b""
        client = running.dial()
        client.sendall(b"x")
        assert receive(client, 1) == b"x"
        assert [reason for _, reason in running.witness.refusals] == ["EINVAL"]

    def test_max_connections(self, serve: Serve) -> None:
        running = serve(Echo, max_connections=2)
        first, second = running.dial(), running.dial()
        for client in (first, second):
            client.sendall(b"x")
            assert receive(client, 1) == b"x"
        third = running.dial()
        assert _ended(third)
        running.settle()
        assert [reason for _, reason in running.witness.refusals] == ["max-connections"]
        assert running.engine.statistics().refused == 1
        first.close()
        until(lambda: running.engine.statistics().connections == 1)
        fourth = running.dial()
        fourth.sendall(b"y")
        assert receive(fourth, 1) == b"y"

    def test_max_per_host(self, serve: Serve) -> None:
        running = serve(Echo, "tcp://:0", max_per_host=1)
        first = running.dial()
        first.sendall(b"x")
        assert receive(first, 1) == b"x"
        same = running.dial()
        assert _ended(same)
        running.settle()
        assert [reason for _, reason in running.witness.refusals] == ["max-per-host"]
        if len(running.addresses) > 1:
            elsewhere = running.dial(which=1)
            elsewhere.sendall(b"y")
            assert receive(elsewhere, 1) == b"y"

    def test_max_per_second(self, serve: Serve) -> None:
        running = serve(Echo, max_per_second=0.01)  # so that none is regained within a test
        first = running.dial()
        first.sendall(b"x")
        assert receive(first, 1) == b"x"
        first.close()
        until(lambda: running.engine.statistics().connections == 0)
        assert _ended(running.dial())
        running.settle()
        assert [reason for _, reason in running.witness.refusals] == ["max-per-second"]
        assert running.engine.statistics().refused == 1
        assert running.engine.statistics().accepted == 1

    # --- deadlines ---------------------------------------------------------------------------

    def test_idle_deadline(self, serve: Serve) -> None:
        running = serve(idle_timeout=0.05)
        client, server = running.meet()
        began = time.monotonic()
        assert receive_all(client) == b""
        assert time.monotonic() - began >= 0.04
        exc = server.await_lost()
        assert isinstance(exc, DeadlineError)
        assert running.reasons() == ["idle-timeout"]
        assert server.names() == ["made", "closing", "lost"]

    def test_a_byte_at_a_time_extends_no_line_protocols_deadline(self, serve: Serve) -> None:
        running = serve(Line, idle_timeout=0.1, login_timeout=0.08)
        client = running.dial()
        server = running.protocols[0] if running.protocols else None
        began = time.monotonic()
        while not (server := next(iter(running.protocols), None)) or not server.lost:
            assert time.monotonic() - began < 20
            try:
                client.send(b"x")
            except OSError:
                pass
            time.sleep(0.005)
        assert isinstance(server.lost[0], DeadlineError)
        assert server.lost[0].reason == "login-timeout"

    def test_lines_extend_the_deadline(self, serve: Serve) -> None:
        running = serve(Line, idle_timeout=0.1)
        client = running.dial()
        began = answered = time.monotonic()
        while (sent := time.monotonic()) - began < 0.25:
            try:
                client.sendall(b"x\n")
                if receive(client, 3) != b"x\r\n":
                    break  # this machine stood still for longer than the deadline
            except OSError:
                break
            answered = sent
            time.sleep(0.01)
        assert running.reasons() == ["idle-timeout"]
        (server,) = running.protocols
        assert server.lost_at - answered >= 0.099

    # --- dialling ----------------------------------------------------------------------------

    def test_connect(self, serve: Serve, endpoint: str) -> None:
        running = serve(Echo, endpoint)
        mine = Recorder()
        failures: list[OSError] = []
        running.call(running.engine.connect, running.addresses[0], lambda: mine, failures.append)
        mine.await_event("made")
        running.call(mine.transport.write, b"there and back")
        until(lambda: mine.data == b"there and back")
        running.call(mine.transport.close)
        assert mine.await_lost() is None
        assert failures == []
        until(lambda: running.engine.statistics().connections == 0)

    def test_connect_refused(self, serve: Serve) -> None:
        running = serve()
        failures: list[OSError] = []
        running.call(running.engine.connect, _nobody(), Recorder, failures.append)
        until(lambda: failures)
        assert failures[0].errno == errno.ECONNREFUSED
        assert failures[0].strerror

    def test_connect_to_the_second_address(self, serve: Serve) -> None:
        running = serve(Echo)
        mine = Recorder()
        failures: list[OSError] = []
        several = [_nobody(), _nobody(), running.addresses[0]]
        running.call(running.engine.connect, several, lambda: mine, failures.append)
        mine.await_event("made")
        assert mine.transport.get_extra_info("peername") == running.addresses[0].sockaddr
        assert failures == []

    def test_connect_never_answers_before_it_returns(self, serve: Serve) -> None:
        running = serve()
        order: list[str] = []

        def act() -> None:
            running.engine.connect(_no_socket(), Recorder, lambda exc: order.append("failed"))
            order.append("returned")

        running.call(act)
        until(lambda: len(order) == 2)
        assert order == ["returned", "failed"]

    def test_connect_to_no_address(self, serve: Serve) -> None:
        running = serve()
        with pytest.raises(UsageError, match="no address"):
            running.call(running.engine.connect, [], Recorder, print)

    def test_connect_times_out(self, serve: Serve) -> None:
        """A listener whose backlog is full lets the handshake hang."""
        running = serve()
        failures: list[OSError] = []
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen(0)
            clients = [socket.socket() for _ in range(6)]
            try:
                for client in clients:
                    client.setblocking(False)
                    client.connect_ex(listener.getsockname())
                address = Address.of(listener)
                running.call(running.engine.connect, address, Recorder, failures.append, 0.05)
                until(lambda: failures)
            finally:
                for client in clients:
                    client.close()
        assert failures[0].errno == errno.ETIMEDOUT

    @pytest.mark.parametrize("who", ["factory", "failed"])
    def test_what_the_caller_of_connect_raises(
        self, serve: Serve, caplog: pytest.LogCaptureFixture, who: str
    ) -> None:
        running = serve(Echo)
        failures: list[OSError] = []

        def failed(exc: OSError) -> None:
            failures.append(exc)
            raise ZeroDivisionError

        def factory() -> t.NoReturn:
            raise ZeroDivisionError

        where = running.addresses[0] if who == "factory" else _nobody()
        running.call(running.engine.connect, where, factory, failed)
        until(lambda: failures)
        client = running.dial()
        client.sendall(b"x")
        assert receive(client, 1) == b"x"
        assert "ZeroDivisionError" in caplog.text
        running.settle()
        assert running.engine.statistics().connections == 1

    # --- stopping ----------------------------------------------------------------------------

    def test_stop_flushes_every_outbox(self, serve: Serve) -> None:
        running = serve()
        pairs = [running.meet() for _ in range(3)]
        for _, server in pairs:
            running.call(server.transport.write, bytes(BIG // 4))
        running.engine.stop(20)
        for client, server in pairs:
            assert len(receive_all(client)) == BIG // 4
            client.close()
            assert server.await_lost() is None
            assert isinstance(server.await_event("closing")[1], ServerStopping)
        running.join()
        assert running.reasons(3) == ["closed"] * 3

    def test_last_words_at_a_stop(self, serve: Serve) -> None:
        class Polite(Recorder):
            def closing(self, reason: Exception) -> None:
                self.transport.write(str(reason).encode())

        running = serve(Polite)
        client, _ = running.meet()
        running.engine.stop(20)
        assert receive_all(client) == b"the server is shutting down"
        client.close()
        running.join()

    def test_received_before_the_stop_is_still_read(self, serve: Serve) -> None:
        running = serve(Echo, backlog=50)
        known = [running.meet()[0] for _ in range(3)]
        with running.held():
            fresh = [running.dial() for _ in range(3)]
            for client in known + fresh:
                client.sendall(b"before the stop")
            running.engine.stop(20)
        for client in known + fresh:
            assert receive_all(client) == b"before the stop"
            client.close()
        running.join()

    def test_no_new_connections_while_stopping(self, serve: Serve) -> None:
        running = serve()
        _, server = running.meet()
        running.call(server.transport.write, bytes(BIG))
        running.engine.stop(20)
        server.await_event("closing")
        with pytest.raises(ConnectionRefusedError):
            running.dial()
        running.engine.stop(20)

    def test_a_second_stop_cuts(self, serve: Serve) -> None:
        running = serve()
        pairs = [running.meet() for _ in range(3)]
        for _, server in pairs:
            running.call(server.transport.write, bytes(BIG))
        running.engine.stop(1000)
        pairs[0][1].await_event("closing")
        running.engine.stop(1000)
        running.join()
        for _, server in pairs:
            assert server.names() == ["made", "pause", "closing", "lost"]
        assert len(running.witness.reasons) == 3

    def test_the_drain_ends(self, serve: Serve) -> None:
        running = serve()
        _, server = running.meet()
        running.call(server.transport.write, bytes(BIG))
        running.engine.stop(0.05)
        running.join()
        assert server.names() == ["made", "pause", "closing", "lost"]

    def test_stop_without_connections(self, serve: Serve) -> None:
        running = serve()
        running.engine.stop(1000)
        running.join()
        running.engine.stop(1000)  # and again, when all is over

    def test_stop_before_run(self) -> None:
        running = self._made()
        running.engine.stop(1000)
        running.start()
        running.join()

    def test_close_without_run(self) -> None:
        running = self._made()
        running.listen("tcp://127.0.0.1:0", Recorder)
        running.engine.close()
        running.engine.close()
        with pytest.raises(ConnectionRefusedError):
            running.dial()
        running.close()

    @pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
    def test_an_interrupt_ends_run_and_leaves_nothing(
        self, serve: Serve, kind: type[BaseException]
    ) -> None:
        running = serve()
        _, server = running.meet()

        def interrupt() -> None:
            running.engine.connect(running.addresses[0], Recorder, print)
            running.engine.call_soon(_raise, kind)

        running.call(interrupt)
        with pytest.raises(kind):
            running.join()
        assert server.names() == ["made", "lost"]
        assert server.transport.get_extra_info("socket").fileno() == -1
        running.forgive()

    def test_stop_while_dialling(self, serve: Serve) -> None:
        """Nobody's business is left behind; nobody is told, as everybody is going home."""
        running = serve()
        failures: list[OSError] = []
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen(0)
            clients = [socket.socket() for _ in range(6)]
            try:
                for client in clients:
                    client.setblocking(False)
                    client.connect_ex(listener.getsockname())

                def act() -> None:
                    address = Address.of(listener)
                    running.engine.connect(address, Recorder, failures.append, 1000)
                    running.engine.call_soon(running.engine.stop, 1000)
                    running.engine.call_soon(
                        running.engine.connect, address, Recorder, failures.append, 1000
                    )

                running.call(act)
                running.join()
            finally:
                for client in clients:
                    client.close()
        assert failures == []

    def test_stop_in_a_callback(self, serve: Serve) -> None:
        class Last(Echo):
            def data_received(self, data: bytes) -> None:
                super().data_received(data)
                self.transport.engine.stop(1000)

        running = serve(Last)
        client = running.dial()
        client.sendall(b"bye")
        assert receive_all(client) == b"bye"
        client.close()
        running.join()

    def test_nothing_is_left_open(self, serve: Serve) -> None:
        """Also those that linger or lie in the backlog."""
        running = serve(backlog=10)
        server = running.meet()[1]
        running.call(server.transport.close)
        server.await_lost()
        flooded = running.meet()[1]
        running.call(flooded.transport.write, bytes(BIG))
        fds = [server.transport.fd, flooded.transport.fd]
        running.engine.stop(0)
        running.join()
        assert all(p.transport.get_extra_info("socket").fileno() == -1 for p in (server, flooded))
        assert fds

    # --- helpers -----------------------------------------------------------------------------

    def _made(self) -> Running:
        from tests.contracts.running import Witness

        from jackfield.engines import Options

        witness = Witness()
        return Running(self.make(Options(), [witness]), witness)


def _wait(running: Running, seconds: float) -> None:
    """``seconds`` of the engine's own time."""
    done = threading.Event()
    running.engine.call_soon(lambda: running.engine.call_later(seconds, done.set))
    assert done.wait(20)


def _raise(kind: type[BaseException]) -> None:
    raise kind


def _references(data: bytes) -> int:
    return sys.getrefcount(data)


def _failing(running: Running, failures: list[int]) -> FailingAccept:
    """From now on the first listener's ``accept`` fails with each of ``failures``, then works."""

    def put() -> FailingAccept:
        (acceptor,) = running.engine._acceptors
        fake = acceptor.accept = FailingAccept(acceptor.accept, failures)
        return fake

    fake: FailingAccept = running.call(put)
    return fake


def _ended(client: socket.socket) -> bool:
    try:
        return client.recv(1) == b""
    except ConnectionResetError:
        return True


def _nobody() -> Address:
    """Where nobody listens: bound and released, so that the kernel gives it to nobody soon."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return Address.of(sock)


def _no_socket() -> Address:
    return Address("unix", socket.AF_UNIX, socket.SOCK_STREAM, b"\0jackfield-nobody-is-here")
