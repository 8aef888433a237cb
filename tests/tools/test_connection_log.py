"""The log of connections, with time handed in."""

from __future__ import annotations

import errno
import logging
import os

import pytest

from jackfield.errors import LagError
from jackfield.tools.connection_log import ConnectionLog


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


class Connection:
    fd = 5
    peer = "127.0.0.1:63062"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def log(clock: Clock, caplog: pytest.LogCaptureFixture) -> ConnectionLog:
    caplog.set_level(logging.INFO, "jackfield")
    return ConnectionLog(clock)


def test_who_comes_and_goes(log: ConnectionLog, caplog: pytest.LogCaptureFixture) -> None:
    log.connected(Connection())
    log.disconnected(Connection(), None, "eof")
    log.disconnected(Connection(), LagError("5 bytes behind"), "lag")
    assert caplog.messages == [
        "connected fd=5 peer=127.0.0.1:63062",
        "disconnected fd=5 peer=127.0.0.1:63062 reason=eof",
        "disconnected fd=5 peer=127.0.0.1:63062 reason=lag",
    ]
    assert {record.levelno for record in caplog.records} == {logging.INFO}
    assert {record.name for record in caplog.records} == {"jackfield"}


def test_nothing_is_formatted_when_nobody_listens(
    log: ConnectionLog, caplog: pytest.LogCaptureFixture
) -> None:
    class Costly:
        fd = 5

        @property
        def peer(self) -> str:
            raise AssertionError("was asked for")

    caplog.set_level(logging.WARNING, "jackfield")
    log.connected(Costly())
    log.disconnected(Costly(), None, "eof")
    assert caplog.messages == []


def test_refusals_are_a_line_a_second(
    log: ConnectionLog, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for port in range(1, 501):
        log.refused(f"127.0.0.1:{port}", "max-connections")
    clock.now += 0.999
    log.refused("127.0.0.1:501", "max-connections")
    assert caplog.messages == ["refused peer=127.0.0.1:1 reason=max-connections"]
    clock.now += 0.001
    log.refused("127.0.0.1:502", "max-connections")
    assert caplog.messages[1:] == [
        "refused peer=127.0.0.1:502 reason=max-connections (500 more since the last such line)"
    ]
    clock.now += 10
    log.refused("127.0.0.1:503", "max-connections")
    assert caplog.messages[2:] == ["refused peer=127.0.0.1:503 reason=max-connections"]
    assert {record.levelno for record in caplog.records} == {logging.WARNING}


def test_one_kind_does_not_hide_another(
    log: ConnectionLog, caplog: pytest.LogCaptureFixture
) -> None:
    log.refused("127.0.0.1:1", "max-connections")
    log.refused("127.0.0.1:2", "max-per-host")
    exc = OSError(errno.EMFILE, os.strerror(errno.EMFILE))
    for _ in range(10):
        log.accept_failed("tcp://127.0.0.1:8888", exc)
    assert len(caplog.messages) == 3
    assert caplog.messages[2].startswith(
        "accept failed listener=tcp://127.0.0.1:8888 reason=EMFILE (Too many open files); "
    )
    assert all("\n" not in message for message in caplog.messages)
