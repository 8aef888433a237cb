"""Make sockets, threads or processes until something says no: what ``limits --probe`` does.

    this process ──fork──► the probe's process ──► makes one after the other, up to a ceiling and
         │                       │                 a time limit, and keeps them all
         │ ◄──── report ─────────┤
         │                       ▼
         └─ waits for the end of all; ends them when it is interrupted

All that is made belongs to the probe's process and ends with it. Processes it makes wait on a
pipe that only it can write to, so that they end even if it is killed. It offers itself to the
out-of-memory killer first. Its report's pipe is inherited by all of them: end of file means that
nobody is left. Must not know how anything is printed.
"""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import select
import signal
import socket
import threading
import time
import typing as t

from jackfield.errors import SystemRefused, UsageError, reason_of
from jackfield.kernel import processes
from jackfield.kernel import system_limits as system
from jackfield.tools.limits import Limit, survey

CEILINGS: t.Final = {"sockets": 20_000, "threads": 2_000, "processes": 500}
"""What is made unless more is asked for: some 50 MiB of memory each, which every machine that
serves has to spare, and a second or two."""

KINDS: t.Final = tuple(CEILINGS)

SECONDS: t.Final = 10.0
"""The time limit: a hundred times what the ceilings were measured to need."""

GRACE: t.Final = 10.0
"""Seconds after the time limit in which the probe's process cleans up before it is killed."""

TELLING: t.Final = 100
"""Fewer than these say nothing about the machine's memory: what others take and free is more."""


@dataclasses.dataclass(frozen=True, slots=True)
class Probed:
    """What came of it. ``stopped_by`` is "ceiling", "time" or the name of a limit; ``error`` the
    errno's name, "" without one. ``each`` and ``own_memory`` are seconds and bytes for each one
    made, the latter of the probe's own process; ``machine_memory`` is how much less the machine
    had available, which other processes have changed too (None: not told)."""

    kind: str
    made: int
    ceiling: int
    stopped_by: str
    error: str
    seconds: float
    each: float
    own_memory: int | None
    machine_memory: int | None


class _Sockets:
    """TCP sockets that are bound to nothing: each takes a descriptor, and no port."""

    def __init__(self) -> None:
        self._made: list[socket.socket] = []

    def make(self) -> None:
        self._made.append(socket.socket(socket.AF_INET, socket.SOCK_STREAM))

    def spare_one(self) -> None:
        """A descriptor, to read /proc with."""
        if self._made:
            self._made.pop().close()

    def undo(self) -> None:
        for sock in self._made:
            sock.close()


class _Threads:
    """Threads that wait, with the stack that every thread here gets."""

    def __init__(self) -> None:
        self._gate = threading.Lock()
        self._gate.acquire()
        self._made: list[threading.Thread] = []

    def make(self) -> None:
        thread = threading.Thread(target=self._wait, daemon=True)
        try:
            thread.start()
        except RuntimeError as exc:  # "can't start new thread": pthread_create(3) gave EAGAIN
            raise OSError(errno.EAGAIN, str(exc)) from exc
        self._made.append(thread)

    def spare_one(self) -> None:
        pass

    def _wait(self) -> None:
        with self._gate:
            pass

    def undo(self) -> None:
        self._gate.release()
        for thread in self._made:
            thread.join()


class _Processes:
    """Forked processes that wait for the end of a pipe, that is, for the end of their parent."""

    def __init__(self) -> None:
        self._reading, self._writing = os.pipe()
        self._made: list[int] = []

    def make(self) -> None:
        self._made.append(processes.fork(self._wait))

    def _wait(self) -> None:
        os.close(self._writing)
        os.read(self._reading, 1)

    def spare_one(self) -> None:
        pass

    def undo(self) -> None:
        os.close(self._writing)
        for pid in self._made:
            processes.wait(pid)
        os.close(self._reading)


_Maker: t.TypeAlias = _Sockets | _Threads | _Processes

MAKERS: t.Final[dict[str, type[_Maker]]] = {
    "sockets": _Sockets,
    "threads": _Threads,
    "processes": _Processes,
}


class _Interrupted(Exception):
    """The parent wants the probe to end."""


def probe(kind: str, ceiling: int | None = None, seconds: float = SECONDS) -> Probed:
    """Make as many ``kind`` (of ``KINDS``) as can be, at most ``ceiling``, for ``seconds``.

    Returns when all are gone again. Raises ``UsageError`` for an unknown kind and
    ``SystemRefused`` where there is not even a process to make them in, or it was killed.
    """
    if kind not in CEILINGS:
        raise UsageError(f"--probe {kind}: can make {', '.join(KINDS)}")
    most = CEILINGS[kind] if ceiling is None else ceiling
    reading, writing = os.pipe()
    try:
        pid = processes.fork(lambda: _report(reading, writing, kind, most, seconds))
    except OSError as exc:
        os.close(reading)
        raise SystemRefused(f"no process to probe in: {exc.strerror}", exc.errno) from exc
    finally:
        os.close(writing)
    return Probed(**_result(_receive(reading, pid, seconds + GRACE), kind))


# --- in the parent -----------------------------------------------------------------------------


