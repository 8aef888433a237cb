"""What a service and systemd say to each other: sockets opened for us, and how we are doing.

sd_listen_fds(3): descriptors 3, 4, ... are sockets that systemd bound and listens on, as the
environment says. sd_notify(3): lines such as READY=1 in a datagram to the Unix socket that
NOTIFY_SOCKET names. Without systemd none of these variables is set, and everything here does
nothing. No library of systemd's is needed.

Must not know servers or engines.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterable

from jackfield import lazy_typing as t
from jackfield import limits
from jackfield.address import AF_UNIX
from jackfield.endpoint import Endpoint, printable, refused
from jackfield.errors import SystemRefused

FIRST: t.Final = 3
"""SD_LISTEN_FDS_START: the first descriptor after the standard ones."""

UNNAMED: t.Final = "unknown"
"""What sd_listen_fds_with_names(3) calls a socket when no names were passed."""

SCHEME: t.Final = "systemd"

# --- sockets -----------------------------------------------------------------------------------


def activated() -> list[tuple[int, str]]:
    """The descriptors passed to this process, each with its name; none if they are not for it.

    They are close-on-exec afterwards, and the variables are gone from the environment, so that
    no child takes them for its own: a second call finds nothing. Raises ``SystemRefused`` when
    the environment promises what is not there.
    """
    pid, count, names = (
        os.environ.pop(name, "") for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")
    )
    if not pid.isdecimal() or int(pid) != os.getpid():
        return []
    passed = range(FIRST, FIRST + _descriptors(count))
    for fd in passed:
        _keep_from_children(fd)
    named = names.split(":") if names else [UNNAMED] * len(passed)
    if len(named) != len(passed):
        raise SystemRefused(f"LISTEN_FDNAMES has {len(named)} names for {len(passed)} descriptors")
    return list(zip(passed, named, strict=True))


def _descriptors(count: str) -> int:
    if not (count.isdecimal() and len(count) <= 9):
        raise SystemRefused(f"LISTEN_FDS={printable(count)} is no number of descriptors")
    return int(count)


def _keep_from_children(fd: int) -> None:
    try:
        os.set_inheritable(fd, False)
    except OSError as exc:
        raise SystemRefused(
            f"LISTEN_FDS counts descriptor {fd}: {exc.strerror}", exc.errno
        ) from exc


def expand(endpoints: Iterable[Endpoint]) -> list[Endpoint]:
    """``endpoints`` with ``systemd:`` replaced by an ``fd://`` for every socket passed to this
    process, and ``systemd:NAME`` by those of that name. Options are handed on.

    Raises ``AddressError`` where there is none. A socket may be taken by one endpoint only.
    """
    several = list(endpoints)
    if not any(endpoint.scheme == SCHEME for endpoint in several):
        return several  # who does not ask leaves the environment alone
    passed = activated()
    expanded: list[Endpoint] = []
    for endpoint in several:
        expanded += _taken(endpoint, passed) if endpoint.scheme == SCHEME else [endpoint]
    return expanded


def _taken(endpoint: Endpoint, passed: list[tuple[int, str]]) -> list[Endpoint]:
    """Take the sockets that ``endpoint`` names out of ``passed``."""
    taken = [(fd, name) for fd, name in passed if endpoint.name in ("", name)]
    if not taken:
        names = " ".join(sorted({printable(name) for _, name in passed}))
        raise refused(
            endpoint,
            f"no socket of that name is left; there are: {names}"
            if passed
            else "no socket was passed to this process; start it from a .socket unit, or with "
            "systemd-socket-activate",
        )
    for one in taken:
        passed.remove(one)
    return [Endpoint("fd", fd=fd, options=endpoint.options) for fd, _ in taken]


# --- notifications -----------------------------------------------------------------------------


def notify(*lines: str) -> bool:
    """Send ``lines`` (``NAME=value``) to the service manager as one message.

    True if it was sent; False without a manager, or if it did not take the message: a service
    runs on without. May block for NOTIFY_WAIT seconds.
    """
    where = os.environ.get("NOTIFY_SOCKET", "")
    if AF_UNIX < 0 or not where.startswith(("/", "@")):  # vsock: is for virtual machines
        return False
    address = b"\0" + os.fsencode(where[1:]) if where.startswith("@") else os.fsencode(where)
    try:
        with socket.socket(AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.settimeout(limits.NOTIFY_WAIT)
            sock.sendto("\n".join(lines).encode(), address)
    except OSError:
        return False
    return True


def ready(status: str = "") -> bool:
    """Started, or done with ``reloading``: clients are served. ``status`` is for people."""
    return notify("READY=1", *([_status(status)] if status else []))


def stopping() -> bool:
    """We are about to end."""
    return notify("STOPPING=1")


def reloading() -> bool:
    """We read our configuration anew; ``ready`` ends it. (``Type=notify-reload`` compares the
    time, which tells this reload from an earlier one.)"""
    now = getattr(time, "CLOCK_MONOTONIC", None)
    micros = (time.clock_gettime_ns(now) if now is not None else time.monotonic_ns()) // 1000
    return notify("RELOADING=1", f"MONOTONIC_USEC={micros}")


def status(text: str) -> bool:
    """A line for people, which ``systemctl status`` shows."""
    return notify(_status(text))


def _status(text: str) -> str:
    return f"STATUS={printable(text)}"  # a line end would begin another assignment


def watchdog_interval() -> float:
    """Seconds between two ``WATCHDOG=1``: half of what systemd waits before it takes us for
    dead (sd_watchdog_enabled(3)); 0 if it does not watch this process."""
    micros, pid = os.environ.get("WATCHDOG_USEC", ""), os.environ.get("WATCHDOG_PID", "")
    if not micros.isdecimal() or (pid and pid != str(os.getpid())):
        return 0.0
    return int(micros) / 2e6


def keep_alive(call_later: Callable[..., object]) -> None:
    """Say WATCHDOG=1 now, and again whenever half of the time has passed, as long as
    ``call_later(seconds, callback)`` calls: an engine that hangs does not. Nothing without a
    watchdog."""
    interval = watchdog_interval()
    if interval:
        notify("WATCHDOG=1")
        call_later(interval, keep_alive, call_later)
