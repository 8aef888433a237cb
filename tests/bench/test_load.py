"""The load generator: it counts what it says it counts, and reports what went wrong."""

from __future__ import annotations

import os
import sys
import textwrap
import time
import typing as t
from collections.abc import Callable
from pathlib import Path

import pytest

from jackfield.bench import load
from jackfield.bench.servers import Contender, find_peers, running
from jackfield.errors import SystemRefused

SHORT: t.Final = {"seconds": 0.2, "warmup": 0.05}
MakeContender: t.TypeAlias = Callable[..., Contender]

TO_ALL = """
for member in members:
    member.write(data)
"""


def fanout(contender: Contender, **changed: t.Any) -> load.Measured:
    how = {"members": 7, "senders": 3, "in_flight": 6, "size": 52, **SHORT, **changed}
    with running(contender) as server:
        return load.fanout(server.target, adapter=contender.speaks, **how)


def peer(case: str, name: str) -> Contender:
    present, absent = find_peers(case, [name])
    if absent:
        pytest.skip(f"{absent[0].name}: {absent[0].reason}")
    return present[0]


@pytest.mark.parametrize("size", [1, 64, 65536])
def test_echo_counts_requests_and_times(make_contender: MakeContender, size: int) -> None:
    with running(make_contender("self.transport.write(data)")) as server:
        measured = load.echo(server.target, connections=5, size=size, **SHORT)
    assert measured["operations"] > 0
    assert measured["seconds"] >= 0.2
    assert 0 < measured["p50_us"] <= measured["p99_us"] <= measured["p999_us"]
    assert measured["server_cpu"] > 0
    assert measured["load_cpu"] > 0
    assert measured["server_wait"] >= 0
    assert measured["load_wait"] >= 0


def test_echo_latency_and_rate_agree(make_contender: MakeContender) -> None:
    # One request in flight: the mean latency is the inverse of the rate, so that the median
    # cannot be far above it whatever the machine does.
    with running(make_contender("self.transport.write(data)")) as server:
        measured = load.echo(server.target, connections=1, size=64, **SHORT)
    mean = measured["seconds"] / measured["operations"] * 1e6
    assert measured["p50_us"] <= 2 * mean


def test_echo_refuses_what_is_no_echo(make_contender: MakeContender) -> None:
    body = "self.transport.write(data if len(data) == 1 else data + b'!')"
    with (
        running(make_contender(body)) as server,
        pytest.raises(SystemRefused, match="9 bytes came back for a request of 8"),
    ):
        load.echo(server.target, connections=1, size=8, **SHORT)


@pytest.mark.parametrize(("members", "senders"), [(1, 1), (7, 1), (7, 3), (7, 7)])
def test_fanout_counts_every_members_messages(
    make_contender: MakeContender, members: int, senders: int
) -> None:
    measured = fanout(make_contender(TO_ALL), members=members, senders=senders, in_flight=senders)
    assert measured["wire_bytes"] == 52
    assert 0 < measured["operations"] <= measured["sent"] * members


@pytest.mark.parametrize(
    ("name", "wire"), [("uvloop", 52), ("redis", 84), ("nats", 67), ("ngircd", 79)]
)
def test_fanout_speaks_each_peers_language(name: str, wire: int) -> None:
    measured = fanout(peer("fanout", name))
    assert measured["wire_bytes"] == wire
    assert measured["operations"] > 0


def test_fanout_notices_a_lost_message(make_contender: MakeContender) -> None:
    body = """
    self.messages += 1
    for member in members[self.messages == 4:]:
        member.write(data)
    """
    with pytest.raises(SystemRefused, match=r"member \d received \d+ bytes, \d+ were due"):
        fanout(make_contender(body), members=3, senders=1, in_flight=50, **SHORT)


