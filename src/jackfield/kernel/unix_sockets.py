"""Unix sockets with a name: private from their first moment, and no stale file in the way.

A Unix socket's file outlives its process, and bind(2) refuses a path that exists. So who
starts must remove a dead predecessor's file but never a living one's, and two that start at
once must not remove each other's::

    lock the directory
    the path exists?  no socket -> refuse.  somebody answers -> in use.  nobody -> unlink
    bind with mode 0600, widen it where that was asked for, then listen: nobody can connect before
    remember (device, inode); unlock

Sockets for datagrams are the same without the listen. At the end the file is unlinked only
while it is still that inode. The lock (flock(2)) is between jackfield's own; other programs do
not take it.

This module must not know listeners' options, engines or error texts beyond its own.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
import time
from collections.abc import Iterator

from jackfield import lazy_typing as t
from jackfield.address import Address
from jackfield.errors import SystemRefused, UsageError

MODE: t.Final = 0o600
"""Of a socket's file: connecting and sending want write permission (unix(7)), so owner only."""

LOCK_WAIT: t.Final = 2.0
"""Seconds to wait for the directory's lock. It is held for a few system calls; in a shared
directory a stranger could hold it for ever, and must not hold us."""

LOCK_RETRY: t.Final = 0.01
"""Seconds between two tries: as long as the work under the lock takes, at the most."""


class FileIdentity(t.NamedTuple):
    """Which file was made: what unlinking checks. ``path`` is absolute, ``pid`` who made it."""

    path: str
    device: int
    inode: int
    pid: int


class UnixDatagramSocket(socket.socket):
    """A Unix datagram socket that removes its file, if that is still its own, when closed."""

    made: FileIdentity | None = None

    def close(self) -> None:
        if self.made is not None:
            unlink_if_ours(self.made)
            self.made = None
        super().close()


def mode_of(address: Address) -> int:
    """The access mode of the address's file: its ``mode`` option, or MODE.

    Raises ``UsageError`` for a mode of an abstract name, which has no file.
    """
    text = address.option("mode")
    if text is None:
        return MODE
    if not address.path:
        raise UsageError(f"{address}: an abstract name has no file, and so no mode")
    return int(text, 8)


def listen_unix(
    address: Address, backlog: int, mode: int = MODE
) -> tuple[socket.socket, FileIdentity | None]:
    """A listening socket on ``address``, and the file it made (None for an abstract name).

    Abstract names have no permissions: whoever shares the network namespace may connect.
    Raises ``OSError`` as bind(2) and listen(2) do, EADDRINUSE when somebody answers, and
    ``SystemRefused`` when the path is something else than a socket.
    """
    sock = socket.socket(address.family, address.type)
    return sock, _bind(sock, address, mode, backlog)


def bind_unix_datagram(address: Address, mode: int = MODE) -> UnixDatagramSocket:
    """A datagram socket bound to ``address``; errors as ``listen_unix``."""
    sock = UnixDatagramSocket(address.family, address.type)
    sock.made = _bind(sock, address, mode, None)
    return sock


def _bind(
    sock: socket.socket, address: Address, mode: int, backlog: int | None
) -> FileIdentity | None:
    """Bind and, with a ``backlog``, listen; close the socket if that fails."""
    path = os.path.abspath(address.path) if address.path else ""
    made = None
    try:
        with _directory_lock(path) if path else contextlib.nullcontext():
            if path:
                _remove_stale(address, path)
            try:
                made = _bind_private(sock, address, path)
                if made and mode != MODE:
                    os.chmod(path, mode)
                if backlog is not None:
                    sock.listen(backlog)
            except BaseException:
                if made:
                    os.unlink(made.path)
                raise
    except BaseException:
        sock.close()
        raise
    return made


def unlink_if_ours(made: FileIdentity) -> None:
    """Remove the socket's file unless it was replaced, or this is a forked child."""
    if made.pid != os.getpid():
        return
    try:
        with _directory_lock(made.path):
            if _same_file(made):
                os.unlink(made.path)
    except OSError:
        pass  # a file left behind does no harm: the next start finds nobody behind it


def _bind_private(sock: socket.socket, address: Address, path: str) -> FileIdentity | None:
    """Bind; the file has MODE before anybody can connect, for nobody listens yet. (Datagrams
    can be sent at once: on Linux the file is made with that mode.)"""
    if not path:
        sock.bind(address.sockaddr)
        return None
    try:
        os.fchmod(sock.fileno(), MODE)  # Linux makes the file with the socket's own mode
    except OSError:
        pass  # BSD: EINVAL; the chmod below does it
    sock.bind(address.sockaddr)
    status = os.lstat(path)
    if stat.S_IMODE(status.st_mode) != MODE:
        os.chmod(path, MODE)
    return FileIdentity(path, status.st_dev, status.st_ino, os.getpid())


def _remove_stale(address: Address, path: str) -> None:
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(status.st_mode):
        raise SystemRefused(f"{address}: exists and is not a socket; not removed", errno.EEXIST)
    try:
        answered = _answers(address)
    except PermissionError as exc:  # it cannot be asked, so it is not removed
        why = "exists and belongs to another user; choose another path"
        raise SystemRefused(f"{address}: {why}", exc.errno) from exc
    if answered:
        raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
    if _same_file(FileIdentity(path, status.st_dev, status.st_ino, 0)):
        os.unlink(path)


def _answers(address: Address) -> bool:
    """True unless the kernel says that nobody has the socket behind the file open."""
    with socket.socket(address.family, address.type) as probe:
        probe.setblocking(False)  # a full backlog is an answer too (EAGAIN)
        try:
            probe.connect(address.sockaddr)
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except PermissionError as exc:
            if exc.errno == errno.EACCES:
                raise
            return True  # EPERM: a datagram socket that is connected to somebody else
        except OSError:
            return True
    return True


def _same_file(made: FileIdentity) -> bool:
    try:
        status = os.lstat(made.path)
    except FileNotFoundError:
        return False
    return (status.st_dev, status.st_ino) == (made.device, made.inode)


@contextlib.contextmanager
def _directory_lock(path: str) -> Iterator[None]:
    """Hold the lock of the directory of ``path``; do without where it cannot be locked.

    Raises ``BlockingIOError`` when somebody else holds it for LOCK_WAIT.
    """
    directory = -1
    try:
        directory = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY)
    except PermissionError:  # one may write to a directory that one may not read
        pass
    try:
        if directory >= 0:
            _lock(directory)
        yield
    finally:
        if directory >= 0:
            os.close(directory)


def _lock(directory: int) -> None:
    import fcntl  # not on Windows, where nothing calls this

    deadline = time.monotonic() + LOCK_WAIT
    while True:
        try:
            fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError as exc:
            if time.monotonic() > deadline:
                why = "another process holds the lock of the directory; try again"
                raise BlockingIOError(exc.errno, why) from exc
            time.sleep(LOCK_RETRY)
        except OSError:  # a file system without flock
            return
