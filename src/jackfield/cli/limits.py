"""``jackfield limits``: what bounds this process and machine, and with --probe, by trying it."""

from __future__ import annotations

import dataclasses
import json
import shutil
import textwrap

import click

from jackfield.errors import UsageError
from jackfield.tools import limits as surveyed
from jackfield.tools import probe as prober
from jackfield.tools.limits import Limit, amount

DEFAULTS = ", ".join(f"{count} {kind}" for kind, count in prober.CEILINGS.items())


@click.command()
@click.argument("pid", type=click.IntRange(1), required=False)
@click.option(
    "--probe",
    "kind",
    type=click.Choice(prober.KINDS),
    help="Make as many as can be, in a process of their own, and say what stopped it.",
)
@click.option(
    "--ceiling",
    type=click.IntRange(0),
    help=f"With --probe: make no more than this.  [default: {DEFAULTS}]",
)
@click.option(
    "--seconds",
    type=click.FloatRange(0),
    help=f"With --probe: stop after this time.  [default: {prober.SECONDS:g}]",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(
    pid: int | None, kind: str | None, ceiling: int | None, seconds: float | None, as_json: bool
) -> None:
    """Show what bounds this process, or PID, and the machine: what each limit means for a
    server, who sets it, and the command that raises it.

    \b
    Can there be as many sockets as ports? As many threads as sockets?
      jackfield limits                    what is set
      jackfield limits --probe threads    what can be had
    """
    if kind is None:
        if ceiling is not None or seconds is not None:
            raise UsageError("--ceiling and --seconds belong to --probe")
        _show(surveyed.survey(pid), as_json)
        return
    if pid is not None:
        raise UsageError("--probe tries this process's own limits; leave the PID out")
    probed = prober.probe(kind, ceiling, prober.SECONDS if seconds is None else seconds)
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(probed), indent=2))
    else:
        _show_probed(probed)


def _width() -> int:
    return max(40, shutil.get_terminal_size((100, 24)).columns)


def _say(text: str, indent: str = "", hanging: str = "") -> None:
    """A paragraph. Long words, such as commands, are not broken."""
    click.echo(
        textwrap.fill(
            text,
            _width(),
            initial_indent=indent,
            subsequent_indent=indent + hanging,
            break_long_words=False,
            break_on_hyphens=False,
        )
    )


def _show(limits: list[Limit], as_json: bool) -> None:
    answers = surveyed.answers(limits)
    if as_json:
        both = {
            "limits": [dataclasses.asdict(limit) for limit in limits],
            "answers": [dataclasses.asdict(answer) for answer in answers],
        }
        click.echo(json.dumps(both, indent=2))
        return
    for limit in limits:
        _show_limit(limit)
    for answer in answers:
        _say(f"{answer.question} {'Yes' if answer.yes else 'No'}: {answer.why}.", hanging="  ")


def _show_limit(limit: Limit) -> None:
    value = amount(limit.value, limit.unit)
    more = f" ({limit.text})" if limit.text else ""
    used = "" if limit.used is None else f", {amount(limit.used, limit.unit)} in use"
    _say(f"{limit.name}  {value}{more}{used}", hanging="    ")
    _say(limit.means, "    ")
    _say(f"set by: {limit.setter}", "    ", "  ")
    if limit.command:
        _say(f"raise:  {limit.command}", "    ", "  ")
    click.echo()


def _show_probed(probed: prober.Probed) -> None:
    if probed.stopped_by == "ceiling":
        why = "the ceiling that was set; a higher one: --ceiling"
    elif probed.stopped_by == "time":
        why = "the time limit; a longer one: --seconds"
    else:
        why = f"{probed.stopped_by} ({probed.error})"
    took = _time(probed.seconds)
    _say(f"{probed.made} {probed.kind} in {took}; stopped by {why}", hanging="  ")
    if not probed.made:
        return
    own = "too little to tell" if probed.own_memory is None else amount(probed.own_memory, "bytes")
    _say(f"each took {_time(probed.each)}", "  ")
    _say(f"memory of the process that made them, each: {own}", "  ", "  ")
    if probed.machine_memory is not None:
        machine = amount(probed.machine_memory, "bytes")
        _say(f"memory that the machine has less, each: {machine} (others' changes included)",
             "  ", "  ")  # fmt: skip
    _advise(probed)


def _time(seconds: float) -> str:
    for unit, scale in (("s", 1.0), ("ms", 1e3)):
        if seconds * scale >= 1:
            return f"{seconds * scale:.3g} {unit}"
    return f"{seconds * 1e6:.3g} us"


def _advise(probed: prober.Probed) -> None:
    """The command that raises the limit that was met."""
    for limit in surveyed.survey():
        if limit.name == probed.stopped_by and limit.command:
            _say(f"raise:  {limit.command}", "  ", "  ")
