"""The command line as click sees it: all verbs, their help, and what is wrong with a line."""

from __future__ import annotations

import importlib
import typing as t
from collections.abc import Sequence

import click

from jackfield import __version__
from jackfield.errors import JackfieldError, UsageError

VERBS: t.Final = (
    "serve",
    "connect",
    "engines",
    "bench",
    "fds",
    "sockets",
    "limits",
    "resolve",
    "wire",
    "trace",
    "status",
    "top",
)


class Verbs(click.Group):
    """Loads only the verb that is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        module = importlib.import_module(f"jackfield.cli.{cmd_name}")
        command: click.Command = module.command
        return command


@click.group(
    cls=Verbs,
    context_settings={"help_option_names": ["-h", "--help"]},
    invoke_without_command=True,
)
@click.version_option(__version__, prog_name="jackfield")
@click.pass_context
def command(context: click.Context) -> None:
    """Serve many clients over sockets, and see every socket while you do."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help(), err=True)
        context.exit(2)


def run(arguments: Sequence[str]) -> int:
    """Do what ``arguments`` say; the exit status. Raises ``UsageError`` for what click does not
    take, with where to read more, and ``KeyboardInterrupt``."""
    try:
        status = command.main(arguments, prog_name="jackfield", standalone_mode=False)
    except click.Abort as exc:
        raise KeyboardInterrupt from exc
    except click.ClickException as exc:
        ours = UsageError if exc.exit_code == 2 else JackfieldError
        raise ours(_one_line(exc)) from exc
    return status if isinstance(status, int) else 0


def _one_line(exc: click.ClickException) -> str:
    """click's message without its usage block, and where to read more."""
    message = " ".join(exc.format_message().split())
    context = getattr(exc, "ctx", None)
    path = context.command_path if context else "jackfield"
    return f"{message.rstrip('.')}; see {path} --help"
