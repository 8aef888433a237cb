"""What bounds a process and its machine, read from Linux's /proc and the cgroup file systems.

    /proc/sys            sysctl(8)'s values               proc_sys(5)
    /proc/PID/limits     the process's own (setrlimit(2)) proc_pid_limits(5)
    /proc/PID/cgroup     which groups it is in            cgroups(7), versions 1 and 2

Every function takes ``root``, the directory under which the system's files lie: "/", or a tree
that a test made. A file that is missing, may not be read or is not what it should be gives None:
kernels, containers and sandboxes differ in which they show. Must not know what a limit means.
"""

from __future__ import annotations

import os
import typing as t
from collections.abc import Iterator

UNLIMITED_V1: t.Final = 1 << 62
"""cgroup version 1 has no word for "no limit": memory.limit_in_bytes is then the most pages that
a long can count, in bytes (PAGE_COUNTER_MAX), which is just below 2**63."""

BLOCK: t.Final = 1 << 16
"""Bytes read at a time: /proc/sys refuses blocks that the kernel would not allocate in one piece
(proc_sys_call_handler, ENOMEM from 4 MiB on)."""

READ_LIMIT: t.Final = 1 << 24
"""Bytes read of one file in all: /proc/PID/maps of a process at the usual 65,530 maps has about
half of that."""


class Rlimit(t.NamedTuple):
    """A soft limit, which is in force, and the hard one, up to which anybody may raise it.
    None: no limit."""

    soft: int | None
    hard: int | None


class Group(t.NamedTuple):
    """The tightest limit of one controller among a process's cgroup and those above it.

    ``limit`` is None where there is none, ``current`` what is used of it (None: not told).
    ``file`` is where it was read and can be written, from the system's own root."""

    limit: int | None
    current: int | None
    file: str


class Mount(t.NamedTuple):
    """A cgroup file system: which directory of the hierarchy is mounted where."""

    top: str
    point: str
    kind: str
    controllers: frozenset[str]


def read(path: str, root: str = "/") -> str | None:
    """The text of the file ``path``; None where it cannot be read."""
    try:
        with open(os.path.join(root, path.lstrip("/")), "rb", buffering=0) as file:
            data = b""
            while len(data) < READ_LIMIT and (block := file.read(BLOCK)):
                data += block
            return data.decode("utf-8", "surrogateescape")
    except OSError:
        return None


def numbers(text: str | None) -> list[int]:
    """The decimal numbers of ``text``; none at all if one of its words is no number."""
    words = (text or "").split()
    plain = all(word.isascii() and word.isdigit() and len(word) <= 20 for word in words)
    return [int(word) for word in words] if plain else []


def sysctl(name: str, root: str = "/") -> list[int]:
    """The numbers of a sysctl such as ``net.core.somaxconn``; empty where there is none."""
    return numbers(read("proc/sys/" + name.replace(".", "/"), root))


# --- of a process ------------------------------------------------------------------------------


def parse_rlimits(text: str) -> dict[str, Rlimit]:
    """/proc/PID/limits: its names ("Max open files") with their limits."""
    found = {}
    for line in text.splitlines():
        words = line.split()
        # The name has spaces, the unit may be missing: two values stand behind the name.
        for index in range(1, len(words) - 1):
            values = [_value(word) for word in words[index : index + 2]]
            if all(known for known, _ in values):
                found[" ".join(words[:index])] = Rlimit(values[0][1], values[1][1])
                break
    return found


def _value(word: str) -> tuple[bool, int | None]:
    """Is it a limit at all, and which."""
    if word == "unlimited":
        return True, None
    return (True, int(word)) if word.isascii() and word.isdigit() else (False, None)


def rlimits(pid: int, root: str = "/") -> dict[str, Rlimit]:
    """The limits of process ``pid``; empty where they cannot be read."""
    return parse_rlimits(read(f"proc/{pid}/limits", root) or "")


def count_descriptors(pid: int, root: str = "/") -> int | None:
    """How many descriptors process ``pid`` has open; None for another user's process."""
    try:
        return len(os.listdir(os.path.join(root, f"proc/{pid}/fd")))
    except OSError:
        return None


def count_maps(pid: int, root: str = "/") -> int | None:
    """How many memory mappings process ``pid`` has."""
    text = read(f"proc/{pid}/maps", root)
    return text.count("\n") if text else None


def status_number(pid: int, field: str, root: str = "/") -> int | None:
    """A number of /proc/PID/status, such as that of ``Threads`` or ``VmRSS`` (KiB)."""
    return _field(read(f"proc/{pid}/status", root), field)


# --- of the machine ----------------------------------------------------------------------------


