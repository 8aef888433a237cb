"""The readers of limits, over trees that look as different systems' do, and over this one's."""

from __future__ import annotations

import os
import resource
import sys
import typing as t
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jackfield.kernel import system_limits as system
from jackfield.kernel.system_limits import Group, Mount, Rlimit

LIMITS: t.Final = """\
Limit                     Soft Limit           Hard Limit           Units     
Max cpu time              unlimited            unlimited            seconds   
Max processes             63335                63335                processes 
Max open files            1024                 524288               files     
Max nice priority         0                    0                    
Max realtime timeout      unlimited            unlimited            us        
"""  # noqa: W291 (as the kernel writes it)

V1: t.Final = "31 23 0:36 / /sys/fs/cgroup/pids rw,relatime shared:9 - cgroup cgroup rw,pids\n"
V2: t.Final = "32 23 0:38 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"


def tree(root: Path, files: dict[str, str]) -> str:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return str(root)


def test_rlimits() -> None:
    found = system.parse_rlimits(LIMITS)
    assert found["Max open files"] == Rlimit(1024, 524288)
    assert found["Max cpu time"] == Rlimit(None, None)
    assert found["Max nice priority"] == Rlimit(0, 0)
    assert len(found) == 5


@pytest.mark.parametrize("parse", [system.parse_rlimits, system.parse_membership])
@given(text=st.text(st.sampled_from("Max 0:,/9unlimited\n\t")))
def test_any_text_is_read(parse: t.Callable[[str], dict[str, object]], text: str) -> None:
    for cut in range(len(text) + 1):
        parse(text[:cut])


@given(text=st.text(st.sampled_from("- cgroup2,/\\04 \n")))
def test_any_mounts_are_read(text: str) -> None:
    system.parse_mounts(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("4096\n", [4096]),
        ("4096\t131072\t6291456\n", [4096, 131072, 6291456]),
        ("", []),
        (None, []),
        ("-1", []),
        ("12 many", []),
        ("٣", []),
        ("9" * 5000, []),
    ],
)
def test_numbers(text: str | None, expected: list[int]) -> None:
    assert system.numbers(text) == expected


def test_sysctl(tmp_path: Path) -> None:
    root = tree(tmp_path, {"proc/sys/net/ipv4/tcp_mem": "1\t2\t3\n"})
    assert system.sysctl("net.ipv4.tcp_mem", root) == [1, 2, 3]
    assert system.sysctl("net.ipv4.nothing", root) == []
    assert system.sysctl("net.ipv4", root) == []  # a directory


def test_the_machine(tmp_path: Path) -> None:
    files = {
        "proc/loadavg": "0.00 0.01 0.05 2/345 4711\n",
        "proc/meminfo": "MemTotal: 10 kB\nMemAvailable:    3 kB\n",
        "proc/net/sockstat": "sockets: used 9\nTCP: inuse 1 orphan 0 tw 0 alloc 2 mem 7\n",
        "proc/5/status": "Name:\tVmSize: 9\nVmRSS:\t  12 kB\n",
        "proc/5/maps": "a\nb\n",
    }
    root = tree(tmp_path, files)
    assert system.count_tasks(root) == 345
    assert system.available_memory(root) == 3072
    assert system.tcp_memory(root) == 7
    assert system.status_number(5, "VmRSS", root) == 12
    assert system.status_number(5, "VmSize", root) is None  # only in the name
    assert system.count_maps(5, root) == 2
    for name in files:
        (tmp_path / name).write_text("nonsense\nTCP: mem\nMemAvailable:\n")
    nothing = (system.count_tasks(root), system.available_memory(root), system.tcp_memory(root))
    assert nothing == (None, None, None)


def test_version_1(tmp_path: Path) -> None:
    root = tree(
        tmp_path,
        {
            "proc/5/cgroup": "9:name=systemd:/\n8:cpu,pids:/a/b\n4:memory:/c\n0::/\n",
            "proc/5/mountinfo": V1 + V1.replace("pids", "memory"),
            "sys/fs/cgroup/pids/a/b/pids.max": "max\n",
            "sys/fs/cgroup/pids/a/b/pids.current": "3\n",
            "sys/fs/cgroup/pids/a/pids.max": "40\n",
            "sys/fs/cgroup/pids/a/pids.current": "30\n",
            "sys/fs/cgroup/memory/c/memory.limit_in_bytes": "9223372036854771712\n",
            "sys/fs/cgroup/memory/c/memory.usage_in_bytes": "4096\n",
        },
    )
    assert system.cgroup(5, "pids", root) == Group(40, 30, "/sys/fs/cgroup/pids/a/pids.max")
    file = "/sys/fs/cgroup/memory/c/memory.limit_in_bytes"
    assert system.cgroup(5, "memory", root) == Group(None, 4096, file)


def test_version_2(tmp_path: Path) -> None:
    root = tree(
        tmp_path,
        {
            "proc/5/cgroup": "0::/user.slice/x.scope\n",
            "proc/5/mountinfo": V2,
            "sys/fs/cgroup/user.slice/x.scope/pids.max": "100\n",
            "sys/fs/cgroup/user.slice/x.scope/pids.current": "7\n",
            "sys/fs/cgroup/user.slice/pids.max": "5000\n",
            "sys/fs/cgroup/user.slice/memory.max": "1048576\n",
        },
    )
    file = "/sys/fs/cgroup/user.slice/x.scope/pids.max"
    assert system.cgroup(5, "pids", root) == Group(100, 7, file)
    assert system.cgroup(5, "memory", root) == Group(
        1048576, None, "/sys/fs/cgroup/user.slice/memory.max"
    )


@pytest.mark.parametrize("group", ["/docker/abc", "/../other"])
def test_in_a_container(tmp_path: Path, group: str) -> None:
    """Only its own part of the hierarchy is mounted, or it has a namespace of its own."""
    root = tree(
        tmp_path,
        {
            "proc/5/cgroup": f"8:pids:{group}\n",
            "proc/5/mountinfo": V1.replace(" / /sys", " /docker/abc /sys"),
            "sys/fs/cgroup/pids/pids.max": "512\n",
        },
    )
    assert system.cgroup(5, "pids", root) == Group(512, None, "/sys/fs/cgroup/pids/pids.max")


def test_mounts_are_unescaped() -> None:
    line = "1 2 0:3 /a\\040b /c\\134d rw - cgroup2 none rw\n2 2 0:3 / / rw - ext4 /dev/a rw\n"
    assert system.parse_mounts(line) == [Mount("/a b", "/c\\d", "cgroup2", frozenset({"rw"}))]


def test_nothing_there(tmp_path: Path) -> None:
    root = str(tmp_path)
    assert system.rlimits(5, root) == {}
    assert system.cgroup(5, "pids", root) is None
    assert system.count_descriptors(5, root) is None
    assert system.read("proc/x", root) is None


@pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's /proc")
def test_this_system() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert system.rlimits(os.getpid())["Max open files"] == (soft, hard)
    before = system.count_descriptors(os.getpid())
    fd = os.open(os.devnull, os.O_RDONLY)
    try:
        assert before is not None
        assert system.count_descriptors(os.getpid()) == before + 1
    finally:
        os.close(fd)
    assert (system.available_memory() or 0) > 1 << 20
    assert (system.count_maps(os.getpid()) or 0) > 10
