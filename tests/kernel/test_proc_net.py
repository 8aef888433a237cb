"""Sockets as /proc/PID/net lists them: samples, any bytes, and real ones."""

from __future__ import annotations

import os
import socket
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jackfield.kernel import proc_net, sockdiag
from jackfield.kernel.inet_diag import InetSocket
from jackfield.kernel.proc_net import NetlinkSocket, PacketSocket
from jackfield.kernel.unix_diag import UnixSocket

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's /proc")
little = pytest.mark.skipif(sys.byteorder != "little", reason="samples of little-endian machines")

TCP = b"""\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:22B8 0100007F:C350 01 00000010:00000020 01:00000014 00000002  1000        0 42 1 0
   1: nonsense
   2: 01007F:22B8 0100007F:C350 01 00000010:00000020 01:00000014 00000002  1000        0 42 1 0
"""
UNIX = b"""\
Num       RefCount Protocol Flags    Type St Inode Path
ffff8881: 00000002 00000000 00010000 0001 01 20573 /run/with space.sock
ffff8882: 00000002 00000000 00000000 0002 01 20574 @abstract
ffff8883: 00000003 00000000 00000000 0005 03 20575
"""
NETLINK = b"""\
sk               Eth Pid        Groups   Rmem     Wmem     Dump  Locks    Drops    Inode
00000000ae512571 0   4711       00000011 1        2        0     2        0        4
"""
PACKET = b"""\
sk               RefCnt Type Proto  Iface R Rmem   User   Inode
00000000fada438b 3      3    0003   2     1 265264 1000   5155985
"""


@little
def test_parse_inet() -> None:
    (one,) = proc_net.parse_inet(TCP, "tcp")
    assert (one.local, one.peer) == (("127.0.0.1", 8888), ("127.0.0.1", 50000))
    assert (one.wqueue, one.rqueue, one.uid, one.inode) == (16, 32, 1000, 42)
    assert (one.timer_name, one.expires_ms, one.retransmits) == ("on", 200, 2)
    assert (one.tcp, one.memory, one.congestion, one.shutdown) == (None, None, "", 0)


def test_parse_unix() -> None:
    found = list(proc_net.parse_unix(UNIX))
    assert [(one.name, one.inode, one.protocol) for one in found] == [
        (b"/run/with space.sock", 20573, "stream"),
        (b"\0abstract", 20574, "dgram"),
        (b"", 20575, "seqpacket"),
    ]
    states = [sockdiag.state_name(one) for one in found]
    assert states == ["LISTEN", "UNCONNECTED", "ESTABLISHED"]


def test_parse_netlink_and_packet() -> None:
    assert list(proc_net.parse_netlink(NETLINK)) == [NetlinkSocket("route", 4711, 0x11, 1, 2, 4)]
    assert list(proc_net.parse_packet(PACKET)) == [PacketSocket("raw", 3, 2, 265264, 1000, 5155985)]


@given(st.binary(max_size=300))
def test_parsers_survive_any_bytes(data: bytes) -> None:
    for sample in (b"", TCP, UNIX, NETLINK, PACKET):
        feed = sample + data
        list(proc_net.parse_inet(feed, "tcp"))
        list(proc_net.parse_unix(feed))
        list(proc_net.parse_netlink(feed))
        list(proc_net.parse_packet(feed))


@linux
def test_it_agrees_with_sock_diag() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname()) as client,
        socket.socket(socket.AF_UNIX) as unix,
    ):
        unix.bind(b"\0jackfield-%d" % os.getpid())
        for sock, file in ((client, "tcp"), (unix, "unix")):
            inode = os.fstat(sock.fileno()).st_ino
            (one,) = [s for s in proc_net.load(os.getpid(), file) if s.inode == inode]
            every: list[proc_net.Socket] = [*sockdiag.tcp(), *sockdiag.unix()]
            (other,) = [s for s in every if s.inode == inode]
            if isinstance(one, InetSocket) and isinstance(other, InetSocket):
                assert (one.local, one.peer) == (other.local, other.peer)
            elif isinstance(one, UnixSocket) and isinstance(other, UnixSocket):
                assert one.name == other.name
            else:
                pytest.fail("two kinds")
            assert isinstance(one, InetSocket | UnixSocket)
            assert sockdiag.state_name(one) == sockdiag.state_name(other)


@linux
def test_protocol_of() -> None:
    with socket.socket() as tcp, socket.socket(socket.AF_UNIX) as unix:
        words = [proc_net.protocol_of(f"/proc/self/fd/{one.fileno()}") for one in (tcp, unix)]
    assert words[0] == "TCP"
    assert words[1] in ("UNIX", "UNIX-STREAM")
    assert proc_net.protocol_of("/proc/self/fd/99999") == ""
    assert proc_net.load(os.getpid(), "no such file") == []
