"""Unix streams under a running engine: who is there, and who may come in."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pytest
from tests.contracts.running import Echo, Serve
from tests.contracts.stream import EngineSuite
from tests.support import receive, receive_all, until

SOMEBODY = 54321
"""A user that is nobody here."""


@pytest.mark.skipif(sys.platform != "linux", reason="other systems tell less")
class UnixContract(EngineSuite):
    """Subclass it with ``make``."""

    def test_peer_credentials(self, serve: Serve, short_directory: Path) -> None:
        running = serve(Echo, f"unix:{short_directory}/s")
        _, protocol = running.meet()
        credentials = protocol.transport.get_extra_info("peercred")
        assert credentials == (os.getpid(), os.geteuid(), os.getegid())
        assert (credentials.pid, credentials.uid, credentials.gid) == credentials

    def test_no_credentials_over_tcp(self, serve: Serve) -> None:
        _, protocol = serve().meet()
        assert protocol.transport.get_extra_info("peercred") is None
        assert protocol.transport.get_extra_info("peercred", "nobody") == "nobody"

    def test_a_user_of_the_list(self, serve: Serve, short_directory: Path) -> None:
        running = serve(Echo, f"unix:{short_directory}/s?uid={SOMEBODY},{os.geteuid()}")
        client = running.dial()
        client.sendall(b"hello")
        assert receive(client, 5) == b"hello"
        assert running.witness.refusals == []

    def test_a_user_who_is_not_of_the_list(self, serve: Serve, short_directory: Path) -> None:
        running = serve(Echo, f"unix:{short_directory}/s?uid={SOMEBODY}")
        for number in range(1, 4):
            client = running.dial()
            assert receive_all(client) == b""
            until(lambda wanted=number: len(running.witness.refusals) == wanted)  # type: ignore[misc]
        assert set(running.witness.refusals) == {("unix", "uid")}
        assert running.protocols == []  # nothing of ours met them
        statistics = running.engine.statistics()
        assert (statistics.accepted, statistics.refused, statistics.connections) == (0, 3, 0)

    def test_abstract_names(self, serve: Serve) -> None:
        name = f"@jackfield-contract-{os.getpid()}"
        running = serve(Echo, f"unix:{name}?uid={os.geteuid()}")
        client = running.dial()
        client.sendall(b"hello")
        client.shutdown(socket.SHUT_WR)
        assert receive_all(client) == b"hello"
        assert str(running.addresses[0]) == f"unix:{name}"
