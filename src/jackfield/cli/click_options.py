"""Tables of options (``options``) as click takes them."""

from __future__ import annotations

import typing as t
from collections.abc import Callable, Sequence

import click

from jackfield.cli.options import Kind, Option, count, seconds

Command = t.TypeVar("Command", bound=Callable[..., t.Any])


def add(options: Sequence[Option], command: Command) -> Command:
    """Give ``command`` these options, in the order of the table."""
    for option in reversed(options):
        command = _decorator(option)(command)
    return command


def _decorator(option: Option) -> Callable[[Command], Command]:
    if option.kind is bool:
        return click.option(option.name, is_flag=True, help=option.help)
    kind = option.kind
    more: dict[str, t.Any] = {}
    if not isinstance(kind, tuple) and kind not in _TYPES:
        more["callback"] = _reading(kind)
    return click.option(
        option.name,
        type=click.Choice(kind) if isinstance(kind, tuple) else _TYPES.get(kind, click.STRING),
        default=option.unset(),
        show_default=option.show_default,
        metavar=option.metavar,
        multiple=option.multiple,
        help=option.help,
        **more,
    )


_TYPES: t.Final[dict[Kind, t.Any]] = {
    str: click.STRING,
    count: click.IntRange(min=0),
    seconds: click.FloatRange(min=0),
}


def _reading(kind: Callable[[str], t.Any]) -> Callable[[t.Any, t.Any, str | None], t.Any]:
    """For a ``kind`` that click does not know: it says itself what is wrong."""

    def read(_context: t.Any, _option: t.Any, text: str | None) -> t.Any:
        try:
            return None if text is None else kind(text)
        except ValueError as exc:
            raise click.BadParameter(str(exc)) from exc

    return read