def test_fanout_notices_a_stray_message(make_contender: MakeContender) -> None:
    body = """
    self.messages += 1
    for member in members:
        member.write(data + b"stray" * (self.messages == 4))
    """
    with pytest.raises(SystemRefused, match="lost, stray or cut messages"):
        fanout(make_contender(body), members=3, senders=1, in_flight=1)


def test_fanout_needs_a_server_that_sends_to_all(make_contender: MakeContender) -> None:
    body = "self.transport.write(data)"
    with pytest.raises(SystemRefused, match="member 2 0"):
        fanout(make_contender(body))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"senders": 8}, "at most all members send"),
        ({"in_flight": 7}, "the same number in flight"),
        ({"size": 10}, "a number from 11"),
        ({"members": 0}, "a number from 1"),
    ],
)
def test_fanout_refuses_wrong_numbers(
    make_contender: MakeContender, changed: dict[str, int], message: str
) -> None:
    with pytest.raises(SystemRefused, match=message):
        fanout(make_contender(TO_ALL), **changed)


def test_a_server_that_closes_is_named(make_contender: MakeContender) -> None:
    with (
        running(make_contender("self.transport.close()")) as server,
        pytest.raises(SystemRefused, match="the server closed connection 1 of 2 at once"),
    ):
        load.echo(server.target, connections=2, size=8, **SHORT)


def test_nobody_listening_is_named(make_contender: MakeContender) -> None:
    with running(make_contender("self.transport.write(data)")) as server:
        target = server.target._replace(pid=0)
    with pytest.raises(SystemRefused, match="Connection refused"):
        load.echo(target, connections=1, size=8, **SHORT)
    with pytest.raises(SystemRefused, match="Connection refused"), load.idle(target, connections=1):
        pass


def test_idle_holds_its_connections_open(make_contender: MakeContender) -> None:
    def descriptors() -> int:
        return len(os.listdir(f"/proc/{server.target.pid}/fd"))

    with running(make_contender("self.transport.write(data)")) as server:
        before = descriptors()
        with load.idle(server.target, connections=150):
            assert descriptors() == before + 150
        deadline = time.monotonic() + 10
        while descriptors() != before and time.monotonic() < deadline:
            time.sleep(0.01)
        assert descriptors() == before


def test_held_connections_stand_before_and_afterwards(make_contender: MakeContender) -> None:
    with (
        running(make_contender("self.transport.write(data)")) as server,
        load.held(server.target, connections=5, size=64, **SHORT) as measure,
    ):
        pid = server.target.pid
        assert sockets(pid) >= 5
        measured = measure()
        assert sockets(pid) >= 5
    assert measured["operations"] > 0
    # Those of the warm-up, and the last one of each connection, are answers too.
    assert measured["answered"] >= measured["operations"] + 5


def sockets(pid: int) -> int:
    links = [os.readlink(link) for link in Path(f"/proc/{pid}/fd").iterdir()]
    return sum(link.startswith("socket:") for link in links)


def test_held_says_what_went_wrong(make_contender: MakeContender) -> None:
    body = """
    self.messages += 1
    if self.messages > 2:
        self.transport.abort()
    else:
        self.transport.write(data)
    """
    with (
        running(make_contender(body)) as server,
        pytest.raises(SystemRefused, match=r"connection \d of 3"),
        load.held(server.target, connections=3, size=64, **SHORT) as measure,
    ):
        measure()


DATAGRAMS = """
import socket, sys

with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
    server.bind(("127.0.0.1", 0))
    print(f"listening udp://127.0.0.1:{server.getsockname()[1]}", file=sys.stderr, flush=True)
    number = 0
    while True:
        data, peer = server.recvfrom(65536)
        number += 1
"""


def datagram_server(tmp_path: Path, body: str) -> Contender:
    path = tmp_path / "datagrams.py"
    path.write_text(DATAGRAMS + textwrap.indent(textwrap.dedent(body).strip(), " " * 8) + "\n")
    return Contender("test server", (sys.executable, str(path)), "1")


