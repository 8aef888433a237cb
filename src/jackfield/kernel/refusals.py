"""What the system's refusal to bind or listen means, in one line for a person.

This module must not open sockets; it only looks up who holds the address.
"""

from __future__ import annotations

import errno
import os
import socket
import typing as t

from jackfield.address import AF_UNIX, Address
from jackfield.errors import SystemRefused

PRIVILEGED: t.Final = 1024
"""Ports under it want a privilege (IPPORT_RESERVED; net.ipv4.ip_unprivileged_port_start)."""


def refusal(address: Address, exc: OSError) -> SystemRefused:
    """The error to raise for ``exc``, which socket, bind or listen gave for ``address``."""
    explain = _explain_unix if address.family == AF_UNIX else _explain_ip
    why = explain(address, exc) or _explain_any(exc)
    return SystemRefused(f"{address}: {why}", exc.errno)


def _explain_ip(address: Address, exc: OSError) -> str | None:
    host = address.sockaddr[0]
    if exc.errno == errno.EADDRINUSE:
        return f"in use by {_by_whom(address)}; stop it or choose another port"
    if exc.errno == errno.EACCES and 0 < address.port < PRIVILEGED:
        return (
            f"no permission: ports under {PRIVILEGED} want root or CAP_NET_BIND_SERVICE; "
            f"choose a port from {PRIVILEGED} up"
        )
    if exc.errno == errno.EADDRNOTAVAIL:
        return f"{host} is not an address of this machine"
    if exc.errno == errno.ENODEV:  # of a group without a route
        return "no interface leads to this group; name one, for example ?interface=lo"
    if exc.errno in (errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT):
        return f"this system has no IPv{6 if address.family == socket.AF_INET6 else 4}"
    if exc.errno == errno.EINVAL and str(host).lower().startswith("fe80:"):
        return f"a link-local address wants its interface: [{host}%eth0]"
    return None


def _explain_unix(address: Address, exc: OSError) -> str | None:
    directory = os.path.dirname(address.path) or "."
    shown = str(address).partition(":")[2].rpartition("/")[0] or directory
    if exc.errno == errno.EADDRINUSE:
        return f"in use by {_by_whom(address)}; stop it or choose another path"
    if exc.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"no permission to make a socket in {shown}"
    if exc.errno == errno.ENOENT:
        return f"the directory {shown} does not exist"
    if exc.errno == errno.ENOTDIR:
        return f"{shown} is not a directory"
    return None


def _explain_any(exc: OSError) -> str:
    if exc.errno == errno.EMFILE:
        return "this process has no descriptor left; raise its limit (ulimit -n)"
    return exc.strerror or str(exc)


def _by_whom(address: Address) -> str:
    from jackfield.kernel.procfs import holder_of

    holder = holder_of(address)
    if holder and holder.pid == os.getpid():
        return "this process"
    return str(holder or "another process")
