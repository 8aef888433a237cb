"""The descriptors of processes, from Linux's /proc/PID/fd and /proc/PID/fdinfo (proc(5)).

A link there says what a descriptor is (``socket:[41]``, ``pipe:[7]``, ``anon_inode:[eventpoll]``, a
path), fdinfo how it was opened and, for epoll, what it watches. Processes end and close while
they are looked at: what is gone is left out. Names and paths are the processes' own bytes, as
``os.fsdecode`` makes them text: who shows them escapes them. Must not know sockets.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import sys
import typing as t
from collections.abc import Iterator

from jackfield.errors import SystemRefused

SOCKET: t.Final = "sock"
FILE_TYPES: t.Final = {
    stat.S_IFREG: "REG",
    stat.S_IFDIR: "DIR",
    stat.S_IFCHR: "CHR",
    stat.S_IFBLK: "BLK",
    stat.S_IFIFO: "FIFO",
    stat.S_IFLNK: "LINK",
    stat.S_IFSOCK: SOCKET,
}
"""By file type, as lsof(8) calls them."""

LINK: t.Final = re.compile(r"(socket|pipe):\[(\d+)\]|anon_inode:\[?([^]]*)\]?")
"""What is no path. A path begins with "/" (or "(unreachable)"), so that no file imitates it."""

MODES: t.Final = {os.O_RDONLY: "r", os.O_WRONLY: "w", os.O_RDWR: "u"}

O_PATH: t.Final[int] = getattr(os, "O_PATH", 0)

EVENTS: t.Final = {
    0x001: "IN",
    0x002: "PRI",
    0x004: "OUT",
    0x040: "RDNORM",
    0x080: "RDBAND",
    0x100: "WRNORM",
    0x200: "WRBAND",
    0x400: "MSG",
    0x2000: "RDHUP",
    1 << 28: "EXCLUSIVE",
    1 << 29: "WAKEUP",
    1 << 30: "ONESHOT",
    1 << 31: "ET",
}
"""EPOLLIN and following (linux/eventpoll.h), without ERR and HUP: these are always watched."""


class Watch(t.NamedTuple):
    """One registration in an epoll: descriptor ``fd`` of the process that made it, which then was
    the file with this ``inode``, for these events (a mask)."""

    fd: int
    events: int
    inode: int

    @property
    def names(self) -> list[str]:
        """``["IN", "ET"]``. Empty: nothing but errors (or a ONESHOT that has fired)."""
        return [name for bit, name in EVENTS.items() if self.events & bit]


class FdInfo(t.NamedTuple):
    """A file of /proc/PID/fdinfo. ``flags`` are those of open(2); ``fields`` all other lines."""

    flags: int | None
    position: int
    watches: tuple[Watch, ...]
    fields: dict[str, str]


class Descriptor(t.NamedTuple):
    """One descriptor. ``type`` is REG, DIR, CHR, BLK, FIFO, "sock", or what an anonymous inode is
    called: eventpoll, eventfd, timerfd, io_uring ...

    ``mode`` is r, w or u (both), "" where it is not known.
    """

    fd: int
    type: str
    mode: str
    inode: int
    target: str
    info: FdInfo | None


class Mapped(t.NamedTuple):
    """A file that a process has other than by a descriptor: ``fd`` is cwd, rtd, txt or mem."""

    fd: str
    type: str
    target: str


def parse_fdinfo(text: str) -> FdInfo:
    """Any text gives a result; lines that are none are left out."""
    fields: dict[str, str] = {}
    watches: list[Watch] = []
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if name == "tfd":
            watch = _parse_watch(value)
            if watch:
                watches.append(watch)
        else:
            fields[name.strip()] = value.strip()
    flags = fields.pop("flags", "")
    position = fields.pop("pos", "")
    return FdInfo(
        int(flags, 8) if re.fullmatch(r"[0-7]{1,20}", flags) else None,
        int(position) if re.fullmatch(r"[0-9]{1,20}", position) else 0,
        tuple(watches),
        fields,
    )


WATCH: t.Final = re.compile(
    r"\s*([0-9]{1,10})\s+events:\s*([0-9a-f]{1,8})\s.*\bino:\s*([0-9a-f]{1,16})\b"
)


def _parse_watch(text: str) -> Watch | None:
    """``  5 events:  19 data:  5  pos:0 ino:4eac7f sdev:9``."""
    found = WATCH.match(text)
    return Watch(int(found[1]), int(found[2], 16), int(found[3], 16)) if found else None


# --- one process -------------------------------------------------------------------------------


def descriptors(pid: int) -> list[Descriptor]:
    """All of one process, by number.

    Raises ``SystemRefused`` when there is no such process or we may not look.
    """
    found = []
    for fd, target in _links(pid):
        one = _describe(pid, fd, target)
        if one:
            found.append(one)
    return found


def socket_inodes(pid: int) -> list[tuple[int, int]]:
    """(fd, inode) of each socket of one process; a fraction of the cost of ``descriptors``.

    Raises ``SystemRefused`` as ``descriptors`` does.
    """
    return [(fd, int(link[8:-1])) for fd, link in _links(pid) if link.startswith("socket:[")]


def _links(pid: int) -> list[tuple[int, str]]:
    directory = f"/proc/{pid}/fd"
    try:
        numbers = sorted(int(name) for name in os.listdir(directory))
    except OSError as exc:
        raise _refused(pid, exc) from exc
    links = []
    for fd in numbers:
        try:
            links.append((fd, os.readlink(f"{directory}/{fd}")))
        except OSError:  # closed in the meantime
            continue
    return links


def _refused(pid: int, exc: OSError) -> SystemRefused:
    if exc.errno in (errno.ENOENT, errno.ESRCH):
        if sys.platform != "linux":
            return SystemRefused("descriptors are read from Linux's /proc, which is not here")
        return SystemRefused(f"there is no process {pid}", errno.ESRCH)
    if exc.errno in (errno.EACCES, errno.EPERM):
        why = "its descriptors may be seen by its own user and by root only; try sudo"
        return SystemRefused(f"process {pid}: {why}", exc.errno)
    return SystemRefused(f"process {pid}: {exc.strerror}", exc.errno)


def _describe(pid: int, fd: int, target: str) -> Descriptor | None:
    """None when it was closed in the meantime."""
    found = LINK.fullmatch(target)
    if found and found[1] == "socket":
        # A socket is always open for both; its fdinfo says nothing that is asked for.
        return Descriptor(fd, SOCKET, "u", int(found[2]), target, None)
    info = _fdinfo(pid, fd)
    mode = _mode(info)
    if found:
        kind = "FIFO" if found[1] else found[3]
        inode = int(found[2]) if found[2] else 0
        return Descriptor(fd, kind, mode, inode, target, info)
    try:
        status = os.stat(f"/proc/{pid}/fd/{fd}")
    except OSError:
        return Descriptor(fd, "", mode, 0, target, info) if info else None
    return Descriptor(fd, _type_of(status), mode, status.st_ino, target, info)


def _mode(info: FdInfo | None) -> str:
    """One opened with O_PATH can be neither read nor written."""
    if info is None or info.flags is None or info.flags & O_PATH:
        return ""
    return MODES.get(info.flags & os.O_ACCMODE, "")


def _type_of(status: os.stat_result) -> str:
    return FILE_TYPES.get(stat.S_IFMT(status.st_mode), "")


def _fdinfo(pid: int, fd: int) -> FdInfo | None:
    text = _read(f"/proc/{pid}/fdinfo/{fd}")
    return parse_fdinfo(text) if text else None


def mapped_files(pid: int) -> list[Mapped]:
    """The current and root directory, the program, and the files mapped into memory.

    Raises ``SystemRefused`` when there is no such process or we may not look.
    """
    found = []
    for fd, link in (("cwd", "cwd"), ("rtd", "root"), ("txt", "exe")):
        path = f"/proc/{pid}/{link}"
        try:
            found.append(Mapped(fd, _type_of(os.stat(path)), os.readlink(path)))
        except OSError as exc:
            if isinstance(exc, FileNotFoundError) and os.path.exists(f"/proc/{pid}"):
                continue  # a kernel thread has no program
            raise _refused(pid, exc) from exc
    program = next((one.target for one in found if one.fd == "txt"), "")
    paths = parse_maps(_read(f"/proc/{pid}/maps"))
    mapped = [Mapped("mem", _mapped_type(path), path) for path in paths if path != program]
    return [*found, *mapped]


def _mapped_type(path: str) -> str:
    """lsof's: a file that is mapped still and has no name any more is DEL."""
    return "DEL" if path.endswith(" (deleted)") else "REG"


