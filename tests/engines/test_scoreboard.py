"""What processes count together, and the limits that hold for all of them."""

from __future__ import annotations

import os
import signal
import typing as t
from collections.abc import Callable, Iterator

import pytest
from tests.support import until

from jackfield.engines.admission import Admission
from jackfield.engines.base import Options, Statistics
from jackfield.engines.scoreboard import Scoreboard
from jackfield.kernel import processes

if not hasattr(os, "fork"):
    pytest.skip("this system cannot fork", allow_module_level=True)

A, B = ("127.0.0.1", 1000), ("127.0.0.2", 1000)
Boards = Callable[..., Scoreboard]


@pytest.fixture
def boards() -> Iterator[Boards]:
    made: list[Scoreboard] = []

    def make(slots: int = 4, **limits: t.Any) -> Scoreboard:
        made.append(Scoreboard(Options(**limits), slots, 2))
        return made[-1]

    yield make
    for board in made:
        board.close()
        board.close()


def two(board: Scoreboard) -> tuple[Admission, Admission]:
    """What two processes ask."""
    first, second = (Admission(board.options_for(board.take())) for _ in range(2))
    return first, second


def test_counters_are_seen_by_the_parent_and_never_go_back(boards: Boards) -> None:
    board = boards()
    slot = board.take()

    def serve() -> None:
        options = board.options_for(slot)
        counted, admission = options.statistics, Admission(options)
        assert counted is not None
        counted.accepted += 3
        counted.refused += 2
        counted.accept_failures += 1
        counted.lost += 1
        for _ in range(2):
            assert admission.refusal(A) is None
            admission.enter(A)

    processes.wait(processes.fork(serve))
    seen = Statistics(accepted=3, refused=2, accept_failures=1, lost=1, connections=2)
    assert board.of(slot) == board.totals() == seen
    board.give_back(slot)
    kept = Statistics(accepted=3, refused=2, accept_failures=1, lost=3, connections=0)
    assert board.totals() == kept
    assert board.take() == slot  # used again, from nought
    assert board.of(slot) == Statistics()
    assert board.totals() == kept


def test_no_slot_is_left(boards: Boards) -> None:
    board = boards(slots=2)
    assert [board.take(), board.take()] == [0, 1]
    with pytest.raises(OSError, match="too many processes"):
        board.take()
    board.give_back(1)
    assert board.take() == 1


def test_connections_of_all_together(boards: Boards) -> None:
    first, second = two(boards(max_connections=2))
    for admission in (first, second):
        assert admission.refusal(A) is None
        admission.enter(A)
    assert first.refusal(B) == second.refusal(B) == "max-connections"
    second.leave(A)
    assert first.refusal(B) is None


def test_a_place_is_reserved_until_it_is_withdrawn(boards: Boards) -> None:
    board = boards(max_connections=1, max_per_host=1)
    first, second = two(board)
    assert first.refusal(A) is None  # about to enter
    assert second.refusal(B) == "max-connections"
    first.withdraw(A)
    first.withdraw(A)
    assert board.connections() == 0
    assert second.refusal(A) is None
    second.enter(A)
    second.withdraw(A)  # nothing is reserved any more
    assert board.connections() == 1


def test_an_outgoing_connection_needs_no_place(boards: Boards) -> None:
    board = boards(max_connections=1)
    first, second = two(board)
    first.enter(A)
    assert second.refusal(B) == "max-connections"
    first.leave(A)
    assert board.connections() == 0


def test_connections_of_a_host_in_all_processes(boards: Boards) -> None:
    board = boards(max_per_host=1)
    first, second = two(board)
    assert first.refusal(A) is None
    first.enter(A)
    assert second.refusal(A) == "max-per-host"
    assert second.refusal(B) is None
    second.enter(B)
    first.leave(A)
    assert second.refusal(A) is None
    second.withdraw(A)
    board.give_back(1)  # B's process has died
    assert first.refusal(B) is None


