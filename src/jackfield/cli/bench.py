"""``jackfield bench echo|fanout|accept|idle|udp|latency|start|models``: measure jackfield on this
machine, beside its peers and a limit written in C, or under each of its engines.

Options only: bench_run.py runs and prints, and what is measured, and how, is jackfield.bench.
"""

from __future__ import annotations

import typing as t
from collections.abc import Sequence

import click

from jackfield import engines as known
from jackfield.bench import cases, growth, latency, models, plot, runner, servers, start
from jackfield.cli import bench_options as options
from jackfield.cli.bench_options import numbers
from jackfield.cli.bench_run import Show, measure, measure_and_show


@click.group("bench")
def command() -> None:
    """Measure jackfield beside its peers, or its engines side by side: same machine, same load,
    same run.

    The server has one core to itself, the load generator (compiled C) another. Linux only.
    A list of numbers, as in --connections 1,100,10000, or --grow, shows how figures grow.
    """


MOST: t.Final = 1_000_000
"""Connections or messages: beyond what a machine has memory for, but short of a slip of a key."""


def _times(common: dict[str, t.Any]) -> dict[str, float]:
    return {key: common[key] for key in ("seconds", "warmup")}


@command.command("echo")
@options.common("echo")
@options.timed()
@numbers("connections", 1, MOST, "Connections at the same time.  [default: 50,1000]")
@numbers("size", 1, 2**20, "Bytes of a request.", "64")
@options.grow("connections", "size")
def echo(
    connections: tuple[int, ...], size: tuple[int, ...], grow: str | None, **common: t.Any
) -> None:
    """Requests answered a second, one in flight on each connection."""
    if not connections:  # where something else grows, one number of connections
        connections = (50,) if grow or len(size) > 1 else (50, 1000)
    axis = options.axis(grow, connections=connections, size=size)
    contenders, absent = options.contenders("echo", "echo", common)
    if axis.name == "connections":
        pairs = [(count, size[0]) for count in axis.values]
    else:
        pairs = [(connections[0], length) for length in axis.values]
    chosen = [
        cases.echo(contenders, connections=count, size=length, **_times(common))
        for count, length in pairs
    ]
    measure(chosen, absent, max(count for count, _ in pairs), common, axis)


@command.command("fanout")
@options.common("fanout")
@options.timed()
@numbers("members", 1, 10_000, "Members of the room.", "500")
@click.option("--senders", type=click.IntRange(1, 10_000), default=50, show_default=True,
              help="How many of them send; all, where there are fewer.")  # fmt: skip
@click.option("--in-flight", type=click.IntRange(1), default=500, show_default=True,
              help="Messages under way at a time, a multiple of the senders.")  # fmt: skip
@click.option("--size", type=click.IntRange(11, 1024), default=52, show_default=True,
              help="Bytes of a delivered chat line.")  # fmt: skip
@click.option("--service", "services", multiple=True, default=("chat",), show_default=True,
              type=click.Choice(["chat", servers.ROOM]), help="Ours: the chat service, or a bare "
              "room that hands on bytes; may be repeated.")  # fmt: skip
@options.grow("members")
def fanout(
    *,
    members: tuple[int, ...],
    senders: int,
    in_flight: int,
    size: int,
    services: Sequence[str],
    grow: str | None,
    **common: t.Any,
) -> None:
    """Messages delivered a second in one chat room: messages times members.

    The limit in C hands on bytes, as the bare room does, by a send to each member. One message at
    a time: --senders 1 --in-flight 1.
    """
    axis = options.axis(grow, members=members)
    for count in axis.values:
        if in_flight % min(senders, count):
            raise click.UsageError(
                f"--in-flight {in_flight} must be a multiple of --senders, which are "
                f"{min(senders, count)} of {count} members"
            )
    contenders, absent = options.contenders("fanout", services, common)
    contenders, small = servers.leave_out_small(contenders, max(axis.values))
    chosen = [
        cases.fanout(
            contenders,
            members=count,
            senders=min(senders, count),
            in_flight=in_flight,
            size=size,
            **_times(common),
        )
        for count in axis.values
    ]
    measure(chosen, [*absent, *small], max(axis.values) + senders, common, axis)


@command.command("accept")
@options.common("accept")
@options.timed()
@click.option("--in-flight", type=click.IntRange(1, 100), default=32, show_default=True,
              help="Connections at the same time.")  # fmt: skip
def accept(in_flight: int, **common: t.Any) -> None:
    """Connections a second, each of which exchanges one byte and is closed."""
    contenders, absent = options.contenders("accept", "echo", common)
    case = cases.accept(contenders, in_flight=in_flight, **_times(common))
    measure([case], absent, in_flight, common)


