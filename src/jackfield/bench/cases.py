"""The measurements: what is done to a server in one round, and which figures come of it.

A case knows the load generator and the contenders; rounds, medians and tables are not its.
"""

from __future__ import annotations

import typing as t
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from jackfield.bench import load
from jackfield.bench.servers import Contender, running
from jackfield.bench.summary import Sample
from jackfield.errors import SystemRefused

WARM_CONNECTIONS: t.Final = 64
"""Connections opened and closed before an idle measurement, so that what a server allocates
once (code, caches, the first arena) is not counted as the connections'."""


class Metric(t.NamedTuple):
    """A figure of a case: its key in samples; title, unit and decimals in the table.

    One that is not ``shown`` there is in the JSON, and may be the reason of a warning.
    """

    key: str
    title: str
    unit: str
    digits: int
    shown: bool = True


@dataclass(frozen=True, slots=True)
class Case:
    """A measurement. ``headline`` is the metric that ratios are taken of, and so are ``costs``,
    of which less is better. A headline that ``is_ratio`` is not divided once more."""

    name: str
    title: str
    contenders: Sequence[Contender]
    measure: Callable[[Contender], Sample]
    metrics: tuple[Metric, ...]
    headline: str
    more_is_better: bool = True
    costs: tuple[str, ...] = ()
    is_ratio: bool = False

    @property
    def compared(self) -> tuple[str, ...]:
        """The keys of the metrics that ratios are taken of."""
        return self.costs if self.is_ratio else (self.headline, *self.costs)

    def metric(self, key: str) -> Metric:
        """The metric of that key."""
        return next(metric for metric in self.metrics if metric.key == key)


_CPU: t.Final = (
    Metric("cpu_us", "CPU", "us/op", 3),
    Metric("server_core", "server", "% core", 0),
    Metric("load_core", "load", "% core", 0),
    Metric("disturbed", "disturbed", "% time", 0, shown=False),
)
_LATENCY: t.Final = (
    Metric("p50_us", "p50", "us", 0),
    Metric("p99_us", "p99", "us", 0),
    Metric("p999_us", "p99.9", "us", 0),
)
_MEMORY: t.Final = Metric("memory_mib", "memory", "MiB", 1)


def echo(
    contenders: Sequence[Contender],
    *,
    connections: int = 50,
    size: int = 64,
    seconds: float = 2.0,
    warmup: float = 0.5,
) -> Case:
    """Requests of ``size`` bytes, one in flight on each of ``connections``."""
    loading = partial(load.echo, connections=connections, size=size, seconds=seconds, warmup=warmup)
    return Case(
        "echo",
        f"echo, {size} bytes, {connections} connections",
        contenders,
        _answering(loading),
        (Metric("rate", "requests", "/s", 0), *_LATENCY, *_CPU, _MEMORY),
        "rate",
        costs=("cpu_us",),
    )


def fanout(
    contenders: Sequence[Contender],
    *,
    members: int = 500,
    senders: int = 50,
    in_flight: int = 500,
    size: int = 52,
    seconds: float = 2.0,
    warmup: float = 0.5,
) -> Case:
    """``senders`` of the ``members`` of one room keep ``in_flight`` messages under way.

    ``size`` is the bytes of a delivered chat line; other servers carry the same text.
    """

    def measure(contender: Contender) -> Sample:
        with running(contender) as server:
            measured = load.fanout(
                server.target,
                adapter=contender.speaks,
                members=members,
                senders=senders,
                in_flight=in_flight,
                size=size,
                seconds=seconds,
                warmup=warmup,
            )
            wire = {"wire_bytes": float(measured["wire_bytes"])}
            return rates(measured) | wire | _memory(server.memory())

    return Case(
        "fanout",
        f"fan-out, {members} members, {senders} senders, {in_flight} messages in flight",
        contenders,
        measure,
        (
            Metric("rate", "deliveries", "/s", 0),
            Metric("wire_bytes", "on the wire", "bytes each", 0),
            *_CPU,
            _MEMORY,
        ),
        "rate",
        costs=("cpu_us",),
    )