def parse_maps(text: str) -> list[str]:
    """The paths in /proc/PID/maps, each once; line ends in them stay the kernel's ``\\012``."""
    columns = (line.split(maxsplit=5) for line in text.split("\n"))
    paths = (parts[5] for parts in columns if len(parts) == 6)
    return list(dict.fromkeys(path for path in paths if path.startswith("/")))


# --- all processes -----------------------------------------------------------------------------


def process_ids() -> list[int]:
    """Of every process that we are shown, ascending."""
    try:
        return sorted(int(name) for name in os.listdir("/proc") if name.isdigit())
    except OSError:
        return []


def runs(pid: int) -> bool:
    """Whether there is such a process, and not one that has ended and is not waited for yet."""
    state = _read(f"/proc/{pid}/stat").rpartition(")")[2].split()[:1]
    return state not in ([], ["Z"], ["X"])


def process_name(pid: int) -> str:
    """Its command name, 15 bytes at most and of its own choosing; "" when it is gone."""
    return _read(f"/proc/{pid}/comm").removesuffix("\n")


def network_namespace(pid: int) -> str:
    """``net:[4026531840]``; "" where we may not look or it is gone."""
    try:
        return os.readlink(f"/proc/{pid}/ns/net")
    except OSError:
        return ""


def all_sockets() -> tuple[dict[int, list[tuple[int, int]]], int]:
    """Who holds which socket: inode -> (pid, fd) of each descriptor; and the number of processes
    whose descriptors we may not see."""
    owners: dict[int, list[tuple[int, int]]] = {}
    hidden = 0
    for pid in process_ids():
        try:
            for fd, inode in socket_inodes(pid):
                owners.setdefault(inode, []).append((pid, fd))
        except SystemRefused as exc:
            hidden += exc.errno in (errno.EACCES, errno.EPERM)
    return owners, hidden


def named(name: str) -> Iterator[int]:
    """The processes whose command name is ``name``, or begins with it where the kernel has cut
    it at 15 bytes."""
    for pid in process_ids():
        own = process_name(pid)
        if own and own == os.fsdecode(os.fsencode(name)[:15]):
            yield pid


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read()
    except OSError:
        return ""
