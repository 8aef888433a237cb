"""select against the contract, and the bound that is its own."""

from __future__ import annotations

import fcntl
import os
import socket

import pytest
from tests.contracts.poller import PollerContract
from tests.support import require_descriptors

from jackfield import pollers
from jackfield.errors import DescriptorTooLarge, UsageError
from jackfield.pollers.base import READ, WRITE, Poller
from jackfield.pollers.select import FD_SETSIZE


class TestSelect(PollerContract):
    def make(self) -> Poller:
        return pollers.make("select")

    def test_beyond_fd_setsize_is_refused_clearly(self, poller: Poller) -> None:
        require_descriptors(FD_SETSIZE)
        left, right = socket.socketpair()
        high = fcntl.fcntl(left.fileno(), fcntl.F_DUPFD_CLOEXEC, FD_SETSIZE)
        with left, right:
            poller.register(left.fileno(), WRITE)
            with pytest.raises(DescriptorTooLarge, match=rf"^descriptor {high} is beyond") as info:
                poller.register(high, READ)
            assert isinstance(info.value, UsageError)
            assert "--engine poll or epoll" in str(info.value)
            assert dict(poller.poll(0)) == {left.fileno(): WRITE}  # the others are served
            with pytest.raises(KeyError):
                poller.unregister(high)
            os.close(high)

    def test_the_last_number_that_fits(self, poller: Poller) -> None:
        require_descriptors(FD_SETSIZE)
        left, right = socket.socketpair()
        with left, right:
            high = fcntl.fcntl(left.fileno(), fcntl.F_DUPFD_CLOEXEC, FD_SETSIZE - 1)
            try:
                if high != FD_SETSIZE - 1:
                    pytest.skip(f"descriptor {FD_SETSIZE - 1} is in use")
                poller.register(high, READ | WRITE)
                right.send(b"x")
                assert dict(poller.poll(0)) == {high: READ | WRITE}
                poller.unregister(high)
            finally:
                os.close(high)