def test_datagrams_are_counted(tmp_path: Path) -> None:
    with running(datagram_server(tmp_path, "server.sendto(data, peer)")) as server:
        measured = load.udp(server.target, in_flight=100, size=64, **SHORT)
    assert measured["operations"] > 0
    assert (measured["lost"], measured["late"]) == (0, 0)
    assert 0 < measured["p50_us"] <= measured["p99_us"]


def test_lost_datagrams_are_counted_and_sent_again(tmp_path: Path) -> None:
    body = "number % 50 == 0 or server.sendto(data, peer)"
    with running(datagram_server(tmp_path, body)) as server:
        measured = load.udp(server.target, in_flight=4, size=64, seconds=0.5, warmup=0.0)
    assert measured["lost"] > 0
    # With four under way the fifty before the next loss come soon: it has gone on each time.
    assert measured["operations"] > 25 * measured["lost"]


def test_a_second_answer_to_a_datagram_counts_for_nothing(tmp_path: Path) -> None:
    body = "server.sendto(data, peer); server.sendto(data, peer)"
    with running(datagram_server(tmp_path, body)) as server:
        measured = load.udp(server.target, in_flight=4, size=64, **SHORT)
    assert measured["late"] > 0
    assert measured["lost"] == 0


def test_datagrams_of_the_wrong_size_are_no_answers(tmp_path: Path) -> None:
    with (
        running(datagram_server(tmp_path, "server.sendto(data[1:], peer)")) as server,
        pytest.raises(SystemRefused, match="63 bytes came back for a datagram of 64"),
    ):
        load.udp(server.target, in_flight=4, size=64, **SHORT)


def test_accept_counts_connections_that_were_served(make_contender: MakeContender) -> None:
    with running(make_contender("self.transport.write(data)")) as server:
        measured = load.accept(server.target, in_flight=4, **SHORT)
        assert measured["operations"] > 0
        assert 0 < measured["p50_us"] <= measured["p99_us"]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("self.transport.close()", "received none: the server closed it"),
        ("self.transport.write(data + data)", "received more"),
    ],
)
def test_accept_needs_an_echo(make_contender: MakeContender, body: str, message: str) -> None:
    with (
        running(make_contender(body)) as server,
        pytest.raises(SystemRefused, match=message),
    ):
        load.accept(server.target, in_flight=4, **SHORT)


def latency(contender: Contender, **changed: t.Any) -> load.Measured:
    how = {"members": 4, "stalled": 1, "rate": 200, "size": 1000, **SHORT, **changed}
    with running(contender) as server:
        return load.latency(server.target, adapter=contender.speaks, **how)


def test_latency_is_told_of_every_delivery_to_those_that_read(
    make_contender: MakeContender,
) -> None:
    measured = latency(make_contender(TO_ALL), seconds=0.5)
    # Three of four read 200 messages a second; a busy machine may bunch them at the ends.
    assert 150 < measured["operations"] < 450
    assert 0 < measured["p50_us"] <= measured["p99_us"] <= measured["p999_us"]
    assert measured["gone"] == 0


def test_members_that_stall_and_are_disconnected_are_counted(
    make_contender: MakeContender,
) -> None:
    body = """
    for member in list(members):
        if member.get_write_buffer_size() > 65536:
            members.remove(member)
            member.abort()
        else:
            member.write(data)
    """
    measured = latency(make_contender(body), members=3, stalled=1)
    assert measured["gone"] == 1


def test_latency_notices_a_stray_message(make_contender: MakeContender) -> None:
    body = """
    self.messages += 1
    for member in members:
        member.write(data + b"stray" * 1000 * (self.messages == 40))
    """
    with pytest.raises(SystemRefused, match=r"received more than was sent|missing"):
        latency(make_contender(body))


def test_latency_needs_its_sender_to_read(make_contender: MakeContender) -> None:
    with pytest.raises(SystemRefused, match="the sender itself has to read"):
        latency(make_contender(TO_ALL), stalled=4)
