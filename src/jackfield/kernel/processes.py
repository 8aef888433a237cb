"""Child processes: fork one that never comes back into its parent's code, and reap it.

Must not know what children do.
"""

from __future__ import annotations

import os
import signal
import sys
import typing as t
import warnings
from collections.abc import Callable

from jackfield.log import log

PARENTS: t.Final = tuple(
    number
    for name in ("SIGINT", "SIGHUP", "SIGUSR1")
    if (number := getattr(signal, name, None)) is not None
)
"""What a terminal, or ``kill`` with a group's number, sends to all: the parent says itself what is
to happen. (Windows lacks two of them, and fork.)"""

WAITING: t.Final = (signal.SIGTERM,)
"""Kept from a child until it has a handler: one that comes a moment after the fork is obeyed in
good order, not by sudden death."""


def fork(work: Callable[[], object]) -> int:
    """Run ``work`` in a new process, which ends with it; return its number (pid).

    The child ends by ``os._exit``, so that nothing the parent has under way is done twice: no exit
    handler, no test runner, and what the parent has printed is flushed before. An exception is
    logged and ends it with status 1. Raises ``OSError`` (EAGAIN) where no more processes are
    allowed.

    In the child the signals that are the parent's (``PARENTS``) are ignored, and SIGTERM waits
    until ``work`` calls ``obey_signals``.
    """
    _flush()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {*PARENTS, *WAITING})
    try:
        with warnings.catch_warnings():
            # Python 3.12 warns where other threads run: they do not in the child, and a lock that
            # one of them held stays locked. Replicated objects' and logging's are made anew.
            warnings.simplefilter("ignore", DeprecationWarning)
            pid = os.fork()
        if not pid:
            _live(work)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return pid


def _live(work: Callable[[], object]) -> t.NoReturn:
    status = 1
    try:
        signal.set_wakeup_fd(-1)
        for number in WAITING:
            signal.signal(number, signal.SIG_DFL)
        for number in PARENTS:
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, PARENTS)
        work()
        status = 0
    except BaseException:
        log().exception("exception in process %d", os.getpid())
    finally:
        _flush()
        os._exit(status)


def obey_signals() -> None:
    """In a child: from now on SIGTERM is delivered, and one that came before."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, WAITING)


def _flush() -> None:
    """What was printed must be neither lost nor printed by two."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, OSError, ValueError):  # there is none, or nobody reads it
            pass


class Ended(t.NamedTuple):
    """How a child ended: by ``signal`` (0: none), or with exit ``status``."""

    status: int
    signal: int

    def __str__(self) -> str:
        if self.signal:
            return f"signal {signal.Signals(self.signal).name}"
        return f"status {self.status}"


def reap(pid: int) -> Ended | None:
    """How the child ended, leaving no zombie; None while it runs."""
    try:
        ended, how = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:  # somebody else reaped it
        return Ended(0, 0)
    if not ended:
        return None
    if os.WIFSIGNALED(how):
        return Ended(0, os.WTERMSIG(how))
    return Ended(os.WEXITSTATUS(how), 0)


def wait(pid: int) -> None:
    """Wait until a child that was killed has ended, and reap it."""
    try:
        os.waitpid(pid, 0)
    except ChildProcessError:
        pass


def send(pid: int, number: signal.Signals) -> None:
    """Signal a child that has not been reaped yet."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass
