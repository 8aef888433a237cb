"""``jackfield engines``: which there are, which ``auto`` takes, and why one is missing."""

from __future__ import annotations

import click

from jackfield import engines


@click.command()
def command() -> None:
    """List the engines, best first."""
    taken = engines.choose(engines.AUTO)
    for name in engines.NAMES:
        why = engines.missing(name)
        state = f"missing: {why}" if why else f"available: {engines.ABOUT[name]}"
        click.echo(f"{name:<9} {state}{' (auto takes this one)' if name == taken else ''}")
