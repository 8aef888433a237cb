"""Latency of deliveries while some members of a room do not read, beside nobody stalled.

Both are measured in one turn, each on a server newly started; which comes first alternates, so
that whatever drifts does not always favour one. The ratio is taken within the turn.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from jackfield.bench import cases, load
from jackfield.bench.cases import Case, Metric
from jackfield.bench.servers import Contender, running
from jackfield.bench.summary import Sample

METRICS = (
    Metric("p99_ratio", "p99", "ratio", 2),
    Metric("calm_p50_ms", "p50 ms", "calm", 2),
    Metric("calm_p99_ms", "p99 ms", "calm", 2),
    Metric("calm_p999_ms", "p99.9 ms", "calm", 2),
    Metric("p50_ms", "p50 ms", "stalled", 2),
    Metric("p99_ms", "p99 ms", "stalled", 2),
    Metric("p999_ms", "p99.9 ms", "stalled", 2),
    Metric("gone", "gone", "members", 0),
    Metric("server_core", "server", "% core", 0),
    Metric("load_core", "load", "% core", 0),
    Metric("disturbed", "disturbed", "% time", 0, shown=False),
)
"""The ratio is stalled by calm; ``gone`` are the stalled members that were disconnected."""


def case(
    contenders: Sequence[Contender],
    *,
    members: int = 500,
    stalled: int = 50,
    rate: int = 100,
    size: int = 1000,
    seconds: float = 2.0,
    warmup: float = 0.5,
) -> Case:
    """``rate`` messages a second of ``size`` bytes; ``stalled`` of the ``members`` do not read."""

    def once(contender: Contender, count: int) -> load.Measured:
        with running(contender) as server:
            return load.latency(
                server.target,
                adapter=contender.speaks,
                members=members,
                stalled=count,
                rate=rate,
                size=size,
                seconds=seconds,
                warmup=warmup,
            )

    orders = {one.name: itertools.cycle([(0, stalled), (stalled, 0)]) for one in contenders}

    def measure(contender: Contender) -> Sample:
        measured = {count: once(contender, count) for count in next(orders[contender.name])}
        return _sample(measured[0], measured[stalled])

    title = f"latency, {members} members, {stalled} stalled, {rate} messages of {size} bytes/s"
    return Case(
        "latency",
        title,
        contenders,
        measure,
        METRICS,
        "p99_ratio",
        more_is_better=False,
        costs=("calm_p99_ms", "p99_ms"),
        is_ratio=True,
    )


def _sample(calm: load.Measured, stalled: load.Measured) -> dict[str, float]:
    both = [cases.rates(calm), cases.rates(stalled)]
    return {
        **{f"calm_{key}": value for key, value in _milliseconds(calm).items()},
        **_milliseconds(stalled),
        **{key: max(one[key] for one in both) for key in ("server_core", "load_core", "disturbed")},
        "p99_ratio": stalled["p99_us"] / calm["p99_us"],
        "gone": float(stalled["gone"]),
    }


def _milliseconds(measured: load.Measured) -> dict[str, float]:
    found = cases.latencies(measured)
    return {key.replace("_us", "_ms"): value / 1e3 for key, value in found.items()}
