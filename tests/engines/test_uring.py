"""The engine on io_uring: the contracts of engines and of its transports, and what is its own.

A ring has only so many buffers, and keeps its hand on sockets and memory until it is done."""

from __future__ import annotations

import contextlib
import os
import resource
import select
import socket
import sys
import threading
import typing as t
from collections.abc import Iterator

import pytest
from tests.contracts.datagram import DatagramContract
from tests.contracts.engine import EngineContract
from tests.contracts.running import Echo, Recorder, Running, Serve
from tests.contracts.stream import BIG, EngineSuite, StreamContract
from tests.contracts.unix import UnixContract
from tests.support import PATIENCE, fill, receive, receive_all, until

from jackfield import engines, limits
from jackfield.kernel import io_uring

WHY = io_uring.missing()
pytestmark = pytest.mark.skipif(WHY is not None, reason=str(WHY))


@contextlib.contextmanager
def no_descriptors() -> Iterator[None]:
    """While the block runs this process gets no new ones."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = [os.dup(0)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (taken[0] + 20, hard))
    try:
        with contextlib.suppress(OSError):
            while True:
                taken.append(os.dup(0))
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for fd in taken:
            os.close(fd)


class Uring(EngineSuite):
    def make(self, options: t.Any, instruments: list[t.Any]) -> t.Any:
        return engines.make("uring", options, instruments)


class OlderKernel(EngineSuite):
    """Without what Linux 6.12 and 6.17 brought: shared buffers and limited receives."""

    def make(self, options: t.Any, instruments: list[t.Any]) -> t.Any:
        from jackfield._native.uring import Ring
        from jackfield.engines.uring import UringReactor

        return UringReactor(options, instruments, ring=Ring(shared=False, limited=False))


class TestUring(Uring, EngineContract, StreamContract, DatagramContract, UnixContract):
    pass


class TestOnAnOlderKernel(OlderKernel, StreamContract):
    pass


class RingSuite(EngineSuite):
    """What is the ring's own."""

    def test_more_arrives_than_there_are_buffers(self, serve: Serve) -> None:
        """Receiving ends for those who find none, and goes on when there are some again."""
        running = serve(backlog=200)
        pairs = [running.meet() for _ in range(150)]
        sent = []
        with running.held():
            for number, (client, _) in enumerate(pairs):
                client.setblocking(False)
                sent.append(bytes([number]) * client.send(bytes([number]) * 65536))
        for expected, (_, server) in zip(sent, pairs, strict=True):
            until(lambda server=server, expected=expected: len(server.data) >= len(expected))  # type: ignore[misc]
            assert server.data == expected

    def test_who_pauses_keeps_no_buffer(self, serve: Serve) -> None:
        """However many have paused with something received, the others are served."""
        paused = threading.Event()

        class Pauses(Recorder):
            def data_received(self, data: bytes) -> None:
                super().data_received(data)
                if data.startswith(b"pause"):
                    self.transport.pause_reading()

        running = serve(Pauses, backlog=200)
        pairs = [running.meet() for _ in range(100)]
        with running.held():
            for client, _ in pairs[1:]:
                client.setblocking(False)
                client.send(b"pause" + bytes(200_000))
        for _, server in pairs[1:]:
            server.await_event("data")
        running.settle()
        assert not paused.is_set()
        pairs[0][0].sendall(b"served")
        until(lambda: pairs[0][1].data == b"served")
        for client, server in pairs[1:10]:
            before = len(server.data)
            running.call(server.transport.resume_reading)
            until(lambda server=server, before=before: len(server.data) > before)  # type: ignore[misc]
            client.close()

    def test_resumed_before_the_pause_has_reached_the_kernel(self, serve: Serve) -> None:
        running = serve()
        client, server = running.meet()

        def act() -> None:
            for _ in range(50):
                server.transport.pause_reading()
                server.transport.resume_reading()

        for number in range(20):
            running.call(act)
            client.sendall(b"%02d" % number)
        expected = b"".join(b"%02d" % number for number in range(20))
        until(lambda: server.data == expected)

    def test_in_order_however_it_is_written(self, serve: Serve) -> None:
        """Small ones are gathered, large ones go at once, some wait behind what is under way."""
        running = serve(Recorder)
        client, server = running.meet(receive_buffer=4096)
        sizes = [1, 10, 70_000, 5, 200_000, 3, 3, 0, 64 * 1024, 1] * 20
        expected = b"".join(bytes([n % 251]) * size for n, size in enumerate(sizes))

        def write(first: int) -> None:
            for n in range(first, min(first + 7, len(sizes))):
                data = bytes([n % 251]) * sizes[n]
                if n % 3:
                    server.transport.write(data)
                else:
                    running.engine.fan_out(data, [server.transport])

        for first in range(0, len(sizes), 7):
            running.engine.call_soon(write, first)
        assert receive(client, len(expected)) == expected

    def test_what_is_under_way_is_kept_and_let_go(self, serve: Serve) -> None:
        """By reference while the kernel reads it, also when the connection is gone by then."""
        running = serve()
        _, server = running.meet()
        data = bytes(limits.HIGH_WATER // 2)
        idle = sys.getrefcount(data)

        def act() -> None:
            fill(server.transport.get_extra_info("socket"))
            server.transport.write(data)

        running.call(act)
        running.settle()
        assert sys.getrefcount(data) > idle
        running.call(server.transport.abort)
        server.await_lost()
        until(lambda: sys.getrefcount(data) == idle)
        until(lambda: running.engine.ring.under_way == 2)  # the listener and the wakeup

    def test_an_abort_is_seen_at_once(self, serve: Serve) -> None:
        """While a receive and a send are under way the ring has the socket open, too."""
        running = serve()
        client, server = running.meet()
        running.call(server.transport.write, bytes(BIG))
        running.settle()
        running.call(server.transport.abort)
        received = receive_all(client)
        assert len(received) < BIG

    def test_nothing_to_send(self, serve: Serve) -> None:
        running = serve()
        client, server = running.meet()

        def act() -> None:
            assert running.engine.fan_out(b"", [server.transport]) == []
            server.transport.write(b"")
            assert server.transport.deliver(b"") is False
            server.transport.write(b"something")

        running.call(act)
        assert receive(client, 9) == b"something"

    def test_asked_for_something_when_all_is_over(self, serve: Serve) -> None:
        """By whoever still has a transport; also of one that lingered, with something unread."""
        running = serve()
        pairs = [running.meet() for _ in range(2)]
        running.call(pairs[0][1].transport.close)
        pairs[0][1].await_lost()
        pairs[0][0].sendall(b"unread")
        running.engine.stop(0)
        running.join()
        for _, server in pairs:
            transport = server.transport
            for act in ("pause_reading", "resume_reading", "write_eof", "close", "abort"):
                getattr(transport, act)()
            transport.write(b"x")
            assert running.engine.fan_out(b"x", [transport]) == []
        running.engine.close()

    def test_many_members_in_one_fan_out(self, serve: Serve) -> None:
        """More than the ring has entries."""
        running = serve(backlog=64)
        ours = []
        transports = []
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        count = min(1100, (hard if soft == resource.RLIM_INFINITY else soft) // 2 - 50)
        for _ in range(count):
            client, server = running.meet()
            ours.append(client)
            transports.append(server.transport)
        assert running.call(running.engine.fan_out, b"to all", transports) == []
        assert all(receive(client, 6) == b"to all" for client in ours)

    def test_out_of_descriptors(self, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
        """The kernel itself says so: accepting pauses, and those who wait are served afterwards."""
        monkeypatch.setattr(limits, "ACCEPT_RETRY", 0.03)
        running = serve(Echo)
        clients = [socket.socket() for _ in range(4)]
        with no_descriptors():
            # The limit counts that was in force when accepting was asked for.
            (acceptor,) = running.engine._acceptors
            running.call(acceptor.hold_back, True)
            running.call(acceptor.hold_back, False)
            for client in clients:
                running.adopt(client)
                client.settimeout(PATIENCE)
                client.connect(running.addresses[0].sockaddr)
            until(lambda: running.engine.statistics().accept_failures >= 2)
        for client in clients:
            client.sendall(b"x")
            assert receive(client, 1) == b"x"

    def test_a_forked_process_lets_the_ring_alone(self, serve: Serve) -> None:
        """It abandons the engine, as a worker does its parent's; the parent goes on."""
        running = serve(Echo)
        client, _ = running.meet()
        client.sendall(b"before")
        assert receive(client, 6) == b"before"

        def bear() -> int:
            child = os.fork()
            if not child:
                try:
                    running.engine.abandon()
                finally:
                    os._exit(0)
            return child

        child = running.call(bear)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        client.sendall(b"after")
        assert receive(client, 5) == b"after"
        other, _ = running.meet()
        other.sendall(b"anew")
        assert receive(other, 4) == b"anew"

    def test_the_end_is_seen_by_who_was_connected(self) -> None:
        """When the engine is closed with receives under way nothing keeps the sockets open."""
        from tests.contracts.running import Witness

        from jackfield.engines import Options

        witness = Witness()
        running = Running(self.make(Options(), [witness]), witness)
        running.listen("tcp://127.0.0.1:0", Recorder)
        running.start()
        client, _ = running.meet()
        running.engine.stop(0)
        running.join()
        assert select.select([client], [], [], PATIENCE)[0]
        with pytest.raises(ConnectionRefusedError):
            running.dial()
        running.close()


class TestRing(Uring, RingSuite):
    pass


class TestRingOnAnOlderKernel(OlderKernel, RingSuite):
    pass
