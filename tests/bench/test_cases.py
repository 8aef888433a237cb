"""Each case, tiny, against every peer that is here."""

from __future__ import annotations

import typing as t

import pytest

from jackfield.bench import cases, cores, runner, servers

SHORT: t.Final = {"seconds": 0.2, "warmup": 0.0}


def peers(case: str) -> list[servers.Contender]:
    present, _ = servers.find_peers(case, servers.peer_names(case))
    if not present:
        pytest.skip(f"no peer of {case} is installed")
    return present


def check(case: cases.Case) -> None:
    result = runner.run(case, 1)
    for contender in case.contenders:
        measured = result.spreads(contender.name)
        assert {metric.key for metric in case.metrics} <= set(measured)
        assert measured[case.headline].median > 0
        assert result.ratio(contender.name, contender.name).median == 1.0


def test_echo() -> None:
    check(cases.echo(peers("echo"), connections=3, size=64, **SHORT))


def test_fanout() -> None:
    check(cases.fanout(peers("fanout"), members=6, senders=2, in_flight=4, size=52, **SHORT))


def test_idle() -> None:
    # Enough connections that their memory outweighs the steps in which memory grows.
    cores.raise_descriptor_limit(900)
    case = cases.idle(peers("idle"), connections=900)
    result = runner.run(case, 1)
    for contender in case.contenders:
        measured = result.spreads(contender.name)
        assert measured["after_mib"].median > measured["before_mib"].median
        assert 100 < measured["bytes_each"].median < 100_000


@pytest.mark.parametrize("service", ["echo", "chat"])
def test_jackfield_itself(service: str) -> None:
    ours = [servers.jackfield(service, "auto")]
    if service == "echo":
        check(cases.echo(ours, connections=3, size=64, **SHORT))
    else:
        check(cases.fanout(ours, members=6, senders=2, in_flight=4, size=52, **SHORT))
