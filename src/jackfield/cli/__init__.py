"""The command line: a file a verb, imported when it is called. Parses and prints, nothing else.

A user's mistake is one line on standard error and exit status 2; a failure is one line and 1.
"""

from __future__ import annotations

import importlib
import os
import sys
import typing as t
from collections.abc import Sequence

import click

from jackfield import __version__
from jackfield.errors import JackfieldError, SystemRefused, UsageError

VERBS: t.Final = ("serve", "connect", "engines", "bench")


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


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    try:
        status = command.main(arguments, prog_name="jackfield", standalone_mode=False)
        if sys.stdout is not None:  # None: it was closed before we began
            sys.stdout.flush()
        return status if isinstance(status, int) else 0
    except click.ClickException as exc:
        return _fail(_one_line(exc), exc.exit_code)
    except (UsageError, SystemRefused) as exc:
        return _fail(str(exc), 2)
    except JackfieldError as exc:
        return _fail(str(exc), 1)
    except BrokenPipeError:
        # Whoever read our output (head, say) has seen enough. Python would complain at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as exc:
        return _fail(f"cannot write: {exc.strerror}", 1)
    except (KeyboardInterrupt, click.Abort):
        return 130  # what a shell reports of a program that SIGINT ended


def _one_line(exc: click.ClickException) -> str:
    """click's message without its usage block, and where to read more."""
    message = " ".join(exc.format_message().split())
    context = getattr(exc, "ctx", None)
    path = context.command_path if context else "jackfield"
    return f"{message.rstrip('.')}; see {path} --help"


def _fail(message: str, status: int) -> int:
    click.echo(f"jackfield: {message}", err=True)
    return status
