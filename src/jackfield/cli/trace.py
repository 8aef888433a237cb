"""``jackfield trace``: the socket calls of a process or a command, as they happen."""

from __future__ import annotations

import signal
import sys
import typing as t

import click

from jackfield.cli import trace_options
from jackfield.errors import UsageError
from jackfield.tools.strace import Strace
from jackfield.tools.trace import Report


class _Terminated(Exception):
    """SIGTERM: end at once, and in good order."""


@click.command()
@click.argument("target", nargs=-1, metavar="PID | -- COMMAND...", type=click.UNPROCESSED)
@click.option("--summary", is_flag=True, help="Only count calls, errors and bytes, and say at the "
              "end how many of each descriptor.")  # fmt: skip
@click.option(
    "--data",
    "payload",
    type=click.IntRange(0),
    default=0,
    metavar="BYTES",
    help="Show the first bytes of what is sent and received, escaped.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, an object a line.")
def command(target: tuple[str, ...], *, summary: bool, payload: int, as_json: bool) -> int:
    """Show each call that a process, its threads and children make on a socket: when, which
    thread, the call, the descriptor with its 5-tuple, how many bytes of those asked for or which
    error, and the time spent.

    \b
    jackfield trace 4711                          a process that runs
    jackfield trace -- nc 127.0.0.1 8888          a command, until it ends
    jackfield serve echo --trace                  a server of ours, without strace

    It uses strace, which slows the process down while it lasts, and does not see what io_uring
    does. Ctrl-C ends it; the process goes on. On a terminal narrower than 100 columns a line has
    the time within the minute and the other end alone.
    """
    if not target:
        raise UsageError("name a process by its number, or a command behind --")
    signal.signal(signal.SIGTERM, _terminate)
    report = Report(trace_options.say, json=as_json, summary=summary, width=trace_options.width())
    if len(target) == 1 and target[0].isdecimal():
        strace = Strace.attach(int(target[0][:12]), payload)
    else:
        strace = Strace.start(target, payload)
    with strace:
        _follow(strace, report)
        report.end()
        sys.stdout.flush()
        return strace.wait() if strace.traces_a_command else 0


def _follow(strace: Strace, report: Report) -> None:
    """Until it ends. The first Ctrl-C goes to a command anyway, so that its end is seen, too."""
    interrupts = 2 if strace.traces_a_command else 1
    while interrupts:
        try:
            for calls in strace.batches():
                for call in calls:
                    report.add(call)
                sys.stdout.flush()
            return
        except KeyboardInterrupt:
            interrupts -= 1
        except _Terminated:
            break
    strace.stop()


def _terminate(_number: int, _frame: object) -> t.NoReturn:
    raise _Terminated