def test_unix_peers_are_counted_in_all_but_not_as_a_host(boards: Boards) -> None:
    board = boards(max_per_host=1)
    first, _ = two(board)
    for _ in range(2):
        assert first.refusal("") is None
        first.enter("")
    assert board.connections() == 2


def test_whom_a_proxy_speaks_for_is_counted_in_all_processes(boards: Boards) -> None:
    first, second = two(boards(max_per_host=1, proxies={A}))
    client = ("192.0.2.7", 1)
    for admission in (first, second):
        assert admission.refusal(A) is None
        admission.enter(A)
    assert first.rename(A, client) is None
    assert second.rename(A, client) == "max-per-host"
    second.leave(client)  # it counted until it was closed
    assert second.refusal(A) is None
    second.enter(A)
    first.leave(client)
    assert second.rename(A, client) is None


def test_connections_per_second_of_all_together(
    boards: Boards, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr("jackfield.engines.scoreboard.time.monotonic", lambda: now)
    first, second = two(boards(max_per_second=4))

    def come(admission: Admission) -> str | None:
        refusal = admission.refusal(A)
        admission.withdraw(A)
        return refusal

    asked = [come(admission) for admission in (first, second) * 4]
    assert asked == [None] * 4 + ["max-per-second"] * 4
    now += 0.25
    assert [come(second), come(first)] == [None, "max-per-second"]


def test_without_a_limit_no_lock_is_taken(boards: Boards) -> None:
    board = boards()
    first, _ = two(board)
    board.close()  # a lock that cannot be taken
    assert first.refusal(A) is None
    first.enter(A)
    assert board.connections() == 1
    first.leave(A)
    assert board.connections() == 0


def test_processes_that_race_never_exceed_a_limit_nor_miss_a_place(boards: Boards) -> None:
    """Each comes and goes as fast as it can; all places are taken in the end."""
    board = boards(max_connections=3, max_per_host=3)
    slots = [board.take() for _ in range(4)]
    seen, say = os.pipe()

    def race(slot: int) -> None:
        admission = Admission(board.options_for(slot))
        for _ in range(300):
            if admission.refusal(A) is None:
                admission.enter(A)
                if board.connections() > 3:
                    os.write(say, b"!")
                admission.leave(A)
        while admission.refusal(A) is None:
            admission.enter(A)

    for pid in [processes.fork(lambda slot=slot: race(slot)) for slot in slots]:  # type: ignore[misc]
        processes.wait(pid)
    os.close(say)
    with open(seen, "rb") as file:
        assert file.read() == b""
    assert board.connections() == 3
    assert board.hosts is not None
    assert board.hosts.of(bytes(10) + b"\xff\xff\x7f\x00\x00\x01") == 3


def test_one_is_killed_in_the_midst_of_it_and_the_others_count_on(boards: Boards) -> None:
    """Wherever it is hit: its places are free, no count of the others is lost or left over."""
    hosts = [(f"127.0.0.{number}", 1) for number in range(1, 50)]

    def come_and_go(board: Scoreboard, slot: int, rounds: int) -> None:
        admission = Admission(board.options_for(slot))
        for _ in range(rounds):
            for host in hosts:
                if admission.refusal(host) is None:
                    admission.enter(host)
            for host in hosts:
                admission.leave(host)

    for kill_at in range(12):
        board = boards(max_per_host=2, max_connections=100)
        doomed, other = board.take(), board.take()
        pids = [
            processes.fork(lambda: come_and_go(board, doomed, 1000)),  # noqa: B023
            processes.fork(lambda: come_and_go(board, other, 20)),  # noqa: B023
        ]
        until(lambda: board.of(doomed).connections > 4 * kill_at)  # noqa: B023
        processes.send(pids[0], signal.SIGKILL)
        processes.wait(pids[0])
        board.give_back(doomed)
        processes.wait(pids[1])
        assert board.connections() == 0
        assert board.hosts is not None
        assert not any(board.hosts._memory[:])
