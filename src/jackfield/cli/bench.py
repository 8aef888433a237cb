"""``jackfield bench echo|fanout|idle|models``: measure jackfield on this machine, beside its peers
or under each of its engines.

Options and printing only; what is measured, and how, is jackfield.bench. The progress bar goes
to standard error, and only to a terminal; the table or the JSON goes to standard output.
"""

from __future__ import annotations

import contextlib
import re
import typing as t
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from jackfield import engines as known
from jackfield.bench import cases, cores, load, machine, models, plot, report, runner, servers

RESULTS = Path("bench") / "results"
"""Where --save keeps results, below the current directory."""

Verb = t.TypeVar("Verb", bound=Callable[..., None])


@click.group("bench")
def command() -> None:
    """Measure jackfield beside its peers, or its engines side by side: same machine, same load,
    same run.

    The server has one core to itself, the load generator (compiled C) another. Linux only.
    """


def _common(case: str) -> Callable[[Verb], Verb]:
    """The options that every measurement has."""
    peers = servers.peer_names(case)
    options = (
        click.option("--engine", "engines", multiple=True, default=("auto",), show_default=True,
                     help="An engine of jackfield to measure; may be repeated."),
        click.option("--peer", "peers", multiple=True, default=peers, show_default=True,
                     type=click.Choice([*peers, "none"]),
                     help="A peer to compare with; may be repeated."),
        *_output(rounds=5),
    )  # fmt: skip
    return _all(options)


def _output(rounds: int) -> tuple[Callable[[Verb], Verb], ...]:
    """How often it is measured, and where the figures go."""
    return (
        click.option("--rounds", type=click.IntRange(1), default=rounds, show_default=True,
                     help="Rounds, in each of which every server is measured once."),
        click.option("--json", "json_file", type=click.Path(dir_okay=False, allow_dash=True),
                     help="Write the results as JSON to this file ('-': standard output)."),
        click.option("--save", "save_name", metavar="NAME",
                     help=f"Write the results as JSON to {RESULTS}/NAME.json."),
    )  # fmt: skip


def _all(options: Sequence[Callable[[Verb], Verb]]) -> Callable[[Verb], Verb]:
    def decorate(verb: Verb) -> Verb:
        for option in reversed(options):
            verb = option(verb)
        return verb

    return decorate


def _timed(verb: Verb) -> Verb:
    """The options of a measurement that runs for some time."""
    seconds = click.option(
        "--seconds", type=click.FloatRange(0.05, 600), default=2.0, show_default=True,
        help="Length of the measured part of each run.",
    )  # fmt: skip
    warmup = click.option(
        "--warmup", type=click.FloatRange(0, 60), default=0.5, show_default=True,
        help="Seconds of load before the measured part.",
    )  # fmt: skip
    return seconds(warmup(verb))


@command.command("echo")
@_common("echo")
@_timed
@click.option(
    "--connections",
    type=click.IntRange(1),
    multiple=True,
    default=(50, 1000),
    show_default=True,
    help="Connections at the same time; may be repeated.",
)
@click.option("--size", type=click.IntRange(1, 2**20), default=64, show_default=True,
              help="Bytes of a request.")  # fmt: skip
def echo(connections: Sequence[int], size: int, **common: t.Any) -> None:
    """Requests answered a second, one in flight on each connection."""
    contenders, absent = _contenders("echo", "echo", common)
    times = {key: common[key] for key in ("seconds", "warmup")}
    chosen = [
        cases.echo(contenders, connections=count, size=size, **times) for count in connections
    ]
    _measure(chosen, absent, max(connections), common)


@command.command("fanout")
@_common("fanout")
@_timed
@click.option(
    "--members",
    type=click.IntRange(1, 10_000),
    default=500,
    show_default=True,
    help="Members of the room.",
)
@click.option(
    "--senders",
    type=click.IntRange(1, 10_000),
    default=50,
    show_default=True,
    help="How many of them send.",
)
@click.option(
    "--in-flight",
    type=click.IntRange(1),
    default=500,
    show_default=True,
    help="Messages under way at a time, a multiple of the senders.",
)
@click.option("--size", type=click.IntRange(11, 1024), default=52, show_default=True,
              help="Bytes of a delivered chat line.")  # fmt: skip
def fanout(members: int, senders: int, in_flight: int, size: int, **common: t.Any) -> None:
    """Messages delivered a second in one chat room: messages times members."""
    if senders > members or in_flight % senders:
        raise click.UsageError(
            f"--senders {senders} must not exceed --members {members}, "
            f"and --in-flight {in_flight} must be a multiple of it"
        )
    contenders, absent = _contenders("fanout", "chat", common)
    case = cases.fanout(
        contenders,
        members=members,
        senders=senders,
        in_flight=in_flight,
        size=size,
        seconds=common["seconds"],
        warmup=common["warmup"],
    )
    _measure([case], absent, members + senders, common)


@command.command("idle")
@_common("idle")
@click.option("--connections", type=click.IntRange(1), default=10_000, show_default=True,
              help="Connections held open.")  # fmt: skip
def idle(connections: int, **common: t.Any) -> None:
    """Memory of the server process for each connection that does nothing."""
    contenders, absent = _contenders("idle", "echo", common)
    _measure([cases.idle(contenders, connections=connections)], absent, connections, common)


@command.command("models")
@_all(_output(rounds=3))
@click.option("--model", "chosen", multiple=True, default=models.MODELS, show_default=True,
              type=click.Choice(models.MODELS), help="An engine, or workers: two processes with "
              "epoll; may be repeated.")  # fmt: skip
