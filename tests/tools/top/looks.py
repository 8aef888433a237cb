"""Looks as the kernel might have given them: sockets made up, the time handed in."""

from __future__ import annotations

import socket
import typing as t

from jackfield.kernel import tcp_info
from jackfield.kernel.inet_diag import AF_INET, InetSocket
from jackfield.kernel.proc_net import Socket
from jackfield.kernel.tcp_info import TcpInfo
from jackfield.kernel.unix_diag import UnixSocket
from jackfield.tools.fdtable import Holder
from jackfield.tools.top.looker import Look

LOOPBACK: t.Final = socket.inet_aton("127.0.0.1")
ESTABLISHED, LISTEN = 1, 10


def connection(cookie: int = 1, **facts: t.Any) -> InetSocket:
    """An established TCP connection. ``facts`` are fields of InetSocket or of TcpInfo."""
    info = dict.fromkeys(TcpInfo._fields, 0) | {"snd_wnd": 65536, "rtt_us": 1000}
    own = set(TcpInfo._fields) - set(InetSocket._fields)
    info |= {name: facts.pop(name) for name in own & set(facts)}
    fields: dict[str, t.Any] = dict.fromkeys(InetSocket._fields, 0)
    fields |= {name: b"" for name in InetSocket._fields if name.startswith("raw_")}
    fields |= {
        "protocol": "tcp",
        "family": AF_INET,
        "state": ESTABLISHED,
        "sport": 8888,
        "dport": 40000 + cookie,
        "src": LOOPBACK,
        "dst": LOOPBACK,
        "cookie": cookie,
        "inode": 100 + cookie,
        "raw_tcp": tcp_info.STRUCT.pack(*info.values()),
    }
    return InetSocket(**(fields | facts))


def listener(cookie: int = 99, waiting: int = 0, backlog: int = 128, **facts: t.Any) -> InetSocket:
    changed = {"state": LISTEN, "rqueue": waiting, "wqueue": backlog, "dport": 0}
    return connection(cookie, **(changed | facts))


def unix(inode: int, **facts: t.Any) -> UnixSocket:
    fields: dict[str, t.Any] = dict.fromkeys(UnixSocket._fields, 0)
    fields |= {
        "type": 1,
        "state": ESTABLISHED,
        "inode": inode,
        "name": b"",
        "waiting": (),
    }
    return UnixSocket(**(fields | facts))


def look(at: float, *sockets: Socket, **facts: t.Any) -> Look:
    """Of process 4711, which holds them all, unless ``holders`` says otherwise."""
    holders = {one.inode: (Holder(4711, 5, "serve"),) for one in sockets if one.inode}
    return Look(at, list(sockets), facts.pop("holders", holders), **facts)
