"""What every engine promises a connection, as far as it shows from outside: through real sockets,
to a server in a process of its own.

The contracts beside this one look into the engine, so they can hold it between two ticks and
count; this one runs wherever a server runs, where its connections are served by threads, by
children or by workers too. A subclass says in ``way`` how that is. Where one of them differs from
the others it is said here, at the test, or where its subclass leaves a test out.
"""

from __future__ import annotations

import contextlib
import hashlib
import socket
import struct
import tempfile
import threading
import typing as t
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.contracts.plays import BIG, BLOCK, noise
from tests.contracts.probing import Client, Probed, Way
from tests.support import fill, reset, until

from jackfield import limits


class BlackBox:
    """What the suites share: one server for all tests of a class."""

    way: Way
    protocol: t.ClassVar[str] = "Chooser"
    options: t.ClassVar[t.Any] = {"tls": True}

    @classmethod
    @contextlib.contextmanager
    def serving(cls, **options: t.Any) -> Iterator[Probed]:
        """A server of this way."""
        with (
            tempfile.TemporaryDirectory(prefix="jf") as where,
            Probed(cls.way, Path(where), cls.protocol, **options) as server,
        ):
            yield server

    @pytest.fixture(scope="class")
    @classmethod
    def server(cls) -> Iterator[Probed]:
        with cls.serving(**cls.options) as server:
            yield server

    @pytest.fixture
    def probed(self, server: Probed) -> Iterator[Probed]:
        """The server of the class; every connection of the test has ended after it, once."""
        first = len(server.reports)
        yield server
        server.close_clients()
        server.read()
        came = {report.whose for report in server.reports[first:] if report.name == "made"}
        for whose in came:
            server.await_report(whose, "lost")
            names = server.names(whose)  # of many clients two may have had one port in turn
            assert names.count("lost") == names.count("made")
        del server.reports[first:]  # the kernel may give a client its port again

    @pytest.fixture(params=["tcp", "unix", "tls"])
    def kind(self, request: pytest.FixtureRequest) -> str:
        """Every kind of stream; ``anywhere`` in a test's name says that it runs on each."""
        return str(request.param)


