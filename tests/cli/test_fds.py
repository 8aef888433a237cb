"""``jackfield fds`` and ``jackfield sockets`` as a person runs them."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest
from tests.cli.looking import Watching, child, on_a_terminal, renamed, without_root
from tests.cli.process import JACKFIELD
from tests.cli.process import run as run_alone
from tests.cli.process import run_here as run
from tests.every_socket import Held, holding
from tests.support import PATIENCE, until

from jackfield.cli import fds, sockets  # loaded now: a child without rights may not read them
from jackfield.kernel import fdinfo
from jackfield.tools.fdtable import Snapshot
from jackfield.tools.socket_filter import Filter

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's /proc")


@pytest.fixture(scope="module")
def held() -> Iterator[Held]:
    with holding() as held:
        yield held


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0), backlog=7) as sock:
        yield sock


def port_of(sock: socket.socket) -> str:
    return str(sock.getsockname()[1])


@pytest.fixture(autouse=True)
def no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)


# --- what is shown -----------------------------------------------------------------------------


def test_a_listener_and_two_clients(listener: socket.socket) -> None:
    """The lesson: one socket, two clients, and two more sockets."""
    with contextlib.ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(socket.create_connection(listener.getsockname()))
        shown = run("fds", str(os.getpid()), "--port", port_of(listener)).stdout
        assert f"(pid {os.getpid()})" in shown
        assert f"127.0.0.1:{port_of(listener)} (LISTEN 2/7)" in shown
        assert shown.count("(ESTABLISHED)") == 2
        for _ in range(2):
            stack.enter_context(listener.accept()[0])
        shown = run("fds", str(os.getpid()), "--port", port_of(listener)).stdout
        assert "(LISTEN 0/7)" in shown
        assert shown.count("(ESTABLISHED)") == 4
        pattern = rf"^{listener.fileno()}u +IPv4 +tcp +0 +7 .*\(LISTEN 0/7\)$"
        assert re.search(pattern, shown, re.MULTILINE)


def test_by_port_by_name_and_in_all(listener: socket.socket) -> None:
    for arguments in (
        ("--port", port_of(listener)),
        ("--name", fdinfo.process_name(os.getpid()), "--listening"),
        ("--state", "listen", "--port", port_of(listener)),
        ("--listening",),
    ):
        rows = json.loads(run("fds", "--json", *arguments).stdout)
        mine = [row for row in rows if (row["pid"], row["fd"]) == (os.getpid(), listener.fileno())]
        assert len(mine) == 1, arguments
        assert (mine[0]["waiting"], mine[0]["backlog"]) == (0, 7)
        assert "receive_queue" not in mine[0]


def test_filters(held: Held) -> None:
    def states(*arguments: str) -> set[str]:
        rows = json.loads(run("fds", str(held.pids[0]), "--json", *arguments).stdout)
        assert rows
        return {row["state"] for row in rows}

    assert states("--state", "close-wait") == {"CLOSE-WAIT"}
    assert states("--state", "ESTAB", "--state", "listen") == {"ESTABLISHED", "LISTEN"}
    assert states("--listening") == {"LISTEN", "UNCONNECTED"}
    assert "LISTEN" not in states("--peer", "127.0.0.0/8")
    assert json.loads(run("fds", str(held.pids[0]), "--json", "--peer", "10.0.0.0/8").stdout) == []


def test_which_epoll_watches(held: Held) -> None:
    rows = json.loads(run("fds", str(held.pids[0]), "--json").stdout)
    watched = {row["fd"]: row["watched_by"] for row in rows if "watched_by" in row}
    assert list(watched) == held.watched
    (epoll,) = [row["fd"] for row in rows if row["type"] == "eventpoll"]
    assert watched[held.watched[1]] == [{"epoll": epoll, "events": ["IN", "OUT", "ET"]}]
    assert f"{epoll}:IN,OUT,ET" in run("fds", str(held.pids[0])).stdout


def test_files(held: Held) -> None:
    rows = json.loads(run("fds", str(held.pids[0]), "--all", "--json").stdout)
    words = {row["fd"]: row for row in rows if isinstance(row["fd"], str)}
    assert words.keys() == {"cwd", "rtd", "txt", "mem"}
    assert words["cwd"]["name"] == os.getcwd()
    assert run("fds", str(held.pids[0]), "--files").stdout.count(os.getcwd()) >= 1


def test_service_names() -> None:
    try:
        name = socket.getservbyport(9, "udp")
    except OSError:
        pytest.skip("there is no /etc/services (Debian package: netbase)")
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.connect(("127.0.0.1", 9))
        shown = [run("fds", str(os.getpid()), *more).stdout for more in ((), ("--service-names",))]
    assert "->127.0.0.1:9 " in shown[0]
    assert f"->127.0.0.1:{name} " in shown[1]


def test_sockets_names_their_processes(listener: socket.socket) -> None:
    rows = json.loads(run("sockets", "--listening", "--json", "--port", port_of(listener)).stdout)
    name = fdinfo.process_name(os.getpid())
    assert [row["holders"] for row in rows] == [
        [{"pid": os.getpid(), "fd": listener.fileno(), "process": name}]
    ]
    shown = run("sockets", "--tcp", "--listening").stdout
    found = re.findall(
        rf"^tcp +LISTEN +0 +7 +(.*?) +127\.0\.0\.1:{port_of(listener)}$", shown, re.M
    )
    assert found == [f"{name}[{os.getpid()}]"]


def test_sockets_by_kind(held: Held) -> None:
    def kinds(*arguments: str) -> set[str]:
        return {
            row["type"]
            for row in json.loads(run("sockets", "--json", "--listening", *arguments).stdout)
        }

    assert kinds("--tcp") == {"IPv4", "IPv6"}
    assert kinds("--unix") == {"unix"}
    assert kinds() == {"IPv4", "IPv6", "unix"}
    rows = json.loads(run("sockets", "--udp", "--json").stdout)
    assert {row["protocol"] for row in rows} == {"udp"}


def test_a_shared_socket_names_everybody(held: Held) -> None:
    inode = held.inodes[held.watched[0]]
    rows = json.loads(run("sockets", "--tcp", "--listening", "--json").stdout)
    (one,) = [row for row in rows if row["inode"] == inode]
    assert [holder["pid"] for holder in one["holders"]] == sorted(held.pids)


# --- the terminal ------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["fds", "sockets"])
@pytest.mark.parametrize("width", [1, 20, 60, 120])
def test_no_line_is_wider_than_the_terminal(
    held: Held, command: str, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    more = [str(held.pids[0])] if command == "fds" else ["--state", "established"]
    monkeypatch.setenv("COLUMNS", str(width))
    ended = run(command, *more)
    assert ended.returncode == 0
    least = {"fds": 34, "sockets": 78}[command]  # what may not be left out
    assert max(map(len, ended.stdout.splitlines())) <= max(width, least)
    if width == 60 and command == "fds":
        assert max(map(len, ended.stdout.splitlines())) <= 60


@pytest.mark.parametrize(
    "arguments", [("fds",), ("fds", "--json"), ("sockets",), ("sockets", "--json")]
)
def test_hostile_names_are_escaped(held: Held, arguments: tuple[str, ...]) -> None:
    command, *rest = arguments
    more = [str(held.pids[0])] if command == "fds" else ["--unix"]
    shown = run(command, *rest, *more).stdout
    assert "[red]x[/red]" in shown  # as it is: neither obeyed nor lost
    assert "\\u202e" in shown
    assert all(line.isprintable() for line in shown.splitlines())


def test_a_hostile_process_name(listener: socket.socket) -> None:
    with child(lambda: renamed(b"\x1b[2J\n[b]\xff")) as pid:
        assert fdinfo.process_name(pid).startswith("\x1b")
        for command in (["fds", str(pid)], ["sockets", "--listening"]):
            shown = run(*command).stdout
            assert "\\x1b[2J\\n[b]\\udcff" in shown
            assert all(line.isprintable() for line in shown.splitlines())


def test_an_encoding_that_lacks_letters(listener: socket.socket) -> None:
    with child(lambda: renamed("naïf".encode())) as pid:
        ended = run_alone("fds", str(pid), command=("env", "PYTHONIOENCODING=ascii", *JACKFIELD))
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "na\\xeff (pid" in ended.stdout


def test_colour_only_on_a_terminal(listener: socket.socket) -> None:
    command = ("fds", "--port", port_of(listener))
    assert "\x1b[" not in run(*command).stdout
    assert "\x1b[32m" in on_a_terminal(*command)
    assert "\x1b[" not in on_a_terminal(*command, environment={"NO_COLOR": "1"})


def test_watch_redraws_a_terminal_no_higher_than_it_is(held: Held) -> None:
    said = on_a_terminal(
        *("fds", str(held.pids[0]), "--watch", "0.1"),
        environment={"LINES": "10", "COLUMNS": "100"},
        until_said=b"more lines",
    )
    first = said.split("\x1b[H\x1b[J")[1]
    assert len(first.strip().splitlines()) <= 9
    assert re.search(r"^\d+ more lines\r?$", first, re.MULTILINE)


# --- what goes wrong ---------------------------------------------------------------------------


def test_fds_of_somebody_else(held: Held) -> None:
    status, said, complained = without_root("fds", str(held.pids[0]))
    assert (status, said) == (2, "")
    assert complained == (
        f"jackfield: process {held.pids[0]}: its descriptors may be seen by its own user and by "
        "root only; try sudo\n"
    )


def test_sockets_without_root_say_what_is_missing(held: Held) -> None:
    status, said, complained = without_root("sockets", "--tcp", "--listening", "--json")
    assert status == 0
    rows = {row["inode"]: row for row in json.loads(said)}
    for fd in held.watched:  # the sockets are there, their processes are not
        row = rows[held.inodes[fd]]
        assert row["state"] == "LISTEN"
        assert row["holders"] == []
    assert re.fullmatch(
        r"jackfield: \d+ sockets are shown without a process: they belong to other users, whose "
        r"descriptors root alone may see; try sudo\n",
        complained,
    )


def test_no_such_process() -> None:
    with subprocess.Popen(["true"]) as ended:
        ended.wait()
    for arguments, words in (
        ((str(ended.pid),), f"there is no process {ended.pid}"),
        (("--name", "no\nsuch\x1b"), "there is no process named no\\nsuch\\x1b"),
        (("--port", "0"), "Invalid value for '--port': 0 is not in the range"),
        (("1", "--name", "init"), "give a PID or a --name, not both"),
        (("1", "--state", "open"), "unknown state 'open'"),
        (("1", "--peer", "nowhere"), "peer 'nowhere' is no address or network"),
        (("x",), "Invalid value for '[PID]': 'x' is not a valid integer"),
    ):
        said = run("fds", *arguments)
        assert (said.returncode, said.stdout) == (2, "")
        assert said.stderr.startswith(f"jackfield: {words}")
        assert said.stderr.count("\n") == 1


@pytest.mark.parametrize("command", ["fds", "sockets", "fds --json", "sockets --watch 0.1"])
def test_into_head(held: Held, command: str) -> None:
    ended = subprocess.run(
        ["sh", "-c", f"{shlex.join(JACKFIELD)} {command} | head -1"],
        check=False,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert ended.stderr == ""
    assert len(ended.stdout.splitlines()) == 1


def test_watch_sees_changes_and_the_end() -> None:
    with contextlib.ExitStack() as stack:
        pid = stack.enter_context(child(lambda: None))
        with Watching("fds", str(pid), "--json", "--watch", "0.1") as watching:
            for _ in range(2):
                rows = json.loads(watching.lines.readline())  # one line a look
                assert {row["pid"] for row in rows} == {pid}
            stack.close()
            assert watching.ended() == (0, f"jackfield: it has ended: there is no process {pid}\n")


def test_ctrl_c_ends_watch() -> None:
    with Watching("sockets", "--tcp", "--watch") as watching:
        watching.lines.readline()
        watching.process.send_signal(signal.SIGINT)
        assert watching.ended() == (130, "")


def test_a_process_that_ends_while_all_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    with subprocess.Popen(["true"]) as ended:
        ended.wait()
    monkeypatch.setattr(fdinfo, "process_ids", lambda: [ended.pid, os.getpid()])
    rows, notes = fds.look(None, None, False, Filter())
    assert {row.pid for row in rows} == {os.getpid()}
    assert notes == []
    assert sockets.missing(Snapshot(), []) == []


def test_a_fresh_connection_is_seen_at_once(listener: socket.socket) -> None:
    with socket.create_connection(listener.getsockname()) as client:
        until(lambda: f":{client.getsockname()[1]}->" in run("sockets", "--tcp").stdout)
