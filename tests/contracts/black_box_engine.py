"""What every engine promises all its connections together, as far as it shows from outside: its
loop, rooms, limits, deadlines, and how it stops. See ``black_box``."""

from __future__ import annotations

import contextlib
import itertools
import time
import typing as t
from collections.abc import Callable, Iterator

import pytest
from tests.contracts.black_box import BlackBox
from tests.contracts.plays import BIG, noise
from tests.contracts.probing import Client, Probed
from tests.support import until

MOST, PER_HOST, HELD = 3, 2, 256 * 1024
"""Connections in all, connections of a host, bytes that may wait for one."""

LOGIN, IDLE = 0.08, 0.12
"""Seconds: long enough for a line to be read in time, short enough to be waited for."""


class LoopContract(BlackBox):
    """Subclass it with ``way``."""

    def test_calls_soon_later_and_at_the_end_of_the_tick(self, probed: Probed) -> None:
        client = probed.play("Plan")
        order = client.receive(len("callback soon end a a2 b c")).decode().split()
        if self.way.one_thread:
            assert order == ["callback", "soon", "end", "a", "a2", "b", "c"]
        else:  # a thread's call_soon is its own turn, the tick that of the engine's thread
            assert order[0] == "callback"
            assert [name for name in order if name in ("a", "a2", "b", "c")] == order[-4:]
            assert set(order[1:-4]) == {"soon", "end"}

    def test_a_failing_call_does_not_end_the_others(self, probed: Probed) -> None:
        before = len(probed.log())
        client = probed.play("FailingPlan")
        assert client.receive(9) == b"served on"
        said = probed.log()[before:]
        assert said.count("ZeroDivisionError: planned") == said.count("ERROR ") == 3
        client.close()
        assert client.lost() is None

    def test_what_is_written_and_published_keeps_its_order(self, probed: Probed) -> None:
        """In one process. Where the order of a room is made in another one, each of the two keeps
        its own: what was published comes back behind what was written meanwhile."""
        read = probed.play("Mix").receive(4).decode()
        if self.way.several_processes:
            assert [[n for n in read if n in one] for one in ("13", "24")] == [
                ["1", "3"],
                ["2", "4"],
            ]
        else:
            assert read == "1234"

    def test_all_members_read_one_order_and_each_sender_s_is_kept(self, probed: Probed) -> None:
        members = [probed.play("Member") for _ in range(6 if self.way.many else 1)]
        for member in members:
            assert member.receive(4) == b"in\r\n"
        rounds = range(20)
        for number, (index, member) in itertools.product(rounds, enumerate(members)):
            member.send(b"%d says %02d\n" % (index, number))
        size = len(rounds) * len(members) * len("1 says 01\r\n")
        heard = [member.receive(size).decode().splitlines() for member in members]
        assert all(lines == heard[0] for lines in heard)
        for index in range(len(members)):
            said = [line for line in heard[0] if line.startswith(f"{index} ")]
            assert said == [f"{index} says {number:02}" for number in rounds]


class LimitContract(BlackBox):
    """Subclass it with ``way``. A limit is the server's, however many processes it has."""

    options: t.ClassVar[t.Any] = {
        "max_connections": MOST,
        "max_per_host": PER_HOST,
        "max_held": HELD,
    }

    def test_max_per_host(self, probed: Probed) -> None:
        self._fill(probed, PER_HOST, lambda number: "127.0.0.1")
        assert probed.served("127.0.0.2")
        until(lambda: "reason=max-per-host" in probed.log())
        probed.close_clients()
        until(probed.served)

    def test_max_connections(self, probed: Probed) -> None:
        self._fill(probed, MOST, lambda number: f"127.0.1.{number + 1}")
        until(lambda: "reason=max-connections" in probed.log())
        probed.close_clients()
        until(probed.served)

    def _fill(self, probed: Probed, limit: int, source: Callable[[int], str]) -> None:
        """As many as the limit are served, and one more is not. A client of before counts until
        its descriptor is gone, so the first try may find less room."""

        def is_full() -> bool:
            probed.close_clients()
            served = [bool(probed.served(source(number))) for number in range(limit + 1)]
            assert sum(served) <= limit
            return served == [True] * limit + [False]

        until(is_full)

    def test_who_makes_too_much_wait_is_closed(self, probed: Probed) -> None:
        probed.close_clients()
        until(probed.served)
        probed.close_clients()
        until(lambda: self._is_cut_short(probed))

    def _is_cut_short(self, probed: Probed) -> bool:
        client = probed.served()
        if client is None:  # of the test before one has not gone yet
            return False
        client.choose("Pour", 4 * BIG)
        assert client.report("closing") == "LagError"
        assert 0 < client.read_to_its_end() < 4 * BIG
        assert client.lost() == "LagError"
        return True


