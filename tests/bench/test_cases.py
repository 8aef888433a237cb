"""Each case, tiny, against every peer that is here."""

from __future__ import annotations

import sys
import typing as t

import pytest

from jackfield.bench import c_limits, cases, cores, latency, runner, servers, start
from jackfield.errors import SystemRefused

SHORT: t.Final = {"seconds": 0.2, "warmup": 0.0}


def peers(case: str) -> list[servers.Contender]:
    """Those that are here, and the limits."""
    present, _ = servers.find_peers(case, servers.peer_names(case))
    return [*present, *c_limits.find(case, c_limits.names(case))]


def check(case: cases.Case) -> None:
    result = runner.run(case, 1)
    for contender in case.contenders:
        measured = result.spreads(contender.name)
        assert {metric.key for metric in case.metrics} <= set(measured)
        assert measured[case.headline].median > 0
        assert result.ratio(contender.name, contender.name) == (1.0, 1.0, 1.0)


def test_echo() -> None:
    check(cases.echo(peers("echo"), connections=3, size=64, **SHORT))


def test_fanout() -> None:
    check(cases.fanout(peers("fanout"), members=6, senders=2, in_flight=4, size=52, **SHORT))


def test_accept() -> None:
    check(cases.accept(peers("accept"), in_flight=3, **SHORT))


def test_udp() -> None:
    check(cases.udp(peers("udp"), in_flight=5, size=64, **SHORT))


@pytest.mark.parametrize("who", ["C", "jackfield"])
def test_latency_with_and_without_members_that_stall(who: str) -> None:
    limit = c_limits.find("latency", ["c-send-loop"])
    contenders = limit if who == "C" else [servers.jackfield("chat", "auto")]
    check(latency.case(contenders, members=6, stalled=2, rate=200, size=1000, **SHORT))


def test_start() -> None:
    (peer,), _ = servers.find_peers("start", ["asyncio"])
    result = runner.run(start.case([peer], starts=2), 1)
    ratio = result.ratio("asyncio", start.BARE.name)
    assert ratio is not None
    assert ratio.median > 1.0


def test_a_server_that_does_not_start_has_no_start_time() -> None:
    command = (sys.executable, "-c", "raise SystemExit('no such port')")
    case = start.case([servers.Contender("broken", command, "1")], starts=1)
    with pytest.raises(SystemRefused, match="broken does not listen: no such port"):
        runner.run(case, 1)


def test_idle() -> None:
    # Enough connections that their memory outweighs the steps in which memory grows.
    cores.raise_descriptor_limit(900)
    case = cases.idle(peers("idle"), connections=900)
    result = runner.run(case, 1)
    for contender in case.contenders:
        measured = result.spreads(contender.name)
        assert measured["after_mib"].median > 0
        if not contender.limit:  # which has nothing but a place in a table for each
            assert measured["after_mib"].median > measured["before_mib"].median
            assert 100 < measured["bytes_each"].median < 100_000


@pytest.mark.parametrize("service", ["echo", "chat", servers.ROOM, "datagrams"])
def test_jackfield_itself(service: str) -> None:
    if service == "datagrams":
        check(cases.udp([servers.jackfield("echo", "auto", "udp")], in_flight=5, size=64, **SHORT))
        return
    ours = [servers.jackfield(service, "auto")]
    if service == "echo":
        check(cases.echo(ours, connections=3, size=64, **SHORT))
    else:
        check(cases.fanout(ours, members=6, senders=2, in_flight=4, size=52, **SHORT))
