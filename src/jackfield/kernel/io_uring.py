"""May this process use io_uring(7), and if not, why? Asked by trying it, as the engine uses it.

Must not know the engine. Many systems have io_uring and refuse it: containers by seccomp(2),
hardened hosts by the sysctl kernel.io_uring_disabled (Linux 6.6).
"""

from __future__ import annotations

import errno
import functools
import os
import sys

from jackfield import _native
from jackfield import lazy_typing as t

DISABLED: t.Final = "/proc/sys/kernel/io_uring_disabled"
"""0: everybody may; 1: who has CAP_SYS_ADMIN or is of the group that the sysctl
kernel.io_uring_group names; 2: nobody."""


@functools.cache
def missing() -> str | None:
    """Why io_uring cannot be used here, or None if it can. Asked once in a process."""
    if sys.platform != "linux":
        return "io_uring(7) is Linux's"
    why = _native.missing("uring_loop")
    if why is not None:
        return why
    from jackfield._native.uring import probe

    number, what = probe()
    return explain(number, what) if number else None


def explain(number: int, what: str) -> str:
    """What it means that ``what`` failed with the errno ``number``."""
    if number == errno.ENOSYS:
        return "this kernel has no io_uring, or seccomp(2) hides it (as some containers do)"
    if number in (errno.EPERM, errno.EACCES):
        return _who_forbids()
    if number == errno.ENOMEM:
        return "the memory that a process may lock is used up (see ulimit -l)"
    if number in (errno.EINVAL, errno.EOPNOTSUPP, errno.EBADFD):
        return f"this kernel's io_uring is too old for {what} (Linux 6.0 has it)"
    return f"{what} failed: {os.strerror(number)}"


def _who_forbids() -> str:
    try:
        with open(DISABLED, encoding="ascii") as file:
            level = file.read().strip()
    except OSError:
        level = "0"
    if level == "1":
        return (
            "the sysctl kernel.io_uring_disabled is 1: it is for the group that "
            "kernel.io_uring_group names alone"
        )
    if level == "2":
        return "the sysctl kernel.io_uring_disabled is 2: it is for nobody"
    return "the system refuses it to this process (seccomp(2), as containers have it)"
