"""What each limit means for a server, who sets it, what raises it: behind ``jackfield limits``.

``survey`` reads them all, ``answers`` says what they mean together: can there be as many sockets
as ports, as many threads as sockets? A limit is one row of a table below. Must not know how
anything is printed, and changes nothing.
"""

from __future__ import annotations

import dataclasses
import os
import typing as t
from collections.abc import Callable

from jackfield.endpoint import printable
from jackfield.errors import UsageError
from jackfield.kernel import system_limits as system

PORTS: t.Final = 65535
"""Port numbers of one address and protocol: 16 bits, and 0 is none (RFC 9293, 3.1)."""


@dataclasses.dataclass(frozen=True, slots=True)
class Limit:
    """One limit. ``value`` counts in ``unit`` ("" for plain numbers, "bytes", "pages"); None: no
    limit. ``text`` is the value for people, where it is more than one number. ``used`` is how
    much of it is taken, None where that is not known. ``setter`` says who set it, ``means`` what
    it does to a server, ``command`` what raises it."""

    name: str
    value: int | None
    text: str
    used: int | None
    setter: str
    means: str
    command: str
    unit: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """A question that a person asks, and what the limits say to it: "yes", "no" and why."""

    question: str
    yes: bool
    why: str


# --- the process's own (setrlimit(2)) ----------------------------------------------------------


class _Resource(t.NamedTuple):
    """``label`` is its name in /proc/PID/limits, ``option`` that of prlimit(1)."""

    name: str
    label: str
    option: str
    ulimit: str
    unit: str
    means: str


RESOURCES: t.Final = (
    _Resource("RLIMIT_NOFILE", "Max open files", "nofile", "-n", "",
              "descriptors of this process; each connection takes one (then EMFILE)"),
    _Resource("RLIMIT_NPROC", "Max processes", "nproc", "-u", "",
              "processes and threads of this user; root is exempt (then EAGAIN)"),
    _Resource("RLIMIT_STACK", "Max stack size", "stack", "-s", "bytes",
              "address space for each thread's stack; memory is taken only as it is touched"),
    _Resource("RLIMIT_AS", "Max address space", "as", "-v", "bytes",
              "address space of this process; the stacks of threads are in it (then ENOMEM)"),
)  # fmt: skip


SHELL: t.Final = "$$"
"""Whose limit to raise where no process was named: the shell's, whose children inherit it."""


def _resources(pid: int, target: str, root: str) -> list[Limit]:
    used: dict[str, Callable[[], int | None]] = {
        "RLIMIT_NOFILE": lambda: system.count_descriptors(pid, root),
        "RLIMIT_AS": lambda: _bytes(system.status_number(pid, "VmSize", root)),
    }
    found = system.rlimits(pid, root)
    return [
        _resource(target, row, found[row.label], used.get(row.name, lambda: None)())
        for row in RESOURCES
        if row.label in found
    ]


def _bytes(kibibytes: int | None) -> int | None:
    return None if kibibytes is None else kibibytes * 1024


def _resource(target: str, row: _Resource, limit: system.Rlimit, used: int | None) -> Limit:
    return Limit(
        name=row.name,
        value=limit.soft,
        text="" if limit.hard == limit.soft else f"hard: {amount(limit.hard, row.unit)}",
        used=used,
        setter="this process, or who started it (shell, pam_limits, systemd)",
        means=row.means,
        command=_raise_resource(target, row, limit),
        unit=row.unit,
    )


def _raise_resource(target: str, row: _Resource, limit: system.Rlimit) -> str:
    if limit.soft is None:
        return ""
    if limit.hard is None or limit.soft < limit.hard:
        scale = 1024 if row.unit == "bytes" else 1  # ulimit counts in KiB
        most = 2 * limit.soft if limit.hard is None else limit.hard
        return f"ulimit {row.ulimit} {most // scale}"
    return f"prlimit --pid {target} --{row.option}={2 * limit.soft}:{2 * limit.soft}  (as root)"


