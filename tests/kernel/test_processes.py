"""Children: they end with their work, obey whom they should, and are reaped."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import typing as t

import pytest
from tests.support import until

from jackfield.kernel import processes
from jackfield.kernel.processes import Ended

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")


def ended(pid: int) -> Ended:
    """How it ended, once it has."""
    seen: list[Ended] = []

    def look() -> bool:
        how = processes.reap(pid)
        if how is not None:
            seen.append(how)
        return bool(seen)

    until(look)
    return seen[0]


def test_a_child_ends_with_its_work() -> None:
    assert ended(processes.fork(lambda: None)) == Ended(0, 0)


def test_an_exception_ends_it_with_a_line(capfd: pytest.CaptureFixture[str]) -> None:
    def fail() -> t.NoReturn:
        raise RuntimeError("told to")

    handler = logging.StreamHandler(os.fdopen(os.dup(2), "w"))
    logger = logging.getLogger("jackfield")
    logger.addHandler(handler)
    try:
        how = ended(processes.fork(fail))
    finally:
        logger.removeHandler(handler)
        handler.stream.close()
    assert (how, str(how)) == (Ended(1, 0), "status 1")
    assert "RuntimeError: told to" in capfd.readouterr().err


@pytest.mark.parametrize("number", processes.PARENTS)
def test_what_a_terminal_sends_to_the_group_is_the_parent_s(number: signal.Signals) -> None:
    def work() -> None:
        os.kill(os.getpid(), number)
        os._exit(3)

    assert ended(processes.fork(work)) == Ended(3, 0)


def test_sigterm_waits_until_it_is_obeyed() -> None:
    def work() -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        signal.signal(signal.SIGTERM, lambda *_: os._exit(4))
        processes.obey_signals()
        os._exit(5)

    assert ended(processes.fork(work)) == Ended(4, 0)


def test_one_that_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    pid = processes.fork(signal.pause)
    assert processes.reap(pid) is None
    processes.send(pid, signal.SIGKILL)
    how = ended(pid)
    assert (how, str(how)) == (Ended(0, signal.SIGKILL), "signal SIGKILL")
    processes.send(pid, signal.SIGKILL)  # nobody there any more
    processes.wait(pid)
    assert processes.reap(pid) == Ended(0, 0)


def test_the_parent_s_signals_are_as_before() -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    handler = signal.getsignal(signal.SIGTERM)
    processes.wait(processes.fork(lambda: None))
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before
    assert signal.getsignal(signal.SIGTERM) is handler


def test_what_was_printed_is_printed_once() -> None:
    program = """
from jackfield.kernel import processes
print("parent", end=" ")
processes.wait(processes.fork(lambda: print("child", end=" ")))
print("parent again")
"""
    said = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert said.stdout == "parent child parent again\n"
