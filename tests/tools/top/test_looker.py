"""Who holds a socket is searched for when that may bring something new, and at no other time."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support import until

from jackfield.endpoint import Endpoint
from jackfield.errors import ConnectError, SystemRefused
from jackfield.kernel import fdinfo
from jackfield.tools.server_view import Facts
from jackfield.tools.top.looker import RESCAN, Holders, Look, Looker
from jackfield.tools.top.server import Asker

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's /proc")


class Scanning:
    """A search that counts how often it was made."""

    def __init__(self) -> None:
        self.count = 0
        self.found: dict[int, list[tuple[int, int]]] = {}

    def __call__(self) -> tuple[dict[int, list[tuple[int, int]]], int]:
        self.count += 1
        return self.found, 3


def test_a_search_only_for_a_socket_that_is_new() -> None:
    scan = Scanning()
    holders = Holders(scan, name=lambda pid: f"p{pid}")
    scan.found = {1: [(7, 3), (8, 3)]}
    for _ in range(3):
        holders.refresh([1, 2], 0.0)  # 2 is held by nobody whom we may see
    holders.refresh([1], 1.0)
    assert scan.count == 1
    assert [(one.pid, one.fd, one.process) for one in holders.of[1]] == [(7, 3, "p7"), (8, 3, "p8")]
    assert (2 in holders.of, holders.hidden) == (False, 3)
    scan.found = {1: [(8, 3)], 5: [(8, 4)]}
    holders.refresh([1, 5], 1.0)
    assert (scan.count, [one.pid for one in holders.of[1]]) == (2, [8])


def test_a_search_once_in_a_while_in_any_case() -> None:
    scan = Scanning()
    holders = Holders(scan)
    holders.refresh([], 100.0)
    holders.refresh([], 100.0 + RESCAN / 2)
    assert scan.count == 1
    holders.refresh([], 100.0 + RESCAN)
    assert scan.count == 2


@linux
def test_our_own_sockets() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        inode = os.fstat(listener.fileno()).st_ino
        for looker in (Looker(["tcp"]), Looker(["tcp"], os.getpid())):
            look = looker.look()
            assert inode in {one.inode for one in look.sockets}
            assert (os.getpid(), listener.fileno()) in [one[:2] for one in look.holders[inode]]


@linux
def test_one_process_has_its_own_sockets_alone() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
        with other:
            look = Looker(["tcp"], other.pid).look()
            assert os.fstat(listener.fileno()).st_ino not in {one.inode for one in look.sockets}


@linux
def test_a_process_that_ends_becomes_a_note() -> None:
    """In the next look, though no socket came that would be searched for."""
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as process:
        looker = Looker(["unix"], process.pid, clock=lambda: 1.0)
        assert looker.look().notes == ()
    assert looker.look().notes == (f"process {process.pid} has ended",)
    assert looker.look().sockets == []


@linux
def test_a_process_that_is_not_waited_for_has_ended() -> None:
    here, there = socket.socketpair()
    with here, there, subprocess.Popen(["cat"], stdin=there.fileno()) as process:
        there.close()
        looker = Looker(["unix"], process.pid, clock=lambda: 1.0)
        assert looker.look().sockets
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert looker.look().notes == (f"process {process.pid} has ended",)
        with pytest.raises(SystemRefused, match="has ended, and its parent has not asked how"):
            Looker(["unix"], process.pid).look()


@linux
def test_no_such_process() -> None:
    with subprocess.Popen(["true"]) as ended:
        ended.wait()
    with pytest.raises(SystemRefused, match=f"there is no process {ended.pid}"):
        Looker(["tcp"], ended.pid).look()


@linux
def test_another_network_namespace_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def namespace(pid: int) -> str:
        return "net:[1]" if pid == os.getpid() else "net:[2]"

    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as process:
        monkeypatch.setattr(fdinfo, "network_namespace", namespace)
        (note,) = Looker(["unix"], process.pid).look().notes
        assert note.endswith(f"sudo nsenter -t {process.pid} -n jackfield top")


def test_a_look_needs_no_holders() -> None:
    assert Look(0.0, []).holders == {}


# --- asking a server -----------------------------------------------------------------------------


def test_the_last_answer_counts() -> None:
    answers = [Facts({"connections": [{"pid": 1, "fd": 2, "label": "a"}]})]

    def view(endpoint: Endpoint) -> Facts:
        if not answers:
            raise ConnectError(f"{endpoint}: nobody listens there", "peer")
        return answers.pop()

    asker = Asker(Endpoint.parse("unix:/nowhere"), view)
    asker.ask()
    until(lambda: asker.told is not None)
    until(lambda: asker.ask() or asker.note)  # type: ignore[func-returns-value]
    assert asker.told is None
    assert asker.note == "unix:/nowhere: nobody listens there"


def test_the_first_answer_has_to_come(tmp_path: Path) -> None:
    with pytest.raises(ConnectError, match="is the server running"):
        Asker(Endpoint.parse(f"unix:{tmp_path}/none")).ask_and_wait()