def _receive(reading: int, pid: int, seconds: float) -> bytes:
    """The report, once everybody who could write it has ended."""
    deadline = time.monotonic() + seconds
    try:
        return _read_all(reading, deadline)
    except BaseException:
        processes.send(pid, signal.SIGTERM)
        _read_all(reading, time.monotonic() + GRACE)
        raise
    finally:
        # It has ended, or will not clean up any more; what it made ends with it.
        processes.send(pid, signal.SIGKILL)
        processes.wait(pid)
        os.close(reading)


def _read_all(fd: int, deadline: float) -> bytes:
    """Everything up to end of file, or what there is at the deadline."""
    said = b""
    while (left := deadline - time.monotonic()) > 0:
        if select.select([fd], [], [], left)[0]:
            block = os.read(fd, 65536)
            if not block:
                break
            said += block
    return said


def _result(said: bytes, kind: str) -> dict[str, t.Any]:
    try:
        result: dict[str, t.Any] = json.loads(said)
    except ValueError:
        raise SystemRefused(
            f"the process that made {kind} was ended from outside before it could report, as the "
            "out-of-memory killer does; try a lower --ceiling"
        ) from None
    return result


# --- in the probe's process --------------------------------------------------------------------


def _report(reading: int, writing: int, kind: str, ceiling: int, seconds: float) -> None:
    os.close(reading)
    _volunteer()
    signal.signal(signal.SIGTERM, _interrupt)
    processes.obey_signals()
    maker = MAKERS[kind]()
    try:
        result = _make(maker, kind, ceiling, seconds)
        os.write(writing, json.dumps(dataclasses.asdict(result)).encode())
    except _Interrupted:
        pass
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        maker.undo()


def _interrupt(_number: int, _frame: object) -> t.NoReturn:
    raise _Interrupted


def _volunteer() -> None:
    """Should memory run out, end this process and no other (proc_pid_oom_score_adj(5))."""
    try:
        with open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
            file.write("1000")
    except OSError:
        pass


def _make(maker: _Maker, kind: str, ceiling: int, seconds: float) -> Probed:
    own, machine = _own_memory(), system.available_memory()
    began = time.monotonic()
    made, stopped_by, error = 0, "ceiling", ""
    while made < ceiling:
        if time.monotonic() - began > seconds:
            stopped_by = "time"
            break
        try:
            maker.make()
        except OSError as exc:
            maker.spare_one()
            stopped_by, error = whose(exc.errno or 0, kind, os.getpid()), reason_of(exc)
            break
        made += 1
    took = time.monotonic() - began
    return Probed(
        kind=kind,
        made=made,
        ceiling=ceiling,
        stopped_by=stopped_by,
        error=error,
        seconds=took,
        each=took / max(1, made),
        own_memory=_share(own, _own_memory(), made),
        machine_memory=_share(system.available_memory(), machine, made),
    )


def _own_memory() -> int | None:
    kibibytes = system.status_number(os.getpid(), "VmRSS")
    return None if kibibytes is None else kibibytes * 1024


def _share(less: int | None, more: int | None, made: int) -> int | None:
    """The difference, for each one made; None where others' doings outweigh it."""
    if less is None or more is None or made < TELLING or more <= less:
        return None
    return (more - less) // made


# --- which limit it was ------------------------------------------------------------------------

BY_ERRNO: t.Final = {
    errno.EMFILE: "RLIMIT_NOFILE",
    errno.ENFILE: "fs.file-max",
    errno.ENOBUFS: "memory",
    errno.ENOMEM: "memory",
}
"""Errors with one meaning (socket(2), fork(2)). EAGAIN has many."""

COUNTED: t.Final = ("cgroup pids.max", "kernel.threads-max", "kernel.pid_max")
"""Limits to threads and processes of which the system tells how much is used."""

NEAR: t.Final = 0.02
"""A limit that is used but for this share was reached: what is read a moment later may differ by
what other processes ended in the meantime."""


def whose(number: int, kind: str, pid: int, root: str = "/") -> str:
    """The name of the limit behind the errno ``number``, which process ``pid`` got when it made
    another of ``kind``. Of the many behind EAGAIN the one that is used up, as far as the system
    tells: what is left then is RLIMIT_NPROC (fork(2), pthread_create(3))."""
    if number != errno.EAGAIN:
        return BY_ERRNO.get(number, "the system")
    limits = {limit.name: limit for limit in survey(pid, root)}
    if kind == "threads" and _full(limits.get("vm.max_map_count")):
        return "vm.max_map_count"
    for name in COUNTED:
        if _full(limits.get(name)):
            return name
    space = limits.get("RLIMIT_AS")
    if kind == "threads" and space is not None and _no_room_for_a_stack(space):
        return "RLIMIT_AS"
    return "RLIMIT_NPROC"


def _full(limit: Limit | None) -> bool:
    if limit is None or limit.value is None or limit.used is None:
        return False
    return limit.used >= limit.value * (1 - NEAR) - 1


def _no_room_for_a_stack(space: Limit) -> bool:
    """Another thread's stack does not fit into the address space (RLIMIT_AS)."""
    if space.value is None or space.used is None:
        return False
    import resource  # Unix only

    stack = resource.getrlimit(resource.RLIMIT_STACK)[0]
    wanted = threading.stack_size() or (2 << 20 if stack == resource.RLIM_INFINITY else stack)
    return space.used + wanted > space.value
