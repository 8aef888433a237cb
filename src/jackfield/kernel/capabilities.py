"""Giving up every capability, and root with them, once what needed them is open (capabilities(7)).

Started by sudo, a process becomes again who called it: files that it writes are then that user's.
As root without sudo, or with a capability on the program's file, it keeps its user and loses all
capabilities, so that root's only privilege left is to own root's files. Either way
no_new_privs keeps a child from bringing any back.

Linux only. Affects the calling thread: call it before there are others.
"""

from __future__ import annotations

import ctypes
import os
import struct
import typing as t

from jackfield.errors import SystemRefused
from jackfield.kernel import privileges
from jackfield.kernel.privileges import Identity

_VERSION_3: t.Final = 0x20080522  # _LINUX_CAPABILITY_VERSION_3: 64 bits, in two halves
_HEADER: t.Final = struct.Struct("=Ii")
_SETS: t.Final = struct.Struct("=6I")
"""Effective, permitted, inheritable: the lower halves, then the upper ones."""


def give_up(environment: t.Mapping[str, str] = os.environ) -> str:
    """Drop every privilege for good; a line says what was done. ``environment`` is where sudo
    leaves word of who called it. Raises ``SystemRefused``: then the process must end."""
    caller = _sudo_caller(environment)
    if caller is not None:
        privileges.drop(caller)
        return f"root given up for user {caller.uid}, who called sudo"
    try:
        held = effective()
        _set_none()
        privileges.no_new_privileges()
    except OSError as exc:
        raise SystemRefused(f"capabilities cannot be given up: {exc.strerror}", exc.errno) from exc
    if effective():
        raise SystemRefused("capabilities cannot be given up: the system kept some")
    return "all capabilities given up" if held else "no capabilities held"


def effective() -> int:
    """The capabilities that this thread has now: a bit for each."""
    sets = ctypes.create_string_buffer(_SETS.size)
    _call("capget", sets)
    low, _, _, high, _, _ = _SETS.unpack(sets.raw)
    bits: int = high << 32 | low
    return bits


def _sudo_caller(environment: t.Mapping[str, str]) -> Identity | None:
    """Who called sudo; None where root was not come by that way."""
    user = environment.get("SUDO_UID", "")
    if os.geteuid() != 0 or not user.isdecimal() or int(user) == 0:
        return None
    group = environment.get("SUDO_GID", "")
    return Identity.find(user, group if group.isdecimal() else "")


def _set_none() -> None:
    _call("capset", ctypes.create_string_buffer(bytes(_SETS.size), _SETS.size))


def _call(name: str, sets: ctypes.Array[ctypes.c_char]) -> None:
    """capget(2) or capset(2) for this thread."""
    libc = ctypes.CDLL(None, use_errno=True)
    header = ctypes.create_string_buffer(_HEADER.pack(_VERSION_3, 0), _HEADER.size)
    if getattr(libc, name)(header, sets):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
