"""epoll against the contract, and what is its own."""

from __future__ import annotations

import os
import socket

import pytest
from tests.contracts.poller import PollerContract
from tests.support import reset

from jackfield import pollers
from jackfield.pollers.base import ERROR, HANGUP, READ, WRITE, Poller

pytestmark = pytest.mark.skipif(
    pollers.missing("epoll") is not None, reason=str(pollers.missing("epoll"))
)


class TestEpoll(PollerContract):
    def make(self) -> Poller:
        return pollers.make("epoll")

    def test_what_cannot_be_watched_is_refused(self, poller: Poller) -> None:
        with open(__file__, "rb") as file, pytest.raises(PermissionError):
            poller.register(file.fileno(), READ)

    def test_error_and_hangup_are_the_kernels_own(self, poller: Poller) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            client = socket.create_connection(listener.getsockname())
            server, _ = listener.accept()
        with server:
            poller.register(server.fileno(), READ | WRITE)
            assert dict(poller.poll(5)) == {server.fileno(): WRITE}
            reset(client)
            poller.modify(server.fileno(), READ)
            assert dict(poller.poll(5)) == {server.fileno(): READ | ERROR | HANGUP}
            poller.unregister(server.fileno())

    def test_use_after_close(self, poller: Poller) -> None:
        poller.close()
        with pytest.raises(ValueError, match="closed"):
            poller.poll(0)

    def test_its_descriptor_is_not_inherited(self) -> None:
        free = os.open(os.devnull, os.O_RDONLY)
        os.close(free)
        poller = pollers.make("epoll")
        assert not os.get_inheritable(free)
        poller.close()
