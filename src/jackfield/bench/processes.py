"""What a server's processes have used, all of them together: memory, CPU time, context switches.

Reads Linux's /proc (proc(5)). A server may be one process or a parent with a thousand children;
whoever ends between two looks is left out. Must not know what the processes do.
"""

from __future__ import annotations

import re
import typing as t
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from jackfield.errors import SystemRefused

PROC: t.Final = Path("/proc")
SWITCHES: t.Final = re.compile(r"^(?:non)?voluntary_ctxt_switches:\s+(\d+)$", re.MULTILINE)
PSS: t.Final = re.compile(r"^Pss:\s+(\d+) kB$", re.MULTILINE)


class Used(t.NamedTuple):
    """By all threads that there are now, since each began: CPU seconds; times that a thread gave
    up its core or had to; how many threads that is."""

    cpu: float
    switches: int
    threads: int = 1


def tree(root: int) -> list[int]:
    """``root`` and its children, their children and so on, the parents first."""
    children: dict[int, list[int]] = {}
    for pid in (int(path.name) for path in PROC.iterdir() if path.name.isdigit()):
        parent = _look(partial(_parent, pid))
        if parent is not None:
            children.setdefault(parent, []).append(pid)
    found = [root]
    for pid in found:  # which grows meanwhile
        found += children.get(pid, [])
    return found


def memory(pid: int) -> int:
    """Bytes of memory of one process (PSS: a page shared by n processes counts 1/n).

    Raises ``SystemRefused`` where the kernel does not tell, ``OSError`` when it has ended.
    """
    found = PSS.search((PROC / str(pid) / "smaps_rollup").read_text())
    if found is None:
        raise SystemRefused("the kernel does not tell a process's memory (smaps_rollup)")
    return int(found[1]) * 1024


def used(pids: list[int]) -> Used:
    """What the threads of ``pids`` have used together."""
    threads = [_thread(task) for pid in pids for task in _tasks(pid)]
    return Used(sum(one.cpu for one in threads), sum(one.switches for one in threads), len(threads))


def memory_of_all(pids: list[int]) -> int:
    """Bytes of memory of ``pids`` together; what they share is counted once."""
    return sum(_look(partial(memory, pid)) or 0 for pid in pids)


def _parent(pid: int) -> int:
    # The name stands in brackets and may hold any byte, brackets and spaces too.
    return int((PROC / str(pid) / "stat").read_bytes().rpartition(b")")[2].split()[1])


def _tasks(pid: int) -> Iterator[Path]:
    yield from _look(lambda: list((PROC / str(pid) / "task").iterdir())) or ()


def _thread(task: Path) -> Used:
    """CPU time in nanoseconds is the first number of schedstat; stat counts in hundredths."""
    status = _look((task / "status").read_text) or ""
    ran = (_look((task / "schedstat").read_text) or "0").split()[0]
    return Used(int(ran) / 1e9, sum(map(int, SWITCHES.findall(status))))


Answer = t.TypeVar("Answer")


def _look(ask: Callable[[], Answer]) -> Answer | None:
    """The answer, or None when the process or thread has ended in the meantime."""
    try:
        return ask()
    except (FileNotFoundError, ProcessLookupError):
        return None
