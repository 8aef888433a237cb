"""Descriptors and sockets joined: what ``jackfield fds``, ``sockets`` and ``top`` show.

A ``Snapshot`` reads the kernel's sockets once, by inode. A process's descriptor that is a socket
names that inode, so that several processes which share a socket each have a row of their own::

    /proc/PID/fd/5 -> socket:[41]      sock_diag: 41 is TCP 127.0.0.1:8888, LISTEN
                 \\________ Row ________/

To look again, make another; on a machine with thousands of sockets that costs milliseconds.
Names and paths in rows are what processes chose: who shows them escapes them. Must not know
terminals.
"""

from __future__ import annotations

import functools
import os
import typing as t
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from jackfield.errors import SystemRefused
from jackfield.kernel import fdinfo, proc_net, sockdiag
from jackfield.kernel.fdinfo import Descriptor, Watch
from jackfield.kernel.proc_net import Socket
from jackfield.kernel.unix_diag import UnixSocket
from jackfield.tools import socket_facts

KINDS: t.Final = ("tcp", "udp", "unix")
"""What sock_diag is asked for."""

FILES: t.Final = {"tcp": ("tcp", "tcp6"), "udp": ("udp", "udp6"), "unix": ("unix",)}
"""The files of /proc/net that list the same: to fall back on, and not to read them for nothing."""


class Holder(t.NamedTuple):
    """A process that has a socket as its descriptor ``fd``."""

    pid: int
    fd: int
    process: str


class Watcher(t.NamedTuple):
    """An epoll, as descriptor ``epoll`` of the same process, that watches for ``events``."""

    epoll: int
    events: tuple[str, ...]


class UnixPeer(t.NamedTuple):
    """The other end of a Unix socket: its name and who has it. ``waits``: nobody yet; ``holders``
    have the listener in whose backlog the connection is."""

    name: str
    holders: tuple[Holder, ...]
    waits: bool


@dataclass(frozen=True, slots=True)
class Row:
    """One descriptor of one process, or (``fd`` is a word) a file that it has otherwise."""

    pid: int
    process: str
    fd: int | str
    """A number, or cwd, rtd, txt, mem."""
    mode: str
    """r, w, u (both); "" where it is not known."""
    type: str
    """IPv4, IPv6, unix, netlink, packet, REG, DIR, CHR, FIFO, eventpoll, eventfd ..."""
    protocol: str
    """tcp, udp, raw; stream, dgram, seqpacket; "" for what is no socket."""
    text: str
    """For what is no socket: a path, or what the kernel tells."""
    inode: int
    socket: Socket | None
    """None too for a socket that no table of the kernel lists: one that was never bound."""
    peer: UnixPeer | None = None
    watchers: tuple[Watcher, ...] = ()

    @property
    def state(self) -> str:
        """``ESTABLISHED``, ``LISTEN``; "" for what has none. A socket of IP that no table lists is
        not bound, or its connection is over."""
        if self.socket is not None:
            return socket_facts.state_of(self.socket)
        if self.type not in ("IPv4", "IPv6"):
            return ""
        return sockdiag.STATES[sockdiag.CLOSED] if self.protocol == "tcp" else sockdiag.UNCONNECTED


