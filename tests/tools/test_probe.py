"""The probe really makes them, says what stopped it, and leaves nothing behind."""

from __future__ import annotations

import errno
import functools
import json
import os
import signal
import subprocess
import sys
import threading
import typing as t
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support import PATIENCE, lowest_free, until

from jackfield.errors import SystemRefused, UsageError
from jackfield.kernel import processes
from jackfield.tools import probe as probing
from jackfield.tools.probe import KINDS, probe, whose

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's /proc")

PROGRAM: t.Final = """
import dataclasses, json, sys
from jackfield.tools.probe import probe
print(json.dumps(dataclasses.asdict(probe(sys.argv[1], int(sys.argv[2])))))
"""


def in_a_shell(limits: str, kind: str, ceiling: int) -> dict[str, t.Any]:
    """What the probe says under the shell's ``limits``."""
    command = f'{limits}; exec "$0" -c "$1" {kind} {ceiling}'
    said = subprocess.run(
        ["sh", "-c", command, sys.executable, PROGRAM],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
    )
    result: dict[str, t.Any] = json.loads(said.stdout)
    return result


@pytest.mark.parametrize("kind", KINDS)
def test_up_to_the_ceiling(kind: str) -> None:
    fd, threads = lowest_free(), threading.active_count()
    probed = probe(kind, 7)
    assert (probed.made, probed.stopped_by, probed.error) == (7, "ceiling", "")
    assert probed.each > 0
    assert probed.machine_memory is None, "seven say nothing"
    assert (lowest_free(), threading.active_count()) == (fd, threads)
    with pytest.raises(ChildProcessError):  # everybody was reaped
        os.waitpid(-1, os.WNOHANG)


@pytest.mark.parametrize("kind", KINDS)
def test_none_at_all(kind: str) -> None:
    assert probe(kind, 0).made == 0


@pytest.mark.parametrize("kind", KINDS)
def test_the_time_limit(kind: str) -> None:
    probed = probe(kind, seconds=0.02)
    assert probed.stopped_by in ("time", "ceiling")
    assert probed.made > 0


def test_descriptors_run_out() -> None:
    result = in_a_shell("ulimit -n 50", "sockets", 100)
    assert (result["stopped_by"], result["error"]) == ("RLIMIT_NOFILE", "EMFILE")
    assert 35 <= result["made"] < 50


def test_address_space_runs_out() -> None:
    result = in_a_shell("ulimit -s 8192; ulimit -v 1000000", "threads", 1000)
    assert (result["stopped_by"], result["error"]) == ("RLIMIT_AS", "EAGAIN")
    assert 10 < result["made"] < 125


def is_empty(group: Path) -> bool:
    return not (group / "cgroup.procs").read_text()


@pytest.fixture
def pids_group() -> Iterator[Path]:
    """A cgroup for at most 12 tasks, beside the one we are in; only root can make one."""
    for top in ("/sys/fs/cgroup/pids", "/sys/fs/cgroup"):
        group = Path(top) / f"jackfield-test-{os.getpid()}"
        try:
            group.mkdir()
        except OSError:
            continue
        try:
            (group / "pids.max").write_text("12")
        except OSError:
            group.rmdir()
            continue
        try:
            yield group
        finally:
            until(functools.partial(is_empty, group))
            group.rmdir()
        return
    pytest.skip(
        "needs to make a cgroup with a limit of pids: root, and cgroups that can be written"
    )


@pytest.mark.parametrize("kind", ["threads", "processes"])
def test_the_groups_tasks_run_out(pids_group: Path, kind: str) -> None:
    result = in_a_shell(f"echo $$ > {pids_group}/cgroup.procs", kind, 100)
    assert (result["stopped_by"], result["error"]) == ("cgroup pids.max", "EAGAIN")
    assert result["made"] == 10, "with the program and the probe's process that is 12"


@pytest.mark.parametrize("kind", KINDS)
def test_interrupted(kind: str) -> None:
    """Ctrl-C ends all of them; who was just being forked ends on seeing that the command has."""
    program = (
        f"import jackfield.tools.probe as p; print(flush=True); p.probe({kind!r}, 10**6, 60.0)"
    )
    command = subprocess.Popen(
        ["sh", "-c", 'ulimit -n 400; exec "$0" -c "$1"', sys.executable, program],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    with command:
        assert command.stdout
        command.stdout.readline()
        if kind != "sockets":  # those are through at once
            until(lambda: busy(command.pid))
        command.send_signal(signal.SIGINT)
        command.wait(PATIENCE)
        until(lambda: not members(command.pid))


def members(session: int) -> list[str]:
    """The processes of a session that have not ended; zombies nobody reaps do not count."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            fields = Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if fields[3] == str(session) and fields[0] not in "ZX":
            found.append(name)
    return found


def busy(session: int) -> bool:
    """It has a process of its own, which has begun to make threads or processes."""
    tasks = 0
    for pid in members(session):
        try:
            tasks += len(os.listdir(f"/proc/{pid}/task"))
        except OSError:
            pass
    return tasks > 10


def test_killed_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    def die(*_arguments: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(probing, "_make", die)
    with pytest.raises(SystemRefused, match="ended from outside"):
        probe("processes", 5)


def test_an_unknown_kind() -> None:
    with pytest.raises(UsageError, match="sockets, threads, processes"):
        probe("wishes")


def test_no_process_to_probe_in(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_work: object) -> int:
        raise OSError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(processes, "fork", refuse)
    fd = lowest_free()
    with pytest.raises(SystemRefused, match="no process to probe in"):
        probe("threads")
    assert lowest_free() == fd


@pytest.mark.parametrize(
    ("number", "name"),
    [
        (errno.EMFILE, "RLIMIT_NOFILE"),
        (errno.ENFILE, "fs.file-max"),
        (errno.ENOMEM, "memory"),
        (errno.EINVAL, "the system"),
    ],
)
def test_whose_error_it_is(number: int, name: str) -> None:
    assert whose(number, "sockets", os.getpid()) == name


@pytest.mark.parametrize(
    ("files", "name"),
    [
        ({"proc/sys/kernel/pid_max": "1000"}, "kernel.pid_max"),
        ({"proc/sys/kernel/threads-max": "995"}, "kernel.threads-max"),
        ({"proc/sys/vm/max_map_count": "3"}, "vm.max_map_count"),
        ({"proc/sys/kernel/pid_max": "32768"}, "RLIMIT_NPROC"),
    ],
)
def test_what_is_used_up(tmp_path: Path, files: dict[str, str], name: str) -> None:
    files |= {
        "proc/5/limits": "Max processes  1000  1000  processes\n",
        "proc/5/maps": "a\nb\nc\n",
        "proc/self/limits": "",
        "proc/loadavg": "0 0 0 1/999 5",
    }
    for path, text in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    assert whose(errno.EAGAIN, "threads", 5, str(tmp_path)) == name