class RateContract(BlackBox):
    """Subclass it with ``way``."""

    options: t.ClassVar[t.Any] = {"max_per_second": 0.01}  # so that none is regained meanwhile

    def test_max_per_second(self, probed: Probed) -> None:
        client = probed.served()
        assert client
        client.close()
        client.lost()
        assert not any(probed.served() for _ in range(3))
        until(lambda: "reason=max-per-second" in probed.log())


class DeadlineContract(BlackBox):
    """Subclass it with ``way``."""

    protocol = "Lines"
    options: t.ClassVar[t.Any] = {"login_timeout": LOGIN, "idle_timeout": IDLE}

    def test_single_bytes_extend_no_login_deadline(self, probed: Probed) -> None:
        began = time.monotonic()
        client = probed.dial()
        self._trickle(client)
        assert time.monotonic() - began > LOGIN * 0.9
        assert client.report("lost") == ["DeadlineError", "login-timeout"]

    def test_single_bytes_extend_no_idle_deadline(self, probed: Probed) -> None:
        client, began = self._answered(probed)
        self._trickle(client)
        assert time.monotonic() - began > IDLE * 0.9
        assert client.report("lost") == ["DeadlineError", "idle-timeout"]

    def _answered(self, probed: Probed) -> tuple[Client, float]:
        """A client, and when it sent its line; another one if this machine stood still for longer
        than the deadline."""
        for _ in range(50):
            client = probed.dial()
            sent = time.monotonic()
            with contextlib.suppress(ConnectionError):
                client.send(b"hello\n")
                if client.receive(7) == b"hello\r\n":
                    return client, sent
            client.close()
        pytest.fail("never answered within the deadline")

    def _trickle(self, client: Client) -> None:
        """Single bytes, until it is closed."""

        def is_lost() -> bool:
            with contextlib.suppress(ConnectionError):
                client.send(b"x")
            return "lost" in client.names()

        until(is_lost)


class StopContract(BlackBox):
    """Subclass it with ``way``. Each test has a server of its own, which it ends."""

    @contextlib.contextmanager
    def stopping(self, drain: float, play: str) -> Iterator[tuple[Probed, list[Client]]]:
        """A server that was told to stop, and clients that have not read their reply."""
        with self.serving(drain=drain) as server:
            clients = [server.play(play, BIG) for _ in range(3 if self.way.many else 1)]
            for client in clients:
                client.report("pause")
            server.signal()
            for client in clients:
                assert client.report("closing") == "ServerStopping"
            yield server, clients

    def test_sigterm_flushes_and_says_goodbye(self) -> None:
        with self.stopping(60, "Polite") as (server, clients):
            until(server.refuses)
            for client in clients:
                assert client.receive_all() == noise(BIG) + b"endthe server is shutting down"
                client.close()
                assert client.lost() is None
                assert client.names() == ["made", "pause", "closing", "lost"]
            assert server.ended() == 0
            assert not (server.where / "socket").exists()

    def test_a_second_signal_cuts(self) -> None:
        with self.stopping(3600, "Write") as (server, clients):
            until(server.refuses)
            assert server.process.poll() is None
            server.signal()
            assert server.ended() == 0
            if not self.way.several_processes:  # those are killed, and tell their protocols nothing
                for client in clients:
                    client.lost()

    def test_the_drain_ends(self) -> None:
        with self.stopping(0.05, "Write") as (server, clients):
            assert server.ended() == 0
            for client in clients:
                client.lost()
                assert client.names() == ["made", "pause", "closing", "lost"]

    def test_who_is_not_served_yet_is_answered_or_refused(self) -> None:
        """Nobody is left waiting for a server that has gone."""
        with self.serving() as server:
            server.dial().asks_pid()
            clients = [server.play("Write", 4) for _ in range(3)]
            server.signal()
            said = []
            for client in clients:
                with contextlib.suppress(ConnectionResetError):
                    said.append(client.receive_all())
            assert set(said) <= {noise(4) + b"end", b""}
            server.close_clients()
            assert server.ended() == 0