@command.command("udp")
@options.common("udp")
@options.timed()
@click.option("--in-flight", type=click.IntRange(1, 65_536), default=64, show_default=True,
              help="Datagrams under way.")  # fmt: skip
@numbers("size", 16, 65_507, "Bytes of a datagram.", "64")
def udp(in_flight: int, size: tuple[int, ...], **common: t.Any) -> None:
    """Datagrams answered a second. One that is lost is counted and sent again."""
    axis = options.Axis("size", size)
    contenders, absent = options.contenders("udp", "echo", common, scheme="udp")
    chosen = [
        cases.udp(contenders, in_flight=in_flight, size=value, **_times(common)) for value in size
    ]
    measure(chosen, absent, 1, common, axis)


@command.command("idle")
@options.common("idle")
@numbers("connections", 1, MOST, "Connections held open.", "10000")
@options.grow("connections")
def idle(connections: tuple[int, ...], grow: str | None, **common: t.Any) -> None:
    """Memory of the server process for each connection that does nothing."""
    axis = options.axis(grow, connections=connections)
    contenders, absent = options.contenders("idle", "echo", common)
    chosen = [cases.idle(contenders, connections=count) for count in axis.values]
    measure(chosen, absent, max(axis.values), common, axis)


@command.command("latency")
@options.common("latency")
@options.timed(seconds=5.0)
@click.option("--members", type=click.IntRange(2, 10_000), default=500, show_default=True,
              help="Members of the room.")  # fmt: skip
@click.option("--stalled", type=click.IntRange(1, 9_999), default=50, show_default=True,
              help="How many of them do not read.")  # fmt: skip
@click.option("--rate", type=click.IntRange(1, 100_000), default=100, show_default=True,
              help="Messages a second.")  # fmt: skip
@click.option("--size", type=click.IntRange(11, 1024), default=1000, show_default=True,
              help="Bytes of a delivered chat line.")  # fmt: skip
def bench_latency(members: int, stalled: int, rate: int, size: int, **common: t.Any) -> None:
    """How long deliveries take while some members do not read, beside nobody stalled."""
    if stalled >= members:
        raise click.UsageError(f"--stalled {stalled} must be less than --members {members}")
    contenders, absent = options.contenders("latency", "chat", common)
    contenders, small = servers.leave_out_small(contenders, members)
    case = latency.case(
        contenders, members=members, stalled=stalled, rate=rate, size=size, **_times(common)
    )
    measure([case], [*absent, *small], members + 1, common)


@command.command("start")
@options.common("start")
@click.option("--starts", type=click.IntRange(1, 1000), default=10, show_default=True,
              help="Starts of each server in a round.")  # fmt: skip
def bench_start(starts: int, **common: t.Any) -> None:
    """Time from the start until the server listens, beside python -c pass."""
    contenders, absent = options.contenders("start", "echo", common)
    measure([start.case(contenders, starts=starts)], absent, 1, common)


@command.command("models")
@options.together(options.output(rounds=3))
@click.option("--model", "chosen", multiple=True, default=models.MODELS, show_default=True,
              type=click.Choice(models.MODELS), help="An engine, or workers: two processes with "
              "epoll; may be repeated.")  # fmt: skip
@numbers("clients", 1, MOST, "Clients at the same time.", ",".join(map(str, models.CLIENTS)))
@options.timed(seconds=1.0, warmup=0.2)
def bench_models(chosen: Sequence[str], clients: tuple[int, ...], **common: t.Any) -> None:
    """Thread, process or multiplexing: requests, memory and context switches of every engine.

    Each echoes 64 bytes to every client, which waits for its answer before it asks again.
    iterative is measured with one client: it serves no more at a time.
    """
    why = {name: known.missing(models.engine_of(name)) for name in dict.fromkeys(chosen)}
    absent = [servers.Absent(name, reason) for name, reason in why.items() if reason]
    present = [name for name, reason in why.items() if not reason]
    cases_made = models.make_cases(present, clients, **_times(common))
    if not all(case.contenders for case in cases_made):
        raise click.UsageError(
            f"--clients {max(clients)}: none of these models is here and serves so many at a time"
        )

    def draw(results: Sequence[runner.Result], path: str, caption: str) -> None:
        panels = [
            plot.Panel(f"{metric.title}, {metric.unit}", growth.lines(results, metric))
            for metric in models.PLOTTED
        ]
        plot.draw(path, "clients", clients, panels, caption)

    show = Show(lambda found: models.tables(found, clients), draw)
    measure_and_show(cases_made, absent, max(clients), common, show)