def count_tasks(root: str = "/") -> int | None:
    """Processes and threads that exist now: the fourth word of /proc/loadavg."""
    words = (read("proc/loadavg", root) or "").split()
    total = words[3].partition("/")[2] if len(words) > 3 else ""
    return int(total) if total.isascii() and total.isdigit() else None


def available_memory(root: str = "/") -> int | None:
    """Bytes that could be had without swapping (MemAvailable of proc_meminfo(5))."""
    kibibytes = _field(read("proc/meminfo", root), "MemAvailable")
    return None if kibibytes is None else kibibytes * 1024


def tcp_memory(root: str = "/") -> int | None:
    """Pages that TCP's buffers take now (``mem`` in /proc/net/sockstat)."""
    for line in (read("proc/net/sockstat", root) or "").splitlines():
        words = line.split()
        if words[:1] == ["TCP:"] and "mem" in words[:-1]:
            value = words[words.index("mem") + 1]
            return int(value) if value.isascii() and value.isdigit() else None
    return None


def _field(text: str | None, name: str) -> int | None:
    """The number behind ``name:`` at the beginning of a line."""
    for line in (text or "").splitlines():
        if line.startswith(name + ":"):
            words = line.split()
            number = words[1] if len(words) > 1 else ""
            return int(number) if number.isascii() and number.isdigit() else None
    return None


# --- cgroups -----------------------------------------------------------------------------------

FILES: t.Final = {
    ("pids", "cgroup"): ("pids.max", "pids.current"),
    ("pids", "cgroup2"): ("pids.max", "pids.current"),
    ("memory", "cgroup"): ("memory.limit_in_bytes", "memory.usage_in_bytes"),
    ("memory", "cgroup2"): ("memory.max", "memory.current"),
}
"""Controller and version -> the file of the limit and of what is used."""


def parse_membership(text: str) -> dict[str, str]:
    """/proc/PID/cgroup: controller -> the process's cgroup. Version 2's has the name ""."""
    groups = {}
    for line in text.splitlines():
        number, _, rest = line.partition(":")
        names, colon, path = rest.partition(":")
        if number.isdigit() and colon and path.startswith("/"):
            groups.update(dict.fromkeys(names.split(","), path))
    return groups


def parse_mounts(text: str) -> list[Mount]:
    """The cgroup file systems of /proc/PID/mountinfo (proc_pid_mountinfo(5))."""
    mounts = []
    for line in text.splitlines():
        before, dash, after = line.partition(" - ")
        words, behind = before.split(" "), after.split(" ")
        if dash and len(words) >= 6 and len(behind) >= 3 and behind[0] in ("cgroup", "cgroup2"):
            options = frozenset(behind[2].split(","))
            mounts.append(Mount(_unescaped(words[3]), _unescaped(words[4]), behind[0], options))
    return mounts


def _unescaped(path: str) -> str:
    r"""mountinfo writes blank, TAB, line feed and backslash as ``\040`` and so on."""
    for octal in ("\\040", "\\011", "\\012", "\\134"):
        path = path.replace(octal, chr(int(octal[1:], 8)))
    return path


def cgroup(pid: int, controller: str, root: str = "/") -> Group | None:
    """The limit that cgroups put on process ``pid``; ``controller`` is "pids" or "memory".

    None where no such controller is mounted or tells."""
    groups = parse_membership(read(f"proc/{pid}/cgroup", root) or "")
    found = []
    for mount in parse_mounts(read(f"proc/{pid}/mountinfo", root) or ""):
        name = "" if mount.kind == "cgroup2" else controller
        if name in groups and (not name or name in mount.controllers):
            limit_file, current_file = FILES[controller, mount.kind]
            for directory in _upwards(mount, groups[name]):
                current = _whole(read(f"{directory}/{current_file}", root))
                limit = read(f"{directory}/{limit_file}", root)
                if limit is not None:
                    found.append(Group(_whole(limit), current, f"{directory}/{limit_file}"))
    return min(
        found, key=lambda one: float("inf") if one.limit is None else one.limit, default=None
    )


def _upwards(mount: Mount, group: str) -> Iterator[str]:
    """The directories of ``group`` and of those above it, as far as they are mounted.

    In a container the path may be one of the host's, of which only the mount's top is seen."""
    below = group.removeprefix(mount.top.rstrip("/"))
    parts = [part for part in below.split("/") if part]
    if ".." in parts:  # the process is in a group outside our namespace (cgroup_namespaces(7))
        parts = []
    for depth in range(len(parts), -1, -1):
        yield "/".join([mount.point.rstrip("/"), *parts[:depth]])


def _whole(text: str | None) -> int | None:
    """The number of a cgroup's file; None for "max", and for version 1's number beyond use."""
    found = numbers(text)
    return found[0] if len(found) == 1 and found[0] < UNLIMITED_V1 else None