def accept(
    contenders: Sequence[Contender],
    *,
    in_flight: int = 32,
    seconds: float = 2.0,
    warmup: float = 0.5,
) -> Case:
    """Connections that exchange one byte and close, ``in_flight`` at a time."""
    loading = partial(load.accept, in_flight=in_flight, seconds=seconds, warmup=warmup)
    return Case(
        "accept",
        f"accept, one byte each, {in_flight} connections at a time",
        contenders,
        _answering(loading),
        (Metric("rate", "connections", "/s", 0), *_LATENCY, *_CPU, _MEMORY),
        "rate",
        costs=("cpu_us",),
    )


def udp(
    contenders: Sequence[Contender],
    *,
    in_flight: int = 64,
    size: int = 64,
    seconds: float = 2.0,
    warmup: float = 0.5,
) -> Case:
    """Datagrams of ``size`` bytes and their answers, ``in_flight`` under way."""
    loading = partial(load.udp, in_flight=in_flight, size=size, seconds=seconds, warmup=warmup)
    return Case(
        "udp",
        f"UDP echo, {size} bytes, {in_flight} in flight",
        contenders,
        _answering(loading, "lost"),
        (
            Metric("rate", "answers", "/s", 0),
            Metric("lost", "lost", "", 0),
            *_LATENCY,
            *_CPU,
            _MEMORY,
        ),
        "rate",
        costs=("cpu_us",),
    )


def idle(contenders: Sequence[Contender], *, connections: int = 10_000) -> Case:
    """Process memory per connection that has exchanged one byte and now does nothing."""

    def measure(contender: Contender) -> Sample:
        with running(contender) as server:
            with load.idle(server.target, connections=WARM_CONNECTIONS):
                pass
            before = server.memory()
            with load.idle(server.target, connections=connections):
                after = server.memory()
        each = (after - before) / connections
        return {"bytes_each": each, "before_mib": before / 2**20, "after_mib": after / 2**20}

    return Case(
        "idle",
        f"process memory of {connections} idle connections",
        contenders,
        measure,
        (
            Metric("bytes_each", "per connection", "bytes", 0),
            Metric("before_mib", "before", "MiB", 1),
            Metric("after_mib", "with them", "MiB", 1),
        ),
        "bytes_each",
        more_is_better=False,
    )


def _answering(
    loading: Callable[[load.Target], load.Measured], *more: t.Literal["lost"]
) -> Callable[[Contender], Sample]:
    """A server under that load: its rates, the time its answers take, its memory, and ``more``."""

    def measure(contender: Contender) -> Sample:
        with running(contender) as server:
            measured = loading(server.target)
            counts = {key: float(measured[key]) for key in more}
            return rates(measured) | latencies(measured) | counts | _memory(server.memory())

    return measure


def rates(measured: load.Measured) -> dict[str, float]:
    """Operations a second and what each cost. Raises ``SystemRefused`` when there were none."""
    operations, seconds = measured["operations"], measured["seconds"]
    if not operations:
        raise SystemRefused("the server completed nothing in the measured time")
    return {
        "rate": operations / seconds,
        "cpu_us": measured["server_cpu"] / operations * 1e6,
        "server_core": measured["server_cpu"] / seconds * 100,
        "load_core": measured["load_cpu"] / seconds * 100,
        "disturbed": max(measured["server_wait"], measured["load_wait"]) / seconds * 100,
    }


def latencies(measured: load.Measured) -> dict[str, float]:
    """The percentiles of the time that an answer takes, in microseconds."""
    return {key: measured[key] for key in ("p50_us", "p99_us", "p999_us")}


def _memory(amount: int) -> dict[str, float]:
    return {"memory_mib": amount / 2**20}
