"""What ``trace`` and ``serve --trace`` share: where the lines go, and the options of the latter."""

from __future__ import annotations

import os
import sys

from jackfield import lazy_typing as t
from jackfield.cli.options import Option, count
from jackfield.errors import UsageError

if t.TYPE_CHECKING:
    from jackfield.tools.trace import CallTrace, Report

WIDE: t.Final = 100
"""Columns of what is no terminal: enough for all there is (``tools.trace.WIDE``)."""


def say(text: str) -> None:
    """A line on standard output, written when its buffer is full or flushed."""
    sys.stdout.write(text + "\n")


def say_now(text: str) -> None:
    """A line that is written at once, and in one piece: other processes may write, too."""
    try:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        # What it holds would be tried again at the end of the server, which is no failure of it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise


def width() -> int:
    """Columns of the terminal; a file or pipe has room for everything."""
    if not sys.stdout.isatty():
        return WIDE
    import shutil

    return shutil.get_terminal_size((WIDE, 24)).columns


SERVING: t.Final = (
    Option("--trace", "Write each call on a socket to standard output.", kind=bool),
    Option(
        "--trace-as",
        "How: a line each, a JSON object each, or counted at the end.  [default: lines]",
        kind=("lines", "json", "summary"),
    ),
    Option(
        "--trace-data",
        "With --trace: the first bytes of what is sent and received, too, escaped.",
        kind=count,
        default=0,
        metavar="BYTES",
    ),
)
"""Options of ``serve``."""


def take(options: dict[str, t.Any], engine: str) -> tuple[list[CallTrace], Report | None]:
    """Take the options of ``serving`` out of ``options``: the instruments, and the report that is
    to be ended when the server is."""
    form = options.pop("trace_as")
    wanted = options.pop("trace") or form is not None
    payload = options.pop("trace_data")
    if not wanted:
        if payload:
            raise UsageError("--trace-data belongs to --trace")
        return [], None
    if form == "summary" and (options["workers"] or engine == "fork"):
        raise UsageError(
            "--trace-as summary counts in one process; with several, use --trace-as json"
        )
    from jackfield.tools.trace import CallTrace, Report  # only now: serving needs none of it

    report = Report(say_now, json=form == "json", summary=form == "summary", width=width())
    return [CallTrace(report, payload)], report