@click.option("--clients", type=click.IntRange(1), multiple=True, default=models.CLIENTS,
              show_default=True, help="Clients at the same time; may be repeated.")  # fmt: skip
@click.option("--seconds", type=click.FloatRange(0.05, 600), default=1.0, show_default=True,
              help="Length of the measured part of each run.")  # fmt: skip
@click.option("--warmup", type=click.FloatRange(0, 60), default=0.2, show_default=True,
              help="Seconds of load before the measured part.")  # fmt: skip
@click.option("--plot", "picture", type=click.Path(dir_okay=False), metavar="FILE.png",
              help="Draw the figures, too (needs matplotlib).")  # fmt: skip
def bench_models(
    chosen: Sequence[str],
    clients: Sequence[int],
    seconds: float,
    warmup: float,
    picture: str | None,
    **common: t.Any,
) -> None:
    """Thread, process or multiplexing: requests, memory and context switches of every engine.

    Each echoes 64 bytes to every client, which waits for its answer before it asks again.
    iterative is measured with one client: it serves no more at a time.
    """
    if picture:
        plot.check(picture)
    why = {name: known.missing(models.engine_of(name)) for name in dict.fromkeys(chosen)}
    absent = [servers.Absent(name, reason) for name, reason in why.items() if reason]
    present = [name for name, reason in why.items() if not reason]
    clients = sorted(set(clients))
    cases_made = models.make_cases(present, clients, seconds=seconds, warmup=warmup)
    if not all(case.contenders for case in cases_made):
        raise click.UsageError(
            f"--clients {max(clients)}: none of these models is here and serves so many at a time"
        )
    results = _measure(
        cases_made, absent, max(clients), common, lambda found: models.tables(found, clients)
    )
    if picture:
        panels = [
            plot.Panel(f"{metric.title}, {metric.unit}", models.lines(results, metric))
            for metric in models.PLOTTED
        ]
        facts = machine.facts()
        caption = f"echo of {models.SIZE} bytes, server on one core: {facts['cpu']}, "
        plot.draw(picture, clients, panels, caption + f"Linux {facts['kernel']}, {facts['python']}")


def _contenders(
    case: str, service: str, common: dict[str, t.Any]
) -> tuple[list[servers.Contender], list[servers.Absent]]:
    ours = [servers.jackfield(service, engine) for engine in dict.fromkeys(common["engines"])]
    wanted = [name for name in dict.fromkeys(common["peers"]) if name != "none"]
    peers, absent = servers.find_peers(case, wanted)
    return [*ours, *peers], absent


def _measure(
    chosen: Sequence[cases.Case],
    absent: Sequence[servers.Absent],
    connections: int,
    common: dict[str, t.Any],
    tables: Callable[[Sequence[runner.Result]], list[Table]] = report.tables,
) -> list[runner.Result]:
    """Run the cases one after the other, then print the tables or write the JSON."""
    json_file, target = common["json_file"], _save_path(common["save_name"])
    cores.check_system()
    cores.raise_descriptor_limit(connections)
    load.program()
    turns = common["rounds"] * sum(len(case.contenders) for case in chosen)
    with _progress(turns) as step:
        results = [runner.run(case, common["rounds"], step) for case in chosen]
    text = report.as_json(results, command=_command(), machine=machine.facts(), absent=absent)
    if json_file != "-":
        _print(results, absent, tables(results))
    if json_file:
        with click.open_file(json_file, "w") as file:
            file.write(text)
    if target:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    return results


def _print(
    results: Sequence[runner.Result], absent: Sequence[servers.Absent], tables: Sequence[Table]
) -> None:
    console = Console()
    console.width = max(console.width, report.WIDTH)  # a narrow terminal wraps, nothing is cut
    facts = machine.facts()
    where = "one core each" if facts["pinned"] else "ONE core for both: figures are too low"
    console.print(
        f"{facts['cpu']}, Linux {facts['kernel']}, {facts['python']}; server and load: {where}",
        highlight=False,
    )
    for table in tables:
        console.print(table)
    for result in results:
        for line in report.ratio_lines(result):
            console.print(line, style="bold", highlight=False, soft_wrap=True)
    for line in report.warning_lines(results):
        console.print(f"warning: {line}", style="yellow", highlight=False, soft_wrap=True)
    for peer in absent:
        console.print(f"left out: {peer.name}: {peer.reason}", highlight=False, markup=False)


@contextlib.contextmanager
def _progress(total: int) -> Iterator[Callable[[str], None]]:
    """A bar that moves one step per server and round; nothing where stderr is no terminal."""
    console = Console(stderr=True)
    # Twice a second: the bar shares the machine with what is being measured.
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:.0f}/{task.total:.0f}"),
        TimeElapsedColumn(),
        console=console,
        disable=not console.is_terminal,
        refresh_per_second=2,
        transient=True,
    ) as bar:
        task = bar.add_task("", total=total)
        turns = iter(range(total))

        def step(name: str) -> None:
            bar.update(task, description=name, completed=next(turns))

        yield step


def _save_path(name: str | None) -> Path | None:
    if name is None:
        return None
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise click.UsageError(f"--save {name!r}: a name of letters, digits and . _ - is needed")
    return RESULTS / f"{name.removesuffix('.json')}.json"


def _command() -> str:
    """The command that repeats this measurement: every option, those of output left out."""
    context = click.get_current_context()
    words = [f"jackfield bench {context.info_name}"]
    for option in context.command.params:
        value = context.params.get(option.name or "")
        if value is None or option.name in ("json_file", "save_name", "picture"):
            continue
        values = value if isinstance(value, tuple) else (value,)
        words += [f"{option.opts[0]} {one}" for one in values]
    return " ".join(words)
