"""One client at a time: the contracts as far as one client goes, and what happens to the next."""

from __future__ import annotations

import errno
import socket
import sys
import time
import typing as t
from pathlib import Path

import pytest
from tests.contracts.datagram import Datagrams
from tests.contracts.engine import EngineContract
from tests.contracts.running import Echo, Recorder, Running, Serve
from tests.contracts.stream import BIG, EngineSuite, StreamContract
from tests.support import receive, receive_all, until

from jackfield import engines, limits
from jackfield.address import Endpoint
from jackfield.kernel.options import backlog_length
from jackfield.kernel.sockets import bind_datagram_all
from jackfield.tools.status import Status


class IterativeSuite(EngineSuite):
    def make(self, options: t.Any, instruments: list[t.Any]) -> t.Any:
        return engines.make("iterative", options, instruments)


NEEDS_COMPANY: t.Any = None


class TestContracts(IterativeSuite, EngineContract, StreamContract):
    # These connect several clients at a time; below is what becomes of the second one.
    test_accept_burst = NEEDS_COMPANY
    test_one_flood_does_not_starve_the_others = NEEDS_COMPANY
    test_at_tick_end_once_after_everything_else = NEEDS_COMPANY
    test_fan_out = NEEDS_COMPANY
    test_fan_out_to_one_that_has_vanished = NEEDS_COMPANY
    test_fan_out_calls_nobody_before_everybody_has_it = NEEDS_COMPANY
    test_a_number_taken_anew_never_gets_its_predecessors_event = NEEDS_COMPANY
    test_accepting_pauses_when_the_system_is_out_of_something = NEEDS_COMPANY
    test_max_connections = NEEDS_COMPANY
    test_max_per_host = NEEDS_COMPANY
    test_an_exception_ends_its_connection_alone = NEEDS_COMPANY

    def test_a_pause_and_a_client_in_the_way_are_two_things(
        self, serve: Serve, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Accepting goes on when both are over: neither undoes the other."""
        monkeypatch.setattr(limits, "ACCEPT_RETRY", 0.03)
        running = serve(Echo)
        served = running.dial()
        served.sendall(b"x")
        assert receive(served, 1) == b"x"
        began = time.monotonic()
        (acceptor,) = running.engine._acceptors
        running.call(acceptor._pause, OSError(errno.EMFILE, "none left"))
        served.close()
        client = running.dial()
        client.sendall(b"y")
        assert receive(client, 1) == b"y"
        assert time.monotonic() - began >= 0.03
        running.call(acceptor._pause, OSError(errno.EMFILE, "none left"))
        waiting = running.dial()
        done = running.call(running.engine.call_later, 0.06, int)
        until(lambda: not done.pending)
        running.settle()
        assert running.engine.statistics().accepted == 2
        client.close()
        waiting.sendall(b"z")
        assert receive(waiting, 1) == b"z"

    def test_stop_flushes_every_outbox(self, serve: Serve) -> None:
        running = serve()
        client, server = running.meet()
        running.call(server.transport.write, bytes(BIG // 4))
        running.engine.stop(20)
        assert len(receive_all(client)) == BIG // 4
        client.close()
        running.join()
        assert server.names()[-2:] == ["closing", "lost"]

    def test_received_before_the_stop_is_still_read(self, serve: Serve) -> None:
        """Of who is served. Who waits was never accepted, and is told so by the kernel."""
        running = serve(Echo)
        client = running.meet()[0]
        with running.held():
            waiting = running.dial()
            client.sendall(b"before the stop")
            waiting.sendall(b"too")
            running.engine.stop(20)
        assert receive_all(client) == b"before the stop"
        client.close()
        running.join()
        with pytest.raises(ConnectionResetError):
            receive_all(waiting)

    def test_a_second_stop_cuts(self, serve: Serve) -> None:
        running = serve()
        _, server = running.meet()
        running.call(server.transport.write, bytes(BIG))
        running.engine.stop(1000)
        server.await_event("closing")
        running.engine.stop(1000)
        running.join()
        assert server.names() == ["made", "pause", "closing", "lost"]

    def test_nothing_is_left_open(self, serve: Serve) -> None:
        running = serve()
        client, server = running.meet()
        waiting = running.dial()
        running.call(server.transport.write, bytes(BIG))
        running.engine.stop(0)
        running.join()
        assert server.transport.get_extra_info("socket").fileno() == -1
        assert _reset(client)
        assert _reset(waiting)


class TestOneAtATime(IterativeSuite):
    def test_the_next_is_served_when_the_first_has_left(self, serve: Serve) -> None:
        running = serve(Echo)
        clients = [running.dial() for _ in range(5)]
        for client in clients:
            client.sendall(b"me")
        for number, client in enumerate(clients):
            assert receive(client, 2) == b"me"
            assert running.engine.statistics().accepted == number + 1
            assert running.engine.statistics().connections == 1
            client.close()
        until(lambda: running.engine.statistics().connections == 0)
        assert running.engine.statistics().refused == 0

    def test_an_exception_ends_its_connection_alone(self, serve: Serve) -> None:
        class Raises(Recorder):
            def data_received(self, data: bytes) -> None:
                raise ZeroDivisionError

        running = serve(Raises)
        for number in range(3):
            client = running.dial()
            server = running.protocol(number)
            client.sendall(b"x")
            assert isinstance(server.await_lost(), ZeroDivisionError)

    def test_not_before_the_first_has_lingered(
        self, serve: Serve, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It holds a descriptor until then."""
        monkeypatch.setattr(limits, "LINGER", 0.05)
        running = serve(Echo)
        first, server = running.meet()
        second = running.dial()
        second.sendall(b"x")
        with running.held():
            running.engine.call_soon(server.transport.close)
            began = time.monotonic()
        server.await_lost()
        assert receive(second, 1) == b"x"
        assert time.monotonic() - began >= 0.05
        assert receive_all(first) == b""

    def test_one_of_two_listeners_and_then_the_other(self, serve: Serve) -> None:
        running = serve(Echo, "tcp://:0")
        if len(running.addresses) < 2:
            pytest.skip("one family alone")
        first, second = running.dial(0), running.dial(1)
        for client in (first, second):
            client.sendall(b"x")
        served, waiting = (first, second) if _answered(first) else (second, first)
        assert receive(served, 1) == b"x"
        assert not _answered(waiting)
        served.close()
        assert receive(waiting, 1) == b"x"

    @pytest.mark.skipif(sys.platform != "linux", reason="Linux tells how long the backlog is")
    @pytest.mark.parametrize("where", ["tcp://127.0.0.1:0", "unix:{}/socket"])
    def test_the_status_shows_who_waits(
        self, where: str, serve: Serve, short_directory: Path
    ) -> None:
        running = serve(Echo, where.format(short_directory))
        running.meet()
        (acceptor,) = running.engine._acceptors
        status = Status("iterative", running.engine, [acceptor.listener])
        expected = "status engine=iterative accepted=1 waiting=%d refused=0 connections=1"
        assert running.call(status.line) == expected % 0
        for _ in range(3):
            running.dial()
        until(lambda: backlog_length(acceptor.listener.sock) == 3)
        assert running.call(status.line) == expected % 3

    def test_datagrams_are_served_meanwhile(self) -> None:
        from tests.contracts.running import Witness

        witness = Witness()
        running = Running(self.make(engines.Options(), [witness]), witness)
        (sock,) = bind_datagram_all(Endpoint.parse("udp://127.0.0.1:0"))
        where = sock.getsockname()
        datagrams = Datagrams()
        running.engine.serve_datagrams(sock, lambda: datagrams)
        running.listen("tcp://127.0.0.1:0", Recorder)
        running.start()
        try:
            running.meet()
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                client.sendto(b"hello", where)
                until(lambda: datagrams.received == [b"hello"])
        finally:
            running.close()


def _answered(client: socket.socket) -> bool:
    client.settimeout(0.1)
    try:
        return bool(client.recv(1, socket.MSG_PEEK))
    except TimeoutError:
        return False
    finally:
        client.settimeout(20)


def _reset(client: socket.socket) -> bool:
    try:
        while client.recv(1 << 20):
            pass
    except ConnectionResetError:
        pass
    return True
