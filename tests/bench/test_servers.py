"""Contenders: started on their core, found listening, weighed, ended; absent ones named."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from jackfield.bench import cores, programs, servers
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
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    present, absent = servers.find_peers("fanout", servers.peer_names("fanout"))
    assert present == []
    assert [peer.name for peer in absent] == ["redis", "nats", "ngircd", "ncat", "uvloop"]
    for peer in absent:
        assert re.search(r"not installed \((Debian: apt-get|pip) install \S+\)", peer.reason)
    present, absent = servers.find_peers("udp", servers.peer_names("udp"))
    assert [peer.name for peer in present] == ["asyncio"]
    assert [peer.name for peer in absent] == ["uvloop", "gevent", "twisted"]


@pytest.mark.parametrize("case", ["echo", "fanout", "udp"])
def test_peers_that_are_present_listen(case: str) -> None:
    present, _ = servers.find_peers(case, servers.peer_names(case))
    for contender in present:
        assert contender.version != "unknown"
        with servers.running(contender) as server:
            assert server.target.port > 0


def test_a_server_is_configured_by_a_file_that_is_gone_afterwards(tmp_path: Path) -> None:
    path = tmp_path / "configured.py"
    path.write_text(
        "import socket, sys\n"
        "word, port, number = open(sys.argv[1]).read().split()\n"
        "assert word == 'Ports'\n"
        "with socket.create_server(('127.0.0.1', int(number))) as listener:\n"
        "    print(sys.argv[1], file=open(sys.argv[2], 'w'), flush=True)\n"
        "    while True:\n"
        "        listener.accept()[0].close()\n"
    )
    told = tmp_path / "told"
    command = (sys.executable, str(path), programs.CONFIG, str(told))
    config = f"Ports = {programs.PORT}\n"
    with servers.running(Contender("configured", command, "1", config=config)) as server:
        assert server.target.port > 0
        file = Path(told.read_text().strip())
        assert file.read_text() == f"Ports = {server.target.port}\n"
    assert not file.exists()


def test_servers_that_take_too_few_connections_are_named() -> None:
    small, large = Contender("small", (), "1", most=1000), Contender("large", (), "1")
    assert servers.leave_out_small([small, large], 1000) == ([small, large], [])
    able, absent = servers.leave_out_small([small, large], 1001)
    assert able == [large]
    assert absent == [servers.Absent("small", "takes 1000 connections at most")]


def test_jackfield_is_served_without_limits() -> None:
    chat = servers.jackfield("chat", "epoll")
    assert chat.ours
    assert chat.name == "jackfield epoll"
    assert " ".join(chat.command).endswith("--max-connections 0 --flood off")
    assert "--flood" not in servers.jackfield("echo", "epoll").command