class Snapshot:
    """The sockets of this moment. ``notes`` are lines for a person: what is missing, and why.

    ``sockets`` are those of this network namespace, ``kinds`` a selection of KINDS. Who holds
    what is found when first asked for, and belongs to that later moment.
    """

    def __init__(self, kinds: Iterable[str] = KINDS) -> None:
        self._kinds = tuple(kinds)
        self.notes: list[str] = []
        self.sockets: list[Socket] = []
        self._listed: set[tuple[str, str]] = set()
        namespace = fdinfo.network_namespace(os.getpid())
        for kind in self._kinds:
            self.sockets += self._read(kind)
            self._listed.update((namespace, file) for file in FILES[kind])
        self._by_inode = {one.inode: one for one in self.sockets if one.inode}
        self._names: dict[int, str] = {}
        self._elsewhere: dict[tuple[str, str], dict[int, Socket]] = {}

    def _read(self, kind: str) -> list[t.Any]:
        ask: Callable[[], list[t.Any]] = getattr(sockdiag, kind)
        try:
            return ask()
        except SystemRefused as exc:
            note = f"{kind}: {exc}; /proc/net tells less of them"
            if note not in self.notes:
                self.notes.append(note)
            return [one for file in FILES[kind] for one in proc_net.load(os.getpid(), file)]

    # --- who holds what ------------------------------------------------------------------------

    @functools.cached_property
    def _holders(self) -> tuple[dict[int, list[tuple[int, int]]], int]:
        return fdinfo.all_sockets()

    @property
    def hidden(self) -> int:
        """Processes whose descriptors we may not see."""
        return self._holders[1]

    def holders(self, inode: int) -> tuple[Holder, ...]:
        """Everybody who has this socket, by pid and descriptor; nobody for inode 0."""
        found = self._holders[0].get(inode, ()) if inode else ()
        return tuple(Holder(pid, fd, self.name(pid)) for pid, fd in found)

    def name(self, pid: int) -> str:
        """The command name of a process, read once."""
        if pid not in self._names:
            self._names[pid] = fdinfo.process_name(pid)
        return self._names[pid]

    def pids_with(self, wanted: Callable[[Socket], bool]) -> list[int]:
        """Who holds a socket that is ``wanted``, ascending."""
        inodes = [one.inode for one in self.sockets if one.inode and wanted(one)]
        return sorted({pid for inode in inodes for pid, _ in self._holders[0].get(inode, ())})

    def unix_peer(self, sock: Socket) -> UnixPeer | None:
        """The other end of a Unix socket; None where it has none, or the kernel does not tell."""
        if not isinstance(sock, UnixSocket):
            return None
        inode = sock.peer or self._backlogs.get(sock.inode, 0)
        other = self._by_inode.get(inode)
        if not inode:
            return None
        name = socket_facts.unix_name(other) if isinstance(other, UnixSocket) else ""
        return UnixPeer(name, self.holders(inode), not sock.peer)

    @functools.cached_property
    def _backlogs(self) -> dict[int, int]:
        """Inode of a Unix client that waits -> of the listener."""
        return {
            client: one.inode
            for one in self.sockets
            if isinstance(one, UnixSocket)
            for client in one.waiting
        }

    # --- rows ----------------------------------------------------------------------------------

    def rows(self, pid: int, files: bool = False) -> list[Row]:
        """The descriptors of a process by number; with ``files`` cwd, txt and mem before them.

        Raises ``SystemRefused``: there is no such process (any more), or it is another user's.
        """
        found = fdinfo.descriptors(pid)
        name = self.name(pid)
        watchers = _watchers(found)
        before = [
            Row(pid, name, one.fd, "", one.type, "", one.target, 0, None)
            for one in (fdinfo.mapped_files(pid) if files else ())
        ]
        return [*before, *(self._row(pid, name, one, watchers.get(one.fd, ())) for one in found)]

    def _row(self, pid: int, name: str, one: Descriptor, watchers: tuple[Watcher, ...]) -> Row:
        kind, protocol, text, sock, peer = one.type, "", "", None, None
        if one.type != fdinfo.SOCKET or not one.inode:
            text = _text_of(one)
        else:
            sock = self._by_inode.get(one.inode)
            if sock is None:
                sock, kind, protocol = self._look_elsewhere(pid, one)
            if sock is not None:
                kind, protocol = socket_facts.type_of(sock), sock.protocol
                peer = self.unix_peer(sock)
        return Row(
            *(pid, name, one.fd, one.mode, kind, protocol, text, one.inode, sock, peer, watchers)
        )

    def _look_elsewhere(self, pid: int, one: Descriptor) -> tuple[Socket | None, str, str]:
        """A socket that sock_diag did not list: of a kind it is not asked for, of another network
        namespace, one made since, or one that is not bound."""
        word = proc_net.protocol_of(f"/proc/{pid}/fd/{one.fd}")
        file, kind, protocol = proc_net.KINDS.get(word, ("", "sock", word.lower()))
        if not file:
            return None, kind, protocol
        place = (fdinfo.network_namespace(pid) or str(pid), file)
        if place in self._listed:
            return self._later.get(one.inode), kind, protocol
        if place not in self._elsewhere:
            loaded = proc_net.load(pid, file)
            self._elsewhere[place] = {sock.inode: sock for sock in loaded if sock.inode}
        return self._elsewhere[place].get(one.inode), kind, protocol

    @functools.cached_property
    def _later(self) -> dict[int, Socket]:
        """A second listing, for descriptors that are sockets the first did not have: they were
        made since, or they are TCP and bound only."""
        later: list[Socket] = [one for kind in self._kinds for one in self._read(kind)]
        try:
            later += sockdiag.tcp_bound()
        except SystemRefused:
            pass  # what _read has noted
        return {one.inode: one for one in later}


def _watchers(found: Iterable[Descriptor]) -> dict[int, tuple[Watcher, ...]]:
    """Which epoll watches which descriptor. An epoll knows the number that a descriptor had when
    it was registered; that number may be another file by now, whose inode then differs."""
    inodes = {one.fd: one.inode for one in found}
    watchers: dict[int, tuple[Watcher, ...]] = {}
    for one in found:
        for watch in one.info.watches if one.info else ():
            if _still(watch, inodes):
                watcher = Watcher(one.fd, tuple(watch.names))
                watchers[watch.fd] = (*watchers.get(watch.fd, ()), watcher)
    return watchers


def _still(watch: Watch, inodes: dict[int, int]) -> bool:
    inode = inodes.get(watch.fd)
    return inode is not None and inode in (0, watch.inode)  # 0: an anonymous inode, not known


def _text_of(one: Descriptor) -> str:
    """What to say of a descriptor that is no socket."""
    if one.info is None or not one.target.startswith("anon_inode:"):
        return one.target
    if one.type == "eventpoll":
        # The kernel has them in the order of their addresses in memory.
        fds = " ".join(str(fd) for fd in sorted(watch.fd for watch in one.info.watches))
        return f"watches {fds}" if fds else "watches nothing"
    if one.type == "pidfd":
        return f"process {one.info.fields.get('Pid', '?')}"
    if one.type == "eventfd":
        return f"count {one.info.fields.get('eventfd-count', '?')}"
    return ""
