"""What processes use: found by their parents, counted together, and who has ended left out."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import typing as t
from collections.abc import Iterator
from pathlib import Path

import pytest

from jackfield.bench import processes

PROGRAM: t.Final = """
import os, sys
if os.fork():
    print("forked", flush=True)
else:
    os.fork()  # a grandchild, too
sys.stdin.read()
"""


@pytest.fixture
def family() -> Iterator[int]:
    """The pid of a process with a child and a grandchild."""
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"forked\n"
        yield parent.pid


def test_a_tree_begins_with_its_root_and_has_all_generations(family: int) -> None:
    found = processes.tree(family)
    while len(found) < 3:  # the child may not have forked yet
        found = processes.tree(family)
    assert found[0] == family
    assert len(found) == len(set(found)) == 3
    alone = processes.memory(family)
    assert alone < processes.memory_of_all(found) < 10 * alone
    assert processes.used(found).threads == 3


def test_a_process_without_children_is_its_own_tree() -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    assert processes.tree(ended.pid) == [ended.pid]
    assert processes.used([ended.pid]) == (0, 0, 0)
    assert processes.memory_of_all([ended.pid]) == 0


def test_work_and_waiting_are_counted_in_every_thread() -> None:
    before = processes.used([os.getpid()])
    asked, answered, done = threading.Event(), threading.Event(), threading.Event()

    def answer() -> None:
        for _ in range(100):
            asked.wait()
            asked.clear()
            answered.set()
        done.wait()

    thread = threading.Thread(target=answer)
    thread.start()
    for _ in range(100):
        asked.set()
        answered.wait()
        answered.clear()
    after = processes.used([os.getpid()])
    done.set()
    thread.join()
    assert after.threads == before.threads + 1
    assert after.cpu > before.cpu
    assert after.switches - before.switches >= 100  # one of the two waits each time


def test_a_name_with_brackets_and_spaces_misleads_nobody(tmp_path: Path) -> None:
    program = tmp_path / "a) 1 2 (b"
    program.symlink_to("/bin/cat")
    with subprocess.Popen([program], stdin=subprocess.PIPE) as child:
        assert child.pid in processes.tree(os.getpid())
