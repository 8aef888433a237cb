"""Options that the verbs of ``jackfield bench`` share: what is compared, what grows, how long.

``N[,N]...`` is one number, or a list over which figures are shown as they grow.
"""

from __future__ import annotations

import typing as t
from collections.abc import Callable, Sequence

import click

from jackfield.bench import c_limits, servers

Verb = t.TypeVar("Verb", bound=Callable[..., None])

GROWTH: t.Final[dict[str, tuple[int, ...]]] = {
    "connections": (1, 10, 100, 1000, 5000, 15_000),
    "size": (16, 64, 256, 1024, 4096, 16_384, 65_536),
    "members": (1, 10, 100, 500, 1000, 5000),
}
"""What ``--grow`` measures: from what fits into any cache to what a machine of today serves."""


class Numbers(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """``N[,N]...``, each from ``least`` to ``most``: a tuple of them, in order, each once."""

    name = "N[,N]..."

    def __init__(self, least: int, most: int) -> None:
        self.range = click.IntRange(least, most)

    def convert(
        self, value: t.Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        words: t.Iterable[t.Any] = value.split(",") if isinstance(value, str) else value
        return tuple(sorted({int(self.range.convert(word, param, ctx)) for word in words}))


class Axis(t.NamedTuple):
    """What grows, and over which numbers; one number: nothing does."""

    name: str
    values: tuple[int, ...]


def numbers(
    name: str, least: int, most: int, help: str, default: str = ""
) -> Callable[[Verb], Verb]:
    """The option ``--name N[,N]...``, which may be repeated: a tuple of numbers."""

    def flatten(
        _context: click.Context, _option: click.Parameter, lists: Sequence[tuple[int, ...]]
    ) -> tuple[int, ...]:
        return tuple(sorted({number for some in lists for number in some}))

    return click.option(
        f"--{name}",
        type=Numbers(least, most),
        multiple=True,
        callback=flatten,
        default=[default] if default else None,
        help=f"{help}  [default: {default}]" if default else help,
    )


def grow(*names: str) -> Callable[[Verb], Verb]:
    """The option ``--grow NAME``."""
    shown = "; ".join(f"{name}: {GROWTH[name][0]} to {GROWTH[name][-1]:,}" for name in names)
    return click.option("--grow", type=click.Choice(names), help=f"Let it grow. {shown}.")


def axis(chosen: str | None, **given: Sequence[int]) -> Axis:
    """The one of ``given`` that has several numbers, or that ``--grow`` names; else the first.

    Raises ``click.UsageError`` when more than one grows.
    """
    several = [name for name, values in given.items() if len(values) > 1 and name != chosen]
    if len(several) > (0 if chosen else 1):
        both = " and ".join(f"--{name}" for name in ([chosen] if chosen else []) + several)
        raise click.UsageError(f"{both} have several values: let one grow, the other stand")
    if chosen:
        return Axis(chosen, GROWTH[chosen])
    name = several[0] if several else next(iter(given))
    return Axis(name, tuple(given[name]))


def common(case: str) -> Callable[[Verb], Verb]:
    """The options that every comparison with peers has."""
    peers = (*servers.peer_names(case), *c_limits.names(case))
    options = (
        click.option("--engine", "engines", multiple=True, default=("auto",), show_default=True,
                     help="An engine of jackfield to measure; may be repeated."),
        click.option("--peer", "peers", multiple=True, default=peers, show_default=True,
                     type=click.Choice([*peers, "none"]),
                     help="A peer, or limit written in C, to compare with; may be repeated."),
        *output(rounds=5),
    )  # fmt: skip
    return together(options)


def output(rounds: int) -> tuple[Callable[[Verb], Verb], ...]:
    """How often it is measured, and where the figures go."""
    return (
        click.option("--rounds", type=click.IntRange(1), default=rounds, show_default=True,
                     help="Rounds, in each of which every server is measured once."),
        click.option("--json", "json_file", type=click.Path(dir_okay=False, allow_dash=True),
                     help="Write the results as JSON to this file ('-': standard output)."),
        click.option("--save", "save_name", metavar="NAME",
                     help="Write the results as JSON to bench/results/NAME.json."),
        click.option("--plot", "picture", type=click.Path(dir_okay=False), metavar="FILE.png",
                     help="Draw the figures, too (needs matplotlib)."),
    )  # fmt: skip


def together(options: Sequence[Callable[[Verb], Verb]]) -> Callable[[Verb], Verb]:
    """One decorator of several, shown in this order."""

    def decorate(verb: Verb) -> Verb:
        for option in reversed(options):
            verb = option(verb)
        return verb

    return decorate


def timed(seconds: float = 2.0, warmup: float = 0.5) -> Callable[[Verb], Verb]:
    """The options of a measurement that runs for some time."""
    return together((
        click.option(
            "--seconds", type=click.FloatRange(0.05, 600), default=seconds, show_default=True,
            help="Length of the measured part of each run.",
        ),
        click.option(
            "--warmup", type=click.FloatRange(0, 60), default=warmup, show_default=True,
            help="Seconds of load before the measured part.",
        ),
    ))  # fmt: skip


def contenders(
    case: str, services: str | Sequence[str], options: dict[str, t.Any], scheme: str = "tcp"
) -> tuple[list[servers.Contender], list[servers.Absent]]:
    """Ours, the peers and the limits that the options name; and the peers that are not here."""
    chosen = [services] if isinstance(services, str) else list(dict.fromkeys(services))
    engines = dict.fromkeys(options["engines"])
    ours = [servers.jackfield(one, engine, scheme) for engine in engines for one in chosen]
    wanted = [name for name in dict.fromkeys(options["peers"]) if name != "none"]
    limits = [name for name in wanted if name in c_limits.names(case)]
    peers, absent = servers.find_peers(case, [name for name in wanted if name not in limits])
    return [*ours, *peers, *c_limits.find(case, limits)], absent
