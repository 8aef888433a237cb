"""What workers count together: the status line, and limits that hold for all of them."""

from __future__ import annotations

import re
import signal
import socket
import sys
import typing as t
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.households import LOCAL, Household, Member, children, kill, needs_proc
from tests.support import PATIENCE, until

pytestmark = needs_proc

STATUS: t.Final = re.compile(
    r"status (?:engine=\S+|worker=(\d+) pid=(\d+)) "
    r"accepted=(\d+) waiting=(\S+) refused=(\d+) connections=(\d+)( retired)?"
)


class Said(t.NamedTuple):
    """One line of what SIGUSR1 asks for."""

    pid: int
    accepted: int
    waiting: str
    refused: int
    connections: int
    retired: bool


def status(household: Household, workers: int) -> tuple[Said, list[Said]]:
    """The sum, and what each of so many workers has counted."""
    kill(household.pid, signal.SIGUSR1)
    lines = [household.expect(r"status .*")[0] for _ in range(1 + workers)]
    said = []
    for line in lines:
        found = STATUS.fullmatch(line)
        assert found, line
        _, pid, accepted, waiting, refused, connections, retired = found.groups()
        said.append(
            Said(
                int(pid or 0), int(accepted), waiting, int(refused), int(connections), bool(retired)
            )
        )
    return said[0], said[1:]


def served(port: int, source: str = "127.0.0.1") -> Member | None:
    """A client, or None if it was closed at once."""
    member = Member.__new__(Member)
    member.sock = socket.create_connection(
        ("127.0.0.1", port), timeout=PATIENCE, source_address=(source, 0)
    )
    member.lines, member.rest, member.ended = [], b"", False
    while not member.lines and not member.ended:
        member.read()
    if member.ended:
        member.close()
        return None
    return member


Made = t.TypeVar("Made")


def insist(attempt: Callable[[], Made | None]) -> Made:
    """What ``attempt`` makes as soon as it may."""
    made: list[Made] = []

    def once_more() -> bool:
        one = attempt()
        if one is not None:
            made.append(one)
        return bool(made)

    until(once_more)
    return made[0]


def workers(directory: Path, *options: str, accept: str = "auto") -> Household:
    return Household.of(directory, "--workers", "2", "--accept", accept, *options)


def close(members: list[Member | None]) -> None:
    for member in members:
        if member is not None:
            member.close()


# --- the status line -----------------------------------------------------------------------------


def test_the_status_adds_up_all_workers_and_shows_each(tmp_path: Path) -> None:
    with workers(tmp_path) as household:
        port = household.port()
        members = [served(port) for _ in range(12)]
        until(lambda: status(household, 2)[0].accepted == 12)  # a moment after the first words
        total, each = status(household, 2)
        by_process = Counter(member.pid for member in members if member is not None)
        assert total.connections == 12
        assert {one.pid: one.connections for one in each if one.connections} == by_process
        assert sum(one.accepted for one in each) == 12
        assert not any(one.retired or one.refused for one in each)
        close(members)
        until(lambda: status(household, 2)[0].connections == 0)
        assert status(household, 2)[0].accepted == 12


def test_what_a_dead_worker_has_counted_is_not_forgotten(tmp_path: Path) -> None:
    with workers(tmp_path) as household:
        port = household.port()
        members = [served(port) for _ in range(6)]
        assert members[0] is not None
        doomed = members[0].pid
        until(lambda: status(household, 2)[0].accepted == 6)
        lost = sum(member is not None and member.pid == doomed for member in members)
        kill(doomed, signal.SIGKILL)
        until(lambda: doomed not in children(household.pid))
        household.await_children(2)
        total, each = status(household, 2)
        assert (total.accepted, total.connections) == (6, 6 - lost)
        assert doomed not in [one.pid for one in each]
        members.append(served(port))
        until(lambda: status(household, 2)[0].accepted == 7)
        close(members)


def test_a_retired_worker_is_shown_while_it_has_clients(tmp_path: Path) -> None:
    with workers(tmp_path) as household:
        port = household.port()
        staying = served(port)
        assert staying is not None
        before = set(household.await_children(2))
        kill(household.pid, signal.SIGHUP)
        until(lambda: before & set(children(household.pid)) == {staying.pid})
        until(lambda: len(children(household.pid)) == 3)
        until(lambda: any(one.retired for one in status(household, 3)[1]))
        total, each = status(household, 3)
        assert (total.accepted, total.connections) == (1, 1)
        (old,) = [one for one in each if one.retired]
        assert old == Said(staying.pid, 1, "-", 0, 1, True)
        staying.close()
        household.await_children(2)
        until(lambda: status(household, 2)[0] == Said(0, 1, total.waiting, 0, 0, False))


