"""Contenders: started on their core, found listening, weighed, ended; absent ones named."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from jackfield.bench import cores, servers
from jackfield.bench.servers import Contender
from jackfield.errors import SystemRefused

MakeContender = Callable[..., Contender]


def test_a_running_server_listens_is_pinned_and_is_ended(make_contender: MakeContender) -> None:
    with servers.running(make_contender("pass")) as server:
        pid = server.target.pid
        assert server.target.port > 0
        assert server.memory() > 1_000_000
        assigned = cores.cores()
        if assigned is not None:
            assert os.sched_getaffinity(pid) == {assigned["server"]}
    assert not Path(f"/proc/{pid}").exists()


def test_a_server_is_ended_when_the_measurement_fails(make_contender: MakeContender) -> None:
    with pytest.raises(ZeroDivisionError), servers.running(make_contender("pass")) as server:
        raise ZeroDivisionError
    assert not Path(f"/proc/{server.target.pid}").exists()


def test_a_server_that_cannot_report_its_port_is_given_one(tmp_path: Path) -> None:
    path = tmp_path / "silent.py"
    path.write_text(
        "import socket, sys\n"
        "with socket.create_server(('127.0.0.1', int(sys.argv[1]))) as listener:\n"
        "    while True:\n"
        "        listener.accept()[0].close()\n"
    )
    command = (sys.executable, str(path), servers.PORT)
    with servers.running(Contender("silent", command, "1")) as server:
        assert server.target.port > 0


def test_the_last_words_of_a_server_that_ends_are_shown(tmp_path: Path) -> None:
    path = tmp_path / "failing.py"
    path.write_text("raise SystemExit('port in use')\n")
    with (
        pytest.raises(SystemRefused, match="failing does not listen: port in use"),
        servers.running(Contender("failing", (sys.executable, str(path)), "1")),
    ):
        pass


def test_peers_that_are_missing_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    present, absent = servers.find_peers("fanout", ["redis", "uvloop"])
    assert present == []
    assert [peer.name for peer in absent] == ["redis", "uvloop"]
    assert all("not installed" in peer.reason for peer in absent)


@pytest.mark.parametrize("case", ["echo", "fanout", "idle"])
def test_peers_that_are_present_listen(case: str) -> None:
    present, _ = servers.find_peers(case, servers.peer_names(case))
    for contender in present:
        assert contender.version != "unknown"
        with servers.running(contender) as server:
            assert server.target.port > 0


def test_jackfield_is_served_without_limits() -> None:
    chat = servers.jackfield("chat", "epoll")
    assert chat.ours
    assert chat.name == "jackfield epoll"
    assert " ".join(chat.command).endswith("--max-connections 0 --flood off")
    assert "--flood" not in servers.jackfield("echo", "epoll").command
