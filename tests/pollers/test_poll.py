"""poll against the contract, and what is its own."""

from __future__ import annotations

import os
import select
import socket

import pytest
from tests.contracts.poller import PollerContract

from jackfield import pollers
from jackfield.pollers.base import ERROR, READ, WRITE, Poller

pytestmark = pytest.mark.skipif(
    pollers.missing("poll") is not None, reason=str(pollers.missing("poll"))
)


class TestPoll(PollerContract):
    def make(self) -> Poller:
        return pollers.make("poll")

    def test_flags_are_those_of_the_contract(self) -> None:
        assert (select.POLLIN, select.POLLOUT, select.POLLERR) == (READ, WRITE, ERROR)

    def test_a_descriptor_closed_too_early_is_an_error_of_its_own(self, poller: Poller) -> None:
        """POLLNVAL: the others go on."""
        left, right = socket.socketpair()
        gone = os.dup(left.fileno())
        with left, right:
            poller.register(gone, READ)
            poller.register(left.fileno(), WRITE)
            os.close(gone)
            assert dict(poller.poll(0)) == {gone: ERROR, left.fileno(): WRITE}
            poller.unregister(gone)
            assert dict(poller.poll(0)) == {left.fileno(): WRITE}
