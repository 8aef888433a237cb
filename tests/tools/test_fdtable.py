"""Descriptors and sockets joined, on processes that really hold them."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import typing as t
from collections.abc import Iterator

import pytest
from tests.support import until

from jackfield.errors import SystemRefused
from jackfield.kernel import fdinfo, sockdiag
from jackfield.tools import socket_facts
from jackfield.tools.fdtable import Holder, Row, Snapshot, Watcher

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's /proc")


def rows(pid: int | None = None) -> dict[int | str, Row]:
    return {row.fd: row for row in Snapshot().rows(pid or os.getpid())}


def row_of(sock: socket.socket) -> Row:
    return rows()[sock.fileno()]


def here(sock: socket.socket) -> Holder:
    return Holder(os.getpid(), sock.fileno(), fdinfo.process_name(os.getpid()))


def test_a_descriptor_and_its_socket() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=3) as listener:
        row = row_of(listener)
        assert (row.mode, row.type, row.protocol, row.state) == ("u", "IPv4", "tcp", "LISTEN")
        assert row.socket is not None
        assert socket_facts.local(row.socket) == f"127.0.0.1:{listener.getsockname()[1]}"
        assert socket_facts.queues(row.socket) == (0, 3)


def test_a_socket_that_was_never_bound() -> None:
    with socket.socket() as tcp, socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as udp:
        seen = [(row_of(one).type, row_of(one).protocol, row_of(one).state) for one in (tcp, udp)]
        assert row_of(tcp).socket is None
    assert seen == [("IPv4", "tcp", "CLOSED"), ("IPv6", "udp", "UNCONNECTED")]


def test_a_socket_that_is_bound_only() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        row = row_of(sock)
        assert row.state == "CLOSED"
        if row.socket is None:
            pytest.skip("this kernel (before 6.8) does not list sockets that are bound only")
        assert socket_facts.local(row.socket) == f"127.0.0.1:{sock.getsockname()[1]}"


def test_a_connection_made_after_the_first_look() -> None:
    """It is not shown as closed because the snapshot is older than it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        snapshot = Snapshot()
        with socket.create_connection(listener.getsockname()) as client:
            (row,) = [one for one in snapshot.rows(os.getpid()) if one.fd == client.fileno()]
    assert row.state == "ESTABLISHED"


def test_which_epoll_watches_what_for_what() -> None:
    with socket.socket() as one, select.epoll() as first, select.epoll() as second:
        first.register(one, select.EPOLLIN)
        second.register(one, select.EPOLLIN | select.EPOLLOUT | select.EPOLLET)
        second.register(first, select.EPOLLIN)
        seen = rows()
        assert seen[one.fileno()].watchers == (
            Watcher(first.fileno(), ("IN",)),
            Watcher(second.fileno(), ("IN", "OUT", "ET")),
        )
        assert seen[first.fileno()].watchers == (Watcher(second.fileno(), ("IN",)),)
        assert seen[first.fileno()].text == f"watches {one.fileno()}"


def test_an_epoll_that_still_watches_what_had_this_number_before() -> None:
    with socket.socket() as watched, select.epoll() as epoll:
        epoll.register(watched, select.EPOLLIN)
        number, kept = watched.fileno(), os.dup(watched.fileno())
        with socket.socket() as other:
            os.dup2(other.fileno(), number)
            assert rows()[number].watchers == ()
        os.close(kept)


def test_unix_peers_by_process_and_descriptor() -> None:
    one, other = socket.socketpair()
    with one, other:
        peer = row_of(one).peer
        assert peer is not None
        assert (peer.holders, peer.waits) == ((here(other),), False)


def test_a_unix_client_that_waits_to_be_accepted() -> None:
    name = f"jackfield-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as client:
        listener.bind(f"\0{name}")
        listener.listen()
        client.connect(f"\0{name}")
        peer = row_of(client).peer
        assert peer is not None
        assert (peer.name, peer.holders, peer.waits) == (f"@{name}", (here(listener),), True)


@contextlib.contextmanager
def forked() -> Iterator[int]:
    """A process that has all of our descriptors."""
    pid = os.fork()
    if not pid:
        signal.pause()
        os._exit(0)
    try:
        yield pid
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def test_processes_that_share_a_socket_have_a_row_each() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, forked() as pid:
        mine, theirs = row_of(listener), rows(pid)[listener.fileno()]
        assert mine.inode == theirs.inode
        assert mine.state == theirs.state == "LISTEN"
        holders = Snapshot().holders(mine.inode)
        assert [(one.pid, one.fd) for one in holders] == [
            (one, listener.fileno()) for one in sorted((os.getpid(), pid))
        ]


def test_a_process_that_has_ended() -> None:
    snapshot = Snapshot()
    with forked() as pid:
        pass
    with pytest.raises(SystemRefused, match="there is no process"):
        snapshot.rows(pid)


def test_descriptors_that_close_while_we_look(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    real = os.readlink

    def readlink(path: str) -> str:
        if path.endswith(f"/fd/{reading}"):
            os.close(writing)
            raise FileNotFoundError
        return real(path)

    monkeypatch.setattr(os, "readlink", readlink)
    seen = rows()
    os.close(reading)
    assert reading not in seen
    assert writing not in seen


def test_without_sock_diag(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> t.NoReturn:
        raise SystemRefused("the kernel does not list these sockets: no module", 2)

    for kind in ("tcp", "udp", "unix"):
        monkeypatch.setattr(sockdiag, kind, refuse)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        row = row_of(listener)
        assert row.state == "LISTEN"
        assert row.socket is not None
        assert socket_facts.local(row.socket).endswith(f":{listener.getsockname()[1]}")
    notes = Snapshot().notes
    assert len(notes) == 3
    assert "tcp: the kernel does not list these sockets: no module; /proc/net" in notes[0]


ELSEWHERE: t.Final = """
import socket, sys
listener = socket.create_server(("127.0.0.1", 0))
print(listener.fileno(), listener.getsockname()[1], flush=True)
sys.stdin.read()
"""


def test_a_process_in_another_network_namespace() -> None:
    command = ["unshare", "--net", sys.executable, "-c", ELSEWHERE]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        fd, _, port = process.stdout.readline().decode().strip().partition(" ")
        if not fd:
            process.stdin.close()
            pytest.skip("no network namespace can be made: it wants root")
        row = rows(process.pid)[int(fd)]
        process.stdin.close()
    assert row.state == "LISTEN"
    assert row.socket is not None
    assert socket_facts.local(row.socket) == f"127.0.0.1:{port}"


def test_timers_and_retransmissions_in_words() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname()) as client,
        listener.accept()[0],
    ):
        client.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        until(lambda: _timer(client).startswith("keepalive 7"))
        facts = socket_facts.as_dict(_socket(client))
    assert facts["timer"]["name"] == "keepalive"
    assert 7_000_000 < facts["timer"]["expires_ms"] <= 7_300_000
    assert facts["tcp"]["cwnd"] > 0


def _socket(sock: socket.socket) -> t.Any:
    return row_of(sock).socket


def _timer(sock: socket.socket) -> str:
    return socket_facts.timer(_socket(sock))
