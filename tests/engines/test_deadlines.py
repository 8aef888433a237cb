"""Deadlines, with a clock that is set by hand."""

from __future__ import annotations

import typing as t

import pytest

from jackfield.engines.base import Options
from jackfield.engines.deadlines import Deadlines
from jackfield.engines.timers import Timer, Timers
from jackfield.errors import DeadlineError


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0
        self.timers = Timers()

    def call_later(self, delay: float, callback: t.Any, *args: t.Any) -> Timer:
        return self.timers.add(self.now + delay, callback, *args)

    def advance(self, to: float) -> None:
        """Stop at each timer on the way, as an engine does."""
        while (when := self.timers.next_at()) is not None and when <= to:
            self.now = when
            for callback, args in self.timers.due(when):
                callback(*args)
        self.now = to


class Blocks:
    reports_progress = False


class Messages:
    reports_progress = True


class Connection:
    def __init__(self, protocol: object) -> None:
        self.protocol = protocol
        self.read_at = self.progress_at = 0.0
        self.evicted: list[tuple[str, float]] = []
        self.messages: list[str] = []
        self.clock: Clock

    def evict(self, reason: DeadlineError) -> None:
        self.evicted.append((reason.reason, self.clock.now))
        self.messages.append(str(reason))


def begin(
    protocol: object, *, idle: float = 0, login: float = 0
) -> tuple[Clock, Deadlines, Connection]:
    clock = Clock()
    deadlines = Deadlines(Options(idle_timeout=idle, login_timeout=login), clock)
    connection = Connection(protocol)
    connection.clock = clock
    deadlines.start(connection)
    return clock, deadlines, connection


@pytest.mark.parametrize("protocol", [Blocks(), Messages(), object()])
@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({"login": 3}, [("login-timeout", 1003.0)]),
        ({"idle": 5}, [("idle-timeout", 1005.0)]),
        ({}, []),
    ],
)
def test_somebody_silent(
    protocol: object, limits: dict[str, float], expected: list[tuple[str, float]]
) -> None:
    clock, _, connection = begin(protocol, **limits)
    clock.advance(1000_000)
    assert connection.evicted == expected
    assert all(message and "\n" not in message for message in connection.messages)


def test_idle_counts_from_the_last_block() -> None:
    clock, _, connection = begin(Blocks(), idle=5)
    for at in (1001.0, 1004.0, 1008.5):
        clock.advance(at)
        connection.read_at = at
    clock.advance(1013.25)
    assert connection.evicted == []
    clock.advance(2000)
    assert connection.evicted == [("idle-timeout", 1013.5)]


def test_single_bytes_extend_nothing_where_messages_count() -> None:
    """One byte a second, never a whole line: slowloris."""
    clock, _, connection = begin(Messages(), idle=5, login=3)
    for second in range(10):
        clock.advance(1000.5 + second)
        connection.read_at = clock.now
    assert connection.evicted == [("login-timeout", 1003.0), ("idle-timeout", 1005.0)]


def test_a_message_ends_the_login_deadline_and_restarts_the_idle_one() -> None:
    clock, _, connection = begin(Messages(), idle=5, login=3)
    clock.advance(1002)
    connection.progress_at = 1002.0
    clock.advance(1006.9)
    assert connection.evicted == []
    clock.advance(1007)
    assert connection.evicted == [("idle-timeout", 1007.0)]


def test_a_message_at_the_very_last_moment() -> None:
    clock, _, connection = begin(Messages(), idle=5)
    clock.advance(1004.999)
    connection.progress_at = clock.now
    clock.advance(1009.998)
    assert connection.evicted == []


def test_one_timer_per_connection_however_busy() -> None:
    clock, deadlines, connection = begin(Blocks(), idle=5)
    for step in range(5000):
        clock.advance(1000 + step * 0.01)
        connection.read_at = clock.now
        assert len(clock.timers) == 1
    deadlines.stop(connection)
    assert len(clock.timers) == 0


def test_stop_takes_every_timer() -> None:
    clock, deadlines, connection = begin(Blocks(), idle=5, login=3)
    assert len(clock.timers) == 2
    deadlines.stop(connection)
    deadlines.stop(connection)
    assert len(clock.timers) == 0
    clock.advance(2000)
    assert connection.evicted == []


def test_a_proxys_header_is_not_the_clients_first_block() -> None:
    """Whoever took it off the stream says what came with it, and unsays what came before."""
    clock, _, silent = begin(Blocks(), login=3)
    silent.read_at = 0.0
    clock.advance(2000)
    assert silent.evicted == [("login-timeout", 1003.0)]
    clock, _, early = begin(Blocks(), login=3)
    early.read_at, early.progress_at = 0.0, clock.now
    clock.advance(2000)
    assert early.evicted == []


def test_another_protocol_takes_over() -> None:
    """``set_protocol``: the deadline follows the protocol that is there when it is due."""
    clock, _, connection = begin(Blocks(), idle=5)
    connection.protocol = Messages()
    clock.advance(1004)
    connection.read_at = 1004.0
    clock.advance(1005)
    assert connection.evicted == [("idle-timeout", 1005.0)]
