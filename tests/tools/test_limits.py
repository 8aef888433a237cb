"""What the limits mean together, on machines that differ."""

from __future__ import annotations

import sys
import typing as t
from pathlib import Path

import pytest

from jackfield.errors import UsageError
from jackfield.tools import limits
from jackfield.tools.limits import Limit, amount, answers, survey

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's /proc")

FILES: t.Final = {
    "proc/self/limits": "",
    "proc/5/limits": (
        "Max open files  1024  4096  files\n"
        "Max processes  700  700  processes\n"
        "Max stack size  8388608  unlimited  bytes\n"
    ),
    "proc/sys/fs/nr_open": "1048576\n",
    "proc/sys/fs/file-nr": "592\t0\t100000\n",
    "proc/sys/fs/file-max": "100000\n",
    "proc/sys/kernel/pid_max": "32768\n",
    "proc/sys/vm/max_map_count": "65530\n",
    "proc/sys/net/ipv4/ip_local_port_range": "32768\t60999\n",
    "proc/sys/net/ipv4/tcp_mem": "10\t20\t30\n",
    "proc/net/sockstat": "TCP: inuse 1 mem 12\n",
    "proc/5/cgroup": "0::/evil\x1b[2J\n",
    "proc/5/mountinfo": "1 2 0:3 / /cg rw - cgroup2 none rw\n",
    "cg/evil\x1b[2J/pids.max": "300\n",
    "cg/evil\x1b[2J/pids.current": "12\n",
}


@pytest.fixture
def machine(tmp_path: Path) -> str:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return str(tmp_path)


def by_name(found: list[Limit]) -> dict[str, Limit]:
    return {limit.name: limit for limit in found}


def test_survey(machine: str) -> None:
    found = by_name(survey(5, machine))
    files = found["RLIMIT_NOFILE"]
    assert (files.value, files.text, files.command) == (1024, "hard: 4096", "ulimit -n 4096")
    processes = found["RLIMIT_NPROC"]
    assert processes.command == "prlimit --pid 5 --nproc=1400:1400  (as root)"
    assert found["RLIMIT_STACK"].command == "ulimit -s 16384"
    assert (found["fs.file-max"].value, found["fs.file-max"].used) == (100000, 592)
    ports = found["net.ipv4.ip_local_port_range"]
    assert (ports.value, ports.text) == (28232, "32768-60999")
    memory = found["net.ipv4.tcp_mem"]
    assert (memory.value, memory.used, memory.unit) == (30, 12, "pages")
    assert "='10 20 60'" in memory.command
    group = found["cgroup pids.max"]
    assert (group.value, group.used) == (300, 12)
    assert r"evil\x1b[2J" in group.setter
    assert "\x1b" not in group.command
    assert "net.core.somaxconn" not in found  # a sandbox that does not show it


def test_answers(machine: str) -> None:
    ports, threads = answers(survey(5, machine))
    assert not ports.yes
    assert ports.why.startswith("1024 sockets in one process (RLIMIT_NOFILE); 65535 ports")
    assert not threads.yes
    assert threads.why == "300 threads (cgroup pids.max); 1024 sockets (RLIMIT_NOFILE)"


def limit(name: str, value: int | None) -> Limit:
    return Limit(name, value, "", None, "", "", "")


def test_answers_where_there_are_enough() -> None:
    ports, threads = answers([limit("RLIMIT_NOFILE", 70_000), limit("RLIMIT_NPROC", None)])
    assert ports.yes
    assert threads.yes
    assert threads.why == "any number of threads; 70000 sockets (RLIMIT_NOFILE)"


def test_a_thread_takes_two_mappings() -> None:
    found = [limit("RLIMIT_NOFILE", 40_000), limit("vm.max_map_count", 65_530)]
    assert (
        answers(found)[1].why == "32765 threads (vm.max_map_count); 40000 sockets (RLIMIT_NOFILE)"
    )


def test_no_such_process(machine: str) -> None:
    with pytest.raises(UsageError, match="no process 6 is here"):
        survey(6, machine)


def test_no_proc(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Linux's /proc"):
        survey(5, str(tmp_path))


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (None, "bytes", "no limit"),
        (0, "", "0"),
        (20000, "", "20000"),
        (3, "pages", "3 pages"),
        (1023, "bytes", "1023 bytes"),
        (8 << 20, "bytes", "8 MiB"),
        (1536, "bytes", "1.5 KiB"),
    ],
)
def test_amount(value: int | None, unit: str, text: str) -> None:
    assert amount(value, unit) == text


@linux
def test_this_machine() -> None:
    found = by_name(survey())
    for row in found.values():
        assert row.means
        assert row.setter
        assert row.value is None or row.command
    assert "$$" in found["RLIMIT_NOFILE"].command or "ulimit" in found["RLIMIT_NOFILE"].command


def test_every_row_is_told_apart() -> None:
    names = [row.name for row in (*limits.RESOURCES, *limits.SYSCTLS)]
    assert len(set(names)) == len(names)
