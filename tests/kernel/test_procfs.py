"""Who holds a port: the parsers on text, and the whole on processes that really listen."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jackfield.address import Address, Endpoint, resolve
from jackfield.kernel.procfs import (
    Holder,
    InetEntry,
    conflicts,
    holder_of,
    parse_inet,
    parse_unix,
)

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's /proc")

TCP = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:22B8 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 41 1 0
   1: 0100007F:22B8 0100007F:C350 01 00000000:00000000 00:00000000 00000000  1000        0 42 1 0
   2: nonsense
"""
TCP6 = """\
   0: 00000000000000000000000001000000:0050 00000000000000000000000000000000:0000 0A \
00000000:00000000 00:00000000 00000000     0        0 77 1 0
"""
UNIX = """\
Num       RefCount Protocol Flags    Type St Inode Path
ffff8881: 00000002 00000000 00010000 0001 01 20573 /run/with space.sock
ffff8882: 00000002 00000000 00010000 0001 01 20574 @abstract
ffff8883: 00000003 00000000 00000000 0001 03 20575
"""


@pytest.mark.skipif(sys.byteorder != "little", reason="the sample is of a little-endian machine")
def test_parse_inet() -> None:
    assert list(parse_inet(TCP)) == [
        InetEntry(bytes([127, 0, 0, 1]), 8888, 0x0A, 41),
        InetEntry(bytes([127, 0, 0, 1]), 8888, 0x01, 42),
    ]
    assert list(parse_inet(TCP6)) == [
        InetEntry(socket.inet_pton(socket.AF_INET6, "::1"), 80, 0x0A, 77)
    ]


def test_parse_unix() -> None:
    assert list(parse_unix(UNIX)) == [("/run/with space.sock", 20573), ("@abstract", 20574)]


@given(st.text())
def test_parsers_survive_any_text(text: str) -> None:
    list(parse_inet(text))
    list(parse_unix(text))


@pytest.mark.parametrize(
    ("held", "wanted", "rank"),
    [
        ("127.0.0.1", "127.0.0.1", 2),
        ("127.0.0.1", "127.0.0.2", 0),
        ("0.0.0.0", "127.0.0.1", 1),
        ("127.0.0.1", "0.0.0.0", 1),
        ("0.0.0.0", "0.0.0.0", 2),
        ("::", "127.0.0.1", 1),  # unless it is V6ONLY, which cannot be seen
        ("::", "::1", 1),
        ("::1", "::", 1),
        ("::1", "0.0.0.0", 0),
        ("0.0.0.0", "::", 0),  # ours is V6ONLY
        ("::ffff:127.0.0.1", "127.0.0.1", 2),
    ],
)
def test_conflicts(held: str, wanted: str, rank: int) -> None:
    def pack(host: str) -> bytes:
        return socket.inet_pton(socket.AF_INET6 if ":" in host else socket.AF_INET, host)

    assert conflicts(InetEntry(pack(held), 1, 0x0A, 1), pack(wanted)) == rank


def one(text: str) -> Address:
    return resolve(Endpoint.parse(text), passive=True)[0]


CHILD = """
import socket, sys
from pathlib import Path
family, kind, where = sys.argv[1:]
family, kind = int(family), int(kind)
sock = socket.socket(family, kind)
sock.bind(eval(where))
if kind == socket.SOCK_STREAM:
    sock.listen()
Path("/proc/self/comm").write_text("ev\\x1b[2Jil")
print(sock.getsockname()[1] if family == socket.AF_INET else 0, flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def child(family: int, kind: int, where: object) -> Iterator[tuple[int, int]]:
    """A process that holds a socket and has a hostile name: its (pid, port)."""
    arguments = [sys.executable, "-c", CHILD, str(int(family)), str(int(kind)), repr(where)]
    with subprocess.Popen(
        arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield process.pid, int(process.stdout.readline())
        process.stdin.close()


@linux
@pytest.mark.parametrize("bound", ["127.0.0.1", "0.0.0.0"])
def test_holder_of_a_tcp_port(bound: str) -> None:
    with child(socket.AF_INET, socket.SOCK_STREAM, (bound, 0)) as (pid, port):
        holder = holder_of(one(f"tcp://127.0.0.1:{port}"))
        assert holder == Holder(pid, r"ev\x1b[2Jil")
        assert str(holder) == rf"ev\x1b[2Jil (pid {pid})"
        assert holder_of(one(f"udp://127.0.0.1:{port}")) is None
        if bound == "127.0.0.1":
            assert holder_of(one(f"tcp://127.0.0.2:{port}")) is None


@linux
def test_holder_of_a_udp_port() -> None:
    with child(socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", 0)) as (pid, port):
        holder = holder_of(one(f"udp://:{port}"))
        assert holder is not None
        assert holder.pid == pid


@linux
def test_holder_of_unix_names(tmp_path: Path) -> None:
    path = str(tmp_path / "s p")
    name = f"jackfield-test-{os.getpid()}"
    for where, text in ((path, f"unix:{path}"), (b"\0" + name.encode(), f"unix:@{name}")):
        with child(socket.AF_UNIX, socket.SOCK_STREAM, where) as (pid, _):
            holder = holder_of(one(text))
            assert holder is not None
            assert holder.pid == pid


@linux
def test_only_a_listener_holds_a_tcp_port() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        assert holder_of(one(f"tcp://127.0.0.1:{sock.getsockname()[1]}")) is None


def test_nothing_to_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **options: object) -> object:
        raise PermissionError

    monkeypatch.setattr("builtins.open", refuse)
    monkeypatch.setattr(os, "listdir", refuse)
    assert holder_of(one("tcp://127.0.0.1:1")) is None
