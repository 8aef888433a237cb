"""``jackfield resolve``: names to addresses, and the bytes that bind() and connect() get."""

from __future__ import annotations

import json
import shutil
import textwrap
import typing as t

import click

from jackfield.address import Found
from jackfield.endpoint import printable
from jackfield.tools import resolve, sockaddr
from jackfield.tools.sockaddr import Field

LABEL = 11
"""Columns before the bytes: two of indent, the longest name, one to part them."""


@click.command()
@click.argument("name", metavar="NAME:SERVICE")
@click.option("--type", "kind", type=click.Choice(["tcp", "udp"]), help="Only addresses for this.")
@click.option(
    "--passive", is_flag=True, help="To bind to: without a name, every address of the machine."
)
@click.option("--canonical", is_flag=True, help="Ask for the name's canonical form, too.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(name: str, *, kind: str | None, passive: bool, canonical: bool, as_json: bool) -> None:
    """Show which addresses NAME:SERVICE stands for, in the order in which getaddrinfo gives
    them, and the bytes of each sockaddr: what bind() and connect() really get.

    \b
    NAME:SERVICE  localhost:http, example.org:443, [::1]:80, :8888,
                  or an endpoint: tcp://localhost:http, udp://:53, unix:/path,
                  unix:@abstract, unixgram:/path, fd://3
    """
    found = resolve.find(name, kind=kind or "", passive=passive, canonical=canonical)
    if as_json:
        click.echo(json.dumps([_as_dict(one) for one in found], indent=2))
        return
    if canonical and found[0].canonical:
        click.echo(f"canonical name: {printable(found[0].canonical)}")
    for one in found:
        _show(one)


def _as_dict(found: Found) -> dict[str, t.Any]:
    address = found.address
    family, kind = resolve.described(address).split()
    parts = sockaddr.fields(address)
    return {
        "address": str(address),
        "family": family,
        "type": kind,
        "canonical": printable(found.canonical),
        "bytes": b"".join(field.data for field in parts).hex(),
        "fields": [
            {"name": f.name, "bytes": f.data.hex(), "meaning": f.meaning, "order": f.order}
            for f in parts
        ],
    }


def _show(found: Found) -> None:
    parts = sockaddr.fields(found.address)
    size = sum(len(field.data) for field in parts)
    _say(f"{found.address}  {resolve.described(found.address)}, {size} bytes", "", "  ")
    for field in parts:
        _show_field(field)


def _show_field(field: Field) -> None:
    order = f", {field.order}" if field.order else ""
    hexadecimal = field.data.hex(" ", -2 if len(field.data) > 4 else 1)
    label = f"  {field.name:<{LABEL - 2}}"
    _say(f"{hexadecimal}  {field.meaning}{order}", label, " " * LABEL)


def _say(text: str, indent: str, hanging: str) -> None:
    """One line, or several on a narrow terminal; an address is not broken."""
    width = max(40, shutil.get_terminal_size((100, 24)).columns)
    click.echo(
        textwrap.fill(
            text,
            width,
            initial_indent=indent,
            subsequent_indent=hanging,
            break_long_words=False,
            break_on_hyphens=False,
        )
    )
