"""Thread, process or multiplexing: the same echo under every engine, at growing numbers of clients.

A figure is of all processes of a server together. The load's connections stand still while what
they have used is counted, so that counting disturbs nothing and no child has ended yet. Must not
know what an engine is: a model is a name and the options that ``jackfield serve`` takes for it.
"""

from __future__ import annotations

import dataclasses
import typing as t
from collections.abc import Sequence

from rich.table import Table

from jackfield.bench import cases, growth, load, processes
from jackfield.bench.cases import Case, Metric
from jackfield.bench.runner import Result
from jackfield.bench.servers import Contender, jackfield, running
from jackfield.bench.summary import Sample

CLIENTS: t.Final = (1, 10, 100, 1000)
"""Each ten times the one before; the last still fits below select's 1,024 descriptors."""

SIZE: t.Final = 64
"""Bytes of a request: what is measured is waiting and switching, not copying."""

WORKERS: t.Final = "workers"
"""The model of several processes, each of which serves many clients: the pre-fork server."""

MODELS: t.Final = (
    "iterative", "thread", "fork", WORKERS, "select", "poll", "epoll", "native", "uring",
    "asyncio", "uvloop",
)  # fmt: skip

ALONE: t.Final = "iterative"
"""Serves one client at a time: the others would wait for the end of the measurement."""

_METRICS: t.Final = (
    Metric("rate", "requests", "/s", 0),
    Metric("memory_mib", "memory", "MiB", 1),
    Metric("switches", "context switches", "/1,000 requests", 1),
    Metric("cpu_us", "CPU", "us/request", 1),
    Metric("p50_us", "p50", "us", 0),
    Metric("p99_us", "p99", "us", 0),
    Metric("processes", "processes", "", 0, shown=False),
    Metric("server_core", "server", "% core", 0, shown=False),
    Metric("load_core", "load", "% core", 0, shown=False),
    Metric("disturbed", "disturbed", "% time", 0, shown=False),
)
PLOTTED: t.Final = _METRICS[:3]
"""What the question is about."""


def engine_of(model: str) -> str:
    """The engine that a model needs."""
    return "epoll" if model == WORKERS else model


def contender(model: str) -> Contender:
    """jackfield's echo under ``model``, one of ``MODELS``."""
    made = jackfield("echo", engine_of(model))
    if model == WORKERS:
        options = ("--workers", "2")
        return dataclasses.replace(made, name="2 workers", command=(*made.command, *options))
    return dataclasses.replace(made, name=model)


def make_cases(
    models: Sequence[str], clients: Sequence[int], *, seconds: float, warmup: float
) -> list[Case]:
    """One case for each number of clients, with the models that can serve so many."""
    return [
        _case(
            [contender(model) for model in models if count == 1 or model != ALONE],
            count, seconds=seconds, warmup=warmup,
        )
        for count in clients
    ]  # fmt: skip


def _case(contenders: Sequence[Contender], count: int, *, seconds: float, warmup: float) -> Case:
    def measure(contender: Contender) -> Sample:
        with (
            running(contender) as server,
            load.held(
                server.target, connections=count, size=SIZE, seconds=seconds, warmup=warmup
            ) as go,
        ):
            pids = processes.tree(server.target.pid)
            before = processes.used(pids)
            measured = go()
            after = processes.used(pids)
            return _sample(measured, before, after) | {
                "memory_mib": processes.memory_of_all(pids) / 2**20,
                "processes": float(len(pids)),
            }

    title = f"models, echo of {SIZE} bytes, {count} client{'s' if count > 1 else ''}"
    return Case("models", title, contenders, measure, _METRICS, "rate")


def _sample(
    measured: load.Measured, before: processes.Used, after: processes.Used
) -> dict[str, float]:
    """The generator has read the clocks of the server's first process alone; here are all."""
    requests = measured["answered"]
    measured["server_cpu"] = (after.cpu - before.cpu) / requests * measured["operations"]
    if after.threads > 1:  # they wait for each other: that is the model, not a disturbance
        measured["server_wait"] = 0.0
    switches = (after.switches - before.switches) / requests * 1000
    return cases.rates(measured) | cases.latencies(measured) | {"switches": switches}


def tables(results: Sequence[Result], clients: Sequence[int]) -> list[Table]:
    """A table for each figure: a row for each model, a column for each number of clients."""
    return growth.tables(results, "clients", clients, _METRICS)