class ConnectionContract(BlackBox):
    """Subclass it with ``way``."""

    # --- there and back ----------------------------------------------------------------------

    def test_all_arrives_in_order_however_it_is_cut_anywhere(
        self, probed: Probed, kind: str
    ) -> None:
        data = noise(300_000)
        client = probed.play("Digest", len(data), kind=kind)
        start = 0
        for size in (1, 2, 3, 5, 1000, 1, 65535, 65536, 65537, len(data)):
            client.send(data[start : start + size])
            start += size
        expected = f"{len(data)} {hashlib.sha256(data).hexdigest()}"
        assert client.receive_all() == expected.encode()
        assert client.lost() is None

    def test_the_choice_may_come_a_byte_at_a_time(self, probed: Probed) -> None:
        client = probed.dial()
        for byte in b"Echo\nhello":
            client.send(bytes([byte]))
        assert client.receive(5) == b"hello"
        client.half_close()
        assert client.receive_all() == b""
        assert client.lost() is None

    def test_a_large_echo_through_backpressure_anywhere(self, probed: Probed, kind: str) -> None:
        """The client sends everything before it reads anything: the outbox passes its mark, and
        reading stops until it has drained."""
        data = noise(BIG)
        client = probed.play("Echo", kind=kind)
        sender = threading.Thread(target=client.send, args=(data,))
        sender.start()
        if kind != "tls":  # there what is encrypted ahead may be full first, and stop reading
            client.report("pause")
        assert client.receive(len(data)) == data
        sender.join()
        client.half_close()
        assert client.receive_all() == b""
        assert client.lost() is None
        assert client.report("most") <= limits.HIGH_WATER + limits.RECEIVE_SIZE
        changes = [name for name in client.names() if name in ("pause", "resume")]
        assert changes == ["pause", "resume"] * (len(changes) // 2)

    def test_nobody_waits_for_who_does_not_read(self, probed: Probed) -> None:
        """Where one client is served at a time, everybody does."""
        first = probed.play("Write", BIG)
        first.report("pause")
        second = probed.play("Echo")
        second.send(b"hello")
        if not self.way.many:
            assert first.receive(BIG + 3) == noise(BIG) + b"end"
            assert second.names() == []
            first.close()
        assert second.receive(5) == b"hello"

    # --- who reads slowly --------------------------------------------------------------------

    def test_one_large_write_to_a_slow_reader_anywhere(self, probed: Probed, kind: str) -> None:
        client = probed.play("Write", BIG, kind=kind)
        client.report("pause")
        client.send(b"not read before the reply is")
        assert client.receive(BIG // 2) == noise(BIG)[: BIG // 2]
        assert client.receive(BIG // 2 + 3) == noise(BIG)[BIG // 2 :] + b"end"
        client.report("data")
        assert client.names() == ["made", "pause", "resume", "data"]

    def test_who_heeds_the_pause_holds_little_anywhere(self, probed: Probed, kind: str) -> None:
        client = probed.play("Produce", BIG, kind=kind)
        client.report("pause")
        assert client.receive_all() == noise(BIG)
        assert client.report("most") <= limits.HIGH_WATER + BLOCK
        assert client.lost() is None

    def test_pausing_in_data_received_takes_effect_at_once(self, probed: Probed) -> None:
        client = probed.play("Pause", "go-on")
        client.sock.setblocking(False)
        assert fill(client.sock) > limits.RECEIVE_SIZE
        client.report("data")
        probed.raise_flag("go-on")
        client.report("data", 2)
        probed.lower_flag("go-on")
        names = [name for name in client.names() if name in ("data", "resumed")]
        assert names[:3] == ["data", "resumed", "data"]

    # --- half-close --------------------------------------------------------------------------

    def test_a_half_closed_client_gets_its_answer_anywhere(self, probed: Probed, kind: str) -> None:
        client = probed.play("Answer", kind=kind)
        client.send(b"question")
        client.half_close()
        assert client.receive_all() == b"late answer"
        assert client.lost() is None
        assert client.names() == ["made", "data", "eof", "lost"]

    def test_all_replies_arrive_after_a_half_close_anywhere(
        self, probed: Probed, kind: str
    ) -> None:
        data = noise(1 << 18)
        client = probed.play("Echo", kind=kind)

        def send_and_half_close() -> None:
            client.send(data)
            client.half_close()

        sender = threading.Thread(target=send_and_half_close)
        sender.start()
        assert client.receive_all() == data
        sender.join()
        assert client.lost() is None

    @pytest.mark.parametrize("kind", ["tcp", "unix"])  # TLS: close_notify ends both ways
    def test_the_server_half_closes_and_reads_on(self, probed: Probed, kind: str) -> None:
        client = probed.play("WriteEof", kind=kind)
        assert client.receive_all() == b"all I have"
        client.send(b"still here")
        assert client.report("data") == "still here"
        assert "after write_eof" in client.report("refused")
        client.close()
        assert client.lost() is None

    # --- close and abort ---------------------------------------------------------------------

    @pytest.mark.parametrize("size", [4, BIG])
    def test_close_flushes_then_closes_anywhere(self, probed: Probed, kind: str, size: int) -> None:
        client = probed.play("Close", size, kind=kind)
        assert client.report("is_closing") is True
        assert client.receive_all() == noise(size)
        assert client.lost() is None

    @pytest.mark.parametrize("kind", ["tcp", "unix"])
    def test_unread_input_does_not_destroy_the_last_bytes(self, probed: Probed, kind: str) -> None:
        """A socket closed with unread input resets the connection, and the reset overtakes what
        the peer has not read yet. So the server lingers."""
        client = probed.play("Linger", "say-goodbye", kind=kind)
        client.report("ready")
        client.sock.setblocking(False)
        assert fill(client.sock)
        client.sock.settimeout(20)
        probed.raise_flag("say-goodbye")
        assert client.lost() is None
        probed.lower_flag("say-goodbye")
        client.send(b"still talking")
        assert client.receive_all() == b"goodbye"
        assert "data" not in client.names()

    def test_abort_anywhere(self, probed: Probed, kind: str) -> None:
        client = probed.play("Abort", kind=kind)
        assert client.lost() is None
        assert client.read_to_its_end() < BIG

    # --- peers that vanish -------------------------------------------------------------------

    def test_reset_by_the_peer(self, probed: Probed) -> None:
        client = probed.play("Sink")
        client.send(b"x")
        client.report("data")
        reset(client.sock)
        assert client.lost() == "ConnectionResetError"

    def test_reset_while_much_waits(self, probed: Probed) -> None:
        client = probed.play("Write", BIG)
        client.report("pause")
        reset(client.sock)
        assert client.lost() in ("ConnectionResetError", "BrokenPipeError")

    @pytest.mark.parametrize("kind", ["tcp", "unix"])
    def test_what_was_sent_before_the_peer_vanished_is_delivered(
        self, probed: Probed, kind: str
    ) -> None:
        """Our writes meet EPIPE while its last words wait unread."""
        client = probed.play("Hold", "it-is-gone", kind=kind)
        client.report("held")
        client.sock.setblocking(False)
        sent = client.sock.send(b"last words " * 9000)
        client.close()
        probed.raise_flag("it-is-gone")
        assert client.lost() in ("ConnectionResetError", "BrokenPipeError")
        probed.lower_flag("it-is-gone")
        assert sum(report.detail for report in probed.found(client.whose, "data")) == sent

    def test_many_come_and_go_and_no_descriptor_stays(self, probed: Probed) -> None:
        """Every way to leave, many times."""
        if self.way.workers:
            self._visit_every_process(probed)
        else:
            assert probed.dial().asks_pid()
        probed.close_clients()
        before = probed.open_descriptors()
        clients = []
        for number in range(45):
            client = probed.dial(source=f"127.0.2.{number + 1}")  # two never have one address
            clients.append(client)
            client.choose("Echo")
            client.send(b"x" * number)
            if number % 3 == 0:
                linger = struct.pack("ii", 1, 0)
                client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            elif number % 3 == 1:
                client.half_close()
                assert client.receive_all() == b"x" * number
            client.close()
        for client in clients:
            client.lost()
        until(lambda: probed.open_descriptors() <= before)

    def _visit_every_process(self, probed: Probed) -> None:
        seen: set[int] = set()

        def visit() -> bool:
            client = probed.dial()
            assert client.asks_pid()
            seen.add(client.pid)
            client.close()
            return len(seen) == self.way.workers

        until(visit)

    # --- exceptions --------------------------------------------------------------------------

    @pytest.mark.parametrize("when", ["made", "data", "eof", "pause", "resume", "lost", "closing"])
    def test_an_exception_ends_its_connection_alone(self, probed: Probed, when: str) -> None:
        neighbour = probed.served() if self.way.many else None
        before = len(probed.log())
        client = self._provoke(probed, when)
        assert client.lost() == (None if when == "lost" else "ZeroDivisionError")
        client.close()
        address = client.whose.strip("()").replace("'", "").replace(", ", ":")
        until(lambda: "ZeroDivisionError: " in probed.log()[before:])
        said = probed.log()[before:]
        assert said.count("ERROR ") == said.count("Traceback ") == 1
        assert f"peer={address}\n" in said
        if neighbour:
            neighbour.choose("Echo")
            neighbour.send(b"served on")
            assert neighbour.receive(9) == b"served on"
        assert probed.dial().asks_pid()

    def _provoke(self, probed: Probed, when: str) -> Client:
        if when == "made":
            probed.raise_flag("made-fails")
            client = probed.dial()
            assert client.read_to_its_end() == 0
            probed.lower_flag("made-fails")
            return client
        client = probed.play("Raise", when)
        if when in ("pause", "resume"):  # only who does not read meanwhile lets something wait
            client.report("pause")
        if when == "data":
            client.send(b"x")
        if when in ("eof", "lost"):
            client.half_close()
        client.read_to_its_end()
        return client

    def test_an_exception_in_the_factory_costs_one_connection(self, probed: Probed) -> None:
        probed.raise_flag("the-factory-fails")
        client = probed.dial()
        assert client.read_to_its_end() == 0
        client.close()
        probed.lower_flag("the-factory-fails")
        assert probed.dial().asks_pid()
        assert "exception in the protocol factory" in probed.log()
        assert client.names() == []