@pytest.mark.skipif(sys.platform != "linux", reason="Linux tells how long the backlog is")
@pytest.mark.parametrize("accept", ["shared", "reuseport"])
def test_who_waits_for_a_worker_that_is_stopped(tmp_path: Path, accept: str) -> None:
    """All listeners are looked at, each worker's own too."""
    with workers(tmp_path, accept=accept) as household:
        port = household.port()
        for pid in household.await_children(2):
            kill(pid, signal.SIGSTOP)
        waiting = [socket.create_connection(("127.0.0.1", port)) for _ in range(9)]
        until(lambda: status(household, 2)[0].waiting == "9")
        own = [one.waiting for one in status(household, 2)[1]]
        if accept == "shared":
            assert own == ["-", "-"]
        else:
            assert sum(map(int, own)) == 9
        for client in waiting:
            client.close()


# --- limits --------------------------------------------------------------------------------------


@pytest.mark.parametrize("accept", ["shared", "reuseport"])
def test_max_connections_holds_for_all_workers_together(tmp_path: Path, accept: str) -> None:
    with workers(tmp_path, "--max-connections", "5", accept=accept) as household:
        port = household.port()
        members = [served(port) for _ in range(20)]
        assert [member is not None for member in members] == [True] * 5 + [False] * 15
        until(lambda: status(household, 2)[0].accepted == 5)
        total, _ = status(household, 2)
        assert (total.accepted, total.refused, total.connections) == (5, 15, 5)
        assert members[0] is not None
        members[0].close()
        members.append(insist(lambda: served(port)))
        assert served(port) is None
        close(members[1:])


def test_the_places_of_a_dead_worker_are_free_again(tmp_path: Path) -> None:
    limits = ("--max-connections", "4", "--max-per-host", "4")
    with workers(tmp_path, *limits) as household:
        port = household.port()
        members = [served(port) for _ in range(5)]
        assert members[0] is not None
        assert members[-1] is None
        doomed = members[0].pid
        left = [member for member in members if member is not None and member.pid != doomed]
        kill(doomed, signal.SIGKILL)
        until(lambda: doomed not in children(household.pid))
        household.await_children(2)
        newcomers = [served(port) for _ in range(5)]
        assert sum(new is not None for new in newcomers) == 4 - len(left)
        close([*members, *newcomers])


@pytest.mark.parametrize("accept", ["shared", "reuseport"])
def test_max_per_host_holds_for_all_workers_together(tmp_path: Path, accept: str) -> None:
    with workers(tmp_path, "--max-per-host", "3", accept=accept) as household:
        port = household.port()
        hosts = ("127.0.0.2", "127.0.0.3")
        members = [served(port, hosts[number % 2]) for number in range(16)]
        assert [member is not None for member in members] == [True] * 6 + [False] * 10
        assert members[0] is not None
        members[0].close()
        members.append(insist(lambda: served(port, hosts[0])))
        assert served(port, hosts[0]) is None
        assert served(port, hosts[1]) is None
        close(members[1:])


def test_max_per_second_holds_for_all_workers_together(tmp_path: Path) -> None:
    """A burst of the rate; what it gains in an hour is not awaited."""
    with workers(tmp_path, "--max-per-second", "0.0003") as household:
        port = household.port()
        members = [served(port) for _ in range(10)]
        assert [member is not None for member in members] == [True] + [False] * 9
        close(members)


PROXIED: t.Final = ("--proxy-from", "127.0.0.1", "--max-per-host", "2")


@pytest.mark.parametrize("processes", [("--workers", "2"), ("--engine", "fork")])
def test_whom_a_proxy_speaks_for_is_counted_in_all_processes(processes: tuple[str, ...]) -> None:
    """Also where a process serves one client only; and when one is killed."""
    options = ("--log-level", "warning", *PROXIED)
    with Household("serve", "echo", LOCAL, *processes, *options) as household:
        port = household.port()

        def client(host: str) -> socket.socket | None:
            sock = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
            sock.sendall(b"PROXY TCP4 %s 127.0.0.1 5000 1\r\nhello" % host.encode())
            try:
                if sock.recv(10) == b"hello":
                    return sock
            except ConnectionResetError:
                pass
            sock.close()
            return None

        first, second = [client("192.0.2.1") for _ in range(2)]
        assert first is not None
        assert second is not None
        assert [client("192.0.2.1") for _ in range(4)] == [None] * 4
        other = client("192.0.2.2")
        assert other is not None
        first.close()
        again = insist(lambda: client("192.0.2.1"))
        assert client("192.0.2.1") is None
        for pid in children(household.pid):
            kill(pid, signal.SIGKILL)
        for sock in (second, other, again):
            sock.close()
        # Each dead process is noticed in its time.
        newcomers = [insist(lambda: client("192.0.2.1")) for _ in range(2)]
        assert client("192.0.2.1") is None
        for sock in newcomers:
            sock.close()