# --- the machine's (sysctl(8)) -----------------------------------------------------------------


class _Sysctl(t.NamedTuple):
    """The last of its numbers is the limit. ``unit`` as in ``Limit``."""

    name: str
    unit: str
    means: str


SYSCTLS: t.Final = (
    _Sysctl("fs.nr_open", "", "the highest that RLIMIT_NOFILE can be raised to"),
    _Sysctl("fs.file-max", "", "open files of all processes together (then ENFILE)"),
    _Sysctl("net.core.somaxconn", "",
            "longest backlog: listen() with more gets this much; who comes then waits or is lost"),
    _Sysctl("net.ipv4.tcp_max_syn_backlog", "",
            "handshakes under way for each listener, unless SYN cookies take over"),
    _Sysctl("net.ipv4.ip_local_port_range", "",
            "ports for who asks for none: connections out, to one address and port"),
    _Sysctl("kernel.threads-max", "", "threads of the whole machine (then EAGAIN)"),
    _Sysctl("kernel.pid_max", "", "numbers for processes and threads together (then EAGAIN)"),
    _Sysctl("vm.max_map_count", "",
            "memory mappings of a process; each thread's stack takes two (then EAGAIN)"),
    _Sysctl("net.ipv4.tcp_mem", "pages",
            "memory of all TCP buffers; above it data is dropped and connections slow down"),
    _Sysctl("net.core.rmem_max", "bytes", "largest receive buffer that SO_RCVBUF gives"),
    _Sysctl("net.core.wmem_max", "bytes", "largest send buffer that SO_SNDBUF gives"),
    _Sysctl("net.ipv4.tcp_rmem", "bytes", "how far TCP's receive buffer grows by itself"),
    _Sysctl("net.ipv4.tcp_wmem", "bytes", "how far TCP's send buffer grows by itself"),
    _Sysctl("net.unix.max_dgram_qlen", "",
            "datagrams that wait for a Unix socket; who sends more waits or gets EAGAIN"),
    _Sysctl("fs.epoll.max_user_watches", "",
            "descriptors that one user's epolls watch together (then ENOSPC)"),
    _Sysctl("net.netfilter.nf_conntrack_max", "",
            "connections that the firewall follows; beyond it new ones are dropped"),
)  # fmt: skip

USED: t.Final[dict[str, Callable[[str], int | None]]] = {
    "fs.file-max": lambda root: next(iter(system.sysctl("fs.file-nr", root)), None),
    "kernel.threads-max": system.count_tasks,
    "kernel.pid_max": system.count_tasks,
    "net.ipv4.tcp_mem": system.tcp_memory,
    "net.netfilter.nf_conntrack_max": lambda root: next(
        iter(system.sysctl("net.netfilter.nf_conntrack_count", root)), None
    ),
}


def _sysctls(pid: int, root: str) -> list[Limit]:
    found = [(row, system.sysctl(row.name, root)) for row in SYSCTLS]
    return [_of_sysctl(row, values, pid, root) for row, values in found if values]


def _of_sysctl(row: _Sysctl, values: list[int], pid: int, root: str) -> Limit:
    value, text = values[-1], ""
    used = USED[row.name](root) if row.name in USED else None
    command = f"sysctl -w {row.name}={_raised(values)}"
    if row.name == "vm.max_map_count":
        used = system.count_maps(pid, root)
    if row.name == "net.ipv4.ip_local_port_range" and len(values) == 2:
        value, text = max(0, values[1] - values[0] + 1), f"{values[0]}-{values[1]}"
        command = f"sysctl -w {row.name}='1024 {PORTS}'"
    return Limit(
        row.name, value, text, used, "the machine (sysctl, /etc/sysctl.d)", row.means,
        f"{command}  (as root)", row.unit,
    )  # fmt: skip


