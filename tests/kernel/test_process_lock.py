"""A lock between processes: it keeps others out, and outlives no holder."""

from __future__ import annotations

import os
import signal
import typing as t

import pytest

from jackfield.kernel import processes
from jackfield.kernel.process_lock import ProcessLock

if not hasattr(os, "fork"):
    pytest.skip("this system cannot fork", allow_module_level=True)


@pytest.fixture
def lock() -> t.Iterator[ProcessLock]:
    lock = ProcessLock()
    yield lock
    lock.close()
    lock.close()


def test_one_process_at_a_time(lock: ProcessLock) -> None:
    """Children add to a number in a file, by reading and writing it: no step is lost."""
    counter = os.memfd_create("counter") if hasattr(os, "memfd_create") else -1
    if counter < 0:
        pytest.skip("this system has no memfd_create, for a number that processes share")
    os.pwrite(counter, b"%8d" % 0, 0)
    steps, children = 200, 4

    def count() -> None:
        for _ in range(steps):
            with lock:
                before = int(os.pread(counter, 8, 0))
                os.pwrite(counter, b"%8d" % (before + 1), 0)

    for pid in [processes.fork(count) for _ in range(children)]:
        processes.wait(pid)
    assert int(os.pread(counter, 8, 0)) == steps * children
    os.close(counter)


def test_a_holder_that_is_killed_lets_go(lock: ProcessLock) -> None:
    ready, say = os.pipe()

    def hold() -> None:
        with lock:
            os.write(say, b"x")
            signal.pause()

    pid = processes.fork(hold)
    assert os.read(ready, 1) == b"x"
    os.kill(pid, signal.SIGKILL)
    with lock:
        pass
    processes.wait(pid)
    os.close(ready)
    os.close(say)


def test_an_exception_lets_go(lock: ProcessLock) -> None:
    with pytest.raises(ZeroDivisionError), lock:
        raise ZeroDivisionError

    def take() -> None:
        with lock:
            pass

    processes.wait(processes.fork(take))
