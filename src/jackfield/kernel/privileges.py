"""Root binds, somebody else serves: giving up root for good, once every socket is open.

The order is forced: each step needs a privilege that a later one takes away.

    files to the new owner -> supplementary groups -> group -> user -> no new privileges

Afterwards it is tried whether root comes back; if it does, we do not serve. On Linux the kernel
takes the capabilities away with the last of the user ids that is 0 (capabilities(7)), and
no_new_privs keeps setuid programs that a child may run from bringing any back (prctl(2)).

Must not know servers. Affects the whole process: call it before other threads hold secrets.
"""

from __future__ import annotations

import os
import stat
import sys

from jackfield import lazy_typing as t
from jackfield.endpoint import printable
from jackfield.errors import SystemRefused, UsageError
from jackfield.kernel.unix_sockets import FileIdentity

PR_SET_NO_NEW_PRIVS: t.Final = 38  # <linux/prctl.h>

LARGEST_ID: t.Final = 2**32 - 2
"""The ids are 32 bits wide; the last one, -1, means "unchanged" to setresuid(2)."""


class Identity(t.NamedTuple):
    """Who a process is to become. ``groups`` are all its groups, ``gid`` among them; ``text`` is
    the option that asked for it, safe to print."""

    uid: int
    gid: int
    groups: tuple[int, ...]
    text: str

    @classmethod
    def find(cls, user: str = "", group: str = "") -> t.Self | None:
        """``user`` is a name or number, alone or as ``USER:GROUP``; ``group`` a name or number.

        Without a group: the user's own groups. Without a user: the user stays. None when
        neither is given. Raises ``UsageError`` for somebody this system does not know.
        """
        user, colon, behind = user.partition(":")
        if colon and (not behind or not user or group):
            raise UsageError("the group is given once: --user USER:GROUP, or --group GROUP")
        group = group or behind
        if not user and not group:
            return None
        if sys.platform == "win32":
            raise UsageError("--user and --group are for Unix systems")
        asked = f"--user {user}" if user else f"--group {group}"
        text = printable(f"{asked}:{group}" if user and group else asked)
        uid, own_gid, name = _user(user) if user else (os.geteuid(), None, None)
        gid = _group(group) if group else own_gid
        if gid is None:
            raise UsageError(f"{text}: this number has no group; give one with --group")
        groups = os.getgrouplist(name, gid) if name else [gid]
        return cls(uid, gid, tuple(sorted(set(groups))), text)

    def is_ours(self) -> bool:
        """True if this process is that already, and may be nobody else."""
        mine = {*os.getgroups(), os.getegid()}
        return (
            self.uid == os.getuid() == os.geteuid() != 0
            and self.gid == os.getegid()
            and (mine <= set(self.groups))
        )


def _user(text: str) -> tuple[int, int | None, str | None]:
    """Number, group and name; a number need not have a name, nor then a group."""
    import pwd  # Unix only

    try:
        entry = pwd.getpwuid(_number(text)) if text.isdecimal() else pwd.getpwnam(text)
    except KeyError:
        if text.isdecimal():
            return int(text), None, None
        raise UsageError(f"--user {printable(text)}: there is no such user here") from None
    return entry.pw_uid, entry.pw_gid, entry.pw_name


def _group(text: str) -> int:
    import grp  # Unix only

    if text.isdecimal():
        return _number(text)
    try:
        return grp.getgrnam(text).gr_gid
    except KeyError:
        raise UsageError(f"--group {printable(text)}: there is no such group here") from None


def _number(text: str) -> int:
    if len(text) > 10 or int(text) > LARGEST_ID:
        raise UsageError(f"{printable(text)} is no id of a user or group")
    return int(text)


def require(identity: Identity) -> None:
    """Raise ``UsageError`` if this process cannot become ``identity``: before it binds."""
    if not identity.is_ours() and os.geteuid() != 0:
        raise UsageError(
            f"{identity.text}: only root can change user and group; start it as root, or "
            "leave --user and --group out"
        )


def drop(identity: Identity) -> None:
    """Become ``identity`` for good. Raises ``UsageError`` when not root, ``SystemRefused``
    where a step failed or root could be had again: then the process must end."""
    require(identity)
    try:
        if sys.platform == "linux":
            import ctypes  # noqa: F401  # while its file can be read: the new user may not be able
        if not identity.is_ours():
            os.setgroups(identity.groups)
            _set_ids(identity.gid, identity.uid)
        if sys.platform == "linux":
            no_new_privileges()
    except OSError as exc:
        why = f"{identity.text}: {exc.strerror}"
        raise SystemRefused(why, exc.errno) from exc
    _check(identity)


def _set_ids(gid: int, uid: int) -> None:
    """Real, effective and saved, so that none is left to go back to."""
    if sys.platform == "linux":
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
    else:  # macOS and the BSDs: for root each of these sets all three
        os.setgid(gid)
        os.setuid(uid)


def no_new_privileges() -> None:
    """A program that this process turns into gains nothing by being setuid. Raises ``OSError``."""
    import ctypes  # as long as the rest of this module's imports, and only root comes here

    libc = ctypes.CDLL(None, use_errno=True)
    # The unused arguments must be zeros, as wide as a long each (prctl(2)).
    unused = [ctypes.c_ulong(0)] * 3
    if libc.prctl(PR_SET_NO_NEW_PRIVS, ctypes.c_ulong(1), *unused):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _check(identity: Identity) -> None:
    are = (os.getuid(), os.geteuid(), os.getgid(), os.getegid())
    wanted = (identity.uid, identity.uid, identity.gid, identity.gid)
    if are != wanted or not set(os.getgroups()) <= set(identity.groups):
        raise SystemRefused(f"{identity.text}: the system did not change all ids")
    if identity.uid and _regained():
        raise SystemRefused(f"{identity.text}: root could be had again; not serving")


def _regained() -> bool:
    """Try every way back to root."""
    for attempt in (os.setuid, os.seteuid, os.setgid, os.setegid):
        # A group 0 that was asked for is no way back: setgid(0) succeeds for who has it.
        if attempt in (os.setgid, os.setegid) and os.getgid() == 0:
            continue
        try:
            attempt(0)
        except OSError:
            continue
        return True
    return False


def give(made: FileIdentity, identity: Identity) -> None:
    """Make a Unix socket's file the new identity's, so that who it becomes may be reached there.

    The file is held open by its inode while that is compared and changed: root must not give
    away another file that was put in its place meanwhile. Raises ``SystemRefused``.
    """
    held = -1
    try:
        if not hasattr(os, "O_PATH"):  # not Linux: there is no way to hold a socket's file
            _require_same(os.lstat(made.path), made)
            os.lchown(made.path, identity.uid, identity.gid)
            return
        held = os.open(made.path, os.O_PATH | os.O_NOFOLLOW)
        _require_same(os.fstat(held), made)
        os.chown(f"/proc/self/fd/{held}", identity.uid, identity.gid)
    except OSError as exc:
        why = f"cannot be given to the new owner ({identity.text}): {exc.strerror}"
        raise SystemRefused(f"{printable(made.path)}: {why}", exc.errno) from exc
    finally:
        if held >= 0:
            os.close(held)


def _require_same(status: os.stat_result, made: FileIdentity) -> None:
    same = (status.st_dev, status.st_ino) == (made.device, made.inode)
    if not same or not stat.S_ISSOCK(status.st_mode):
        raise SystemRefused(f"{printable(made.path)}: was replaced while the server started")