def _raised(values: list[int]) -> str:
    """The last number doubled, as far as the kernel's int goes; those before it as they are."""
    most = values[-1] if values[-1] >= 2**31 else min(2 * values[-1], 2**31 - 1)
    raised = [*map(str, values[:-1]), str(most)]
    return raised[0] if len(raised) == 1 else f"'{' '.join(raised)}'"


# --- the control groups' -----------------------------------------------------------------------

GROUPS: t.Final = (
    ("pids", "", "processes and threads of this group, a container's, say (then EAGAIN)"),
    ("memory", "bytes", "memory of this group, sockets' buffers too (then the OOM killer)"),
)


def _groups(pid: int, root: str) -> list[Limit]:
    limits = []
    for controller, unit, means in GROUPS:
        found = system.cgroup(pid, controller, root)
        if found is not None:
            command = f"echo {2 * found.limit} > {found.file}  (as root)" if found.limit else ""
            setter = "the control group (systemd, container): " + os.path.dirname(found.file)
            limits.append(
                Limit(f"cgroup {controller}.max", found.limit, "", found.current,
                      printable(setter), means, printable(command), unit)
            )  # fmt: skip
    return limits


# --- all together ------------------------------------------------------------------------------


def survey(pid: int | None = None, root: str = "/") -> list[Limit]:
    """Every limit of process ``pid`` (None: this one) and of the machine.

    ``root``: the directory where the system's /proc and /sys lie. Raises ``UsageError`` for a
    process that does not exist, and where there is no Linux /proc.
    """
    process = os.getpid() if pid is None else pid
    if system.read("proc/self/limits", root) is None and not os.path.isdir(f"{root}/proc/sys"):
        raise UsageError("limits are read from Linux's /proc, which this system does not have")
    resources = _resources(process, SHELL if pid is None else str(pid), root)
    if not resources:
        raise UsageError(f"no process {process} is here, or its limits may not be read")
    return [*resources, *_groups(process, root), *_sysctls(process, root)]


def amount(value: int | None, unit: str = "") -> str:
    """A limit's value for people: "none", "20000", "8 MiB", "575796 pages"."""
    if value is None:
        return "no limit"
    if unit == "bytes":
        for power, name in ((30, "GiB"), (20, "MiB"), (10, "KiB")):
            if value >= 1 << power:
                return f"{value / (1 << power):.4g} {name}"
    return f"{value} {unit}".rstrip()


def answers(limits: list[Limit]) -> list[Answer]:
    """As many sockets as ports? As many threads as sockets?"""
    sockets = tightest(limits, "RLIMIT_NOFILE", "fs.file-max", "fs.nr_open")
    threads = tightest(
        limits, "RLIMIT_NPROC", "kernel.threads-max", "kernel.pid_max", "cgroup pids.max"
    )
    maps = next((one for one in limits if one.name == "vm.max_map_count"), None)
    if maps is not None and maps.value is not None and maps.value // 2 < threads[0]:
        threads = (maps.value // 2, maps.name)
    how_many, whose = _said(*sockets)
    return [
        Answer(
            "As many sockets as ports?",
            sockets[0] >= PORTS,
            f"{how_many} sockets in one process{whose}; {PORTS} ports for one address. "
            "Connections to a listener share its port, so they need descriptors alone",
        ),
        Answer(
            "As many threads as sockets?",
            threads[0] >= sockets[0],
            "{} threads{}; {} sockets{}".format(*_said(*threads), how_many, whose),
        ),
    ]


def tightest(limits: list[Limit], *names: str) -> tuple[float, str]:
    """The smallest of the limits called ``names``, and its name; infinity where none is set."""
    found = [(one.value, one.name) for one in limits if one.name in names and one.value is not None]
    return min(found, default=(float("inf"), ""))


def _said(value: float, name: str) -> tuple[str, str]:
    return (str(int(value)), f" ({name})") if name else ("any number of", "")
