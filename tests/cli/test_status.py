"""``jackfield status``: as a person sees it, at any width, whoever it was that answered."""

from __future__ import annotations

import json
import os
import re
import typing as t
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.cli.process import Serving, run
from tests.support import receive_until, until

from jackfield.cli import status
from jackfield.cli.columns import size
from jackfield.tools.server_view import Facts

LOCAL: t.Final = "tcp://127.0.0.1:0"

HOSTILE: t.Final = "\x1b[2J\u202e\r\n"

VIEW: t.Final[dict[str, t.Any]] = {
    "jackfield": "0.1.0",
    "server": {"pid": 4711, "engine": "native", "uptime": 3725.2},
    "listeners": [
        {"endpoint": "tcp://127.0.0.1:8888", "fd": 3, "kind": "stream", "waiting": 5, "backlog": 5},
        {"endpoint": "udp://127.0.0.1:8888", "fd": 4, "kind": "datagram"},
        {"endpoint": "unix:/x", "fd": 5, "kind": "stream", "waiting": None, "backlog": 5},
    ],
    "counters": {"accepted": 12, "refused": 3, "lost": 10, "accept_failures": 1, "connections": 2},
    "refused_for": {"max-per-host": 1},
    "lost_for": {},
    "limits": {"max_connections": 100, "max_per_host": 0, "drain": 5.0},
    "workers": [
        {"worker": 0, "pid": 5, "accepted": 12, "refused": 3, "lost": 10, "connections": 2},
        {"worker": 1, "pid": 6, "retired": True},
    ],
    "processes": [
        {"pid": 5, "refused_for": {"max-per-host": 2}, "lost_for": {"eof": 9, "lag": 1}},
        {"pid": 6},
    ],
    "connections": [
        {"pid": 5, "fd": 9, "peer": "127.0.0.1:1", "label": "alice", "state": "open", "idle": 0.05,
         "age": 90.0, "received": 1500, "sent": 999, "protocol": "LineDoor", "tls": True},
        {"pid": 6, "fd": 9, "peer": "127.0.0.1:2", "state": "flushing", "outbox": 70000,
         "paused": ["outbox"], "age": 90000.0, "idle": 7200.0},
    ],
    "rooms": [
        {"pid": 5, "name": "lobby", "members": 1, "lagging": 0, "history": 3, "history_bytes": 60},
        {"pid": 6, "name": "lobby", "members": 1, "lagging": 1, "history": 3, "history_bytes": 60},
    ],
    "lagging": [{"pid": 6, "fd": 9, "room": "lobby", "outbox": 70000}],
    "incomplete": [{"pid": 8, "why": "it did not answer in time"}],
}  # fmt: skip


def test_the_whole_view() -> None:
    assert status.lines(Facts(VIEW), width=200) == [
        "jackfield 0.1.0  pid 4711  engine native  up 1h02m",
        "2 connected; 12 accepted, 3 refused, 10 lost, 1 times accepting failed",
        "refused for: max-per-host 3",
        "lost for: eof 9, lag 1",
        "limits: max-connections 100, drain 5",
        "",
        "LISTENER              FD  WAITING",
        "tcp://127.0.0.1:8888   3      5/5",
        "udp://127.0.0.1:8888   4",
        "unix:/x                5      -/5",
        "",
        "WORKER  PID  ACCEPTED  REFUSED  LOST  CONNECTED",
        "     0    5        12        3    10          2",
        "     1    6         0        0     0          0  retires",
        "",
        "ROOM   MEMBERS  LAGGING   HISTORY",
        "lobby        2        1  3 (60 B)",
        "",
        "FD  STATE       AGE   IDLE  OUTBOX  PAUSED BY      IN    OUT  PROTOCOL         PID  PEER",
        " 9  flushing  1d01h  2h00m   70 kB  outbox                                       6  "
        "127.0.0.1:2",
        " 9            1m30s   0.1s                     1.5 kB  999 B  LineDoor in TLS    5  "
        "127.0.0.1:1 (alice)",
        "",
        "process 8 is not in this: it did not answer in time",
    ]


@pytest.mark.parametrize("width", [20, 40, 60, 80, 120])
def test_at_any_width(width: int) -> None:
    lines = status.lines(Facts(VIEW), width=width)
    if width >= 60:
        assert max(map(size, lines)) <= width
    assert "(alice)" in "".join(lines)
    assert any("70 kB" in line for line in lines)


def test_no_more_than_a_screen_of_connections() -> None:
    many = [{"fd": n, "outbox": n % 2} for n in range(status.SHOWN + 5)]
    view = Facts({"connections": many})
    assert status.lines(view)[-1] == "and 5 more; --all shows them"
    assert len(status.lines(view, everything=True)) == len(status.lines(view)) + 4
    assert "1 B" in status.lines(view)[4]  # who waits for something comes first


anything: t.Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.just(HOSTILE) | st.just("eof"),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*VIEW, *VIEW["connections"][0], HOSTILE]), inner)
    ),
    max_leaves=20,
)


@given(st.dictionaries(st.sampled_from([*VIEW]), anything))
def test_whatever_was_answered(view: dict[str, t.Any]) -> None:
    for line in status.lines(Facts(view), width=60):
        assert line.isprintable()


def test_texts_are_escaped() -> None:
    said = status.lines(
        Facts(
            {
                "jackfield": HOSTILE,
                "server": {"engine": HOSTILE},
                "refused_for": {HOSTILE: 1},
                "limits": {HOSTILE: 1},
                "listeners": [{"endpoint": HOSTILE}],
                "rooms": [{"name": HOSTILE}],
                "connections": [
                    {"peer": HOSTILE, "label": HOSTILE, "protocol": HOSTILE, "paused": [HOSTILE]}
                ],
                "incomplete": [{"why": HOSTILE}],
            }
        ),
        width=200,
    )
    assert all(line.isprintable() for line in said)
    assert sum(line.count("\\x1b[2J\\u202e\\r\\n") for line in said) == 11


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, ""),
        (-1, "0.0s"),
        (59.94, "59.9s"),
        (60, "1m00s"),
        (3599, "59m59s"),
        (3600, "1h00m"),
        (86399, "23h59m"),
        (86400, "1d00h"),
        (1e300, "ages"),
    ],
)
def test_times(seconds: float | None, text: str) -> None:
    assert status._time(seconds) == text


def test_sizes() -> None:
    counts = (None, 0, 999, 1000, 1.5e6, 4e12)
    assert [*map(status._bytes, counts)] == ["", "0 B", "999 B", "1 kB", "1.5 MB", "4 TB"]


# --- a real one ----------------------------------------------------------------------------------


@pytest.fixture
def where(tmp_path: Path) -> str:
    return f"unix:{tmp_path / 'status'}"


def test_a_running_server(where: str) -> None:
    with Serving("serve", "chat", LOCAL, "--status-endpoint", where) as server:
        port = server.port()
        with server.connect(port) as alice:
            alice.sendall(b"/nick alice\n/nick\n")
            receive_until(alice, b"you are alice\r\n")
            for asked in (where, str(server.process.pid)):
                shown = run("status", asked)
                assert shown.stdout.startswith("jackfield "), shown.stderr
                assert f"pid {server.process.pid} " in shown.stdout
                assert re.search(r"127\.0\.0\.1:\d+ \(alice\)\n", shown.stdout)
                assert "\x1b" not in shown.stdout
            told = json.loads(run("status", where, "--json").stdout)
            assert told["server"]["pid"] == server.process.pid
        assert server.terminate() == 0


def test_watching_ends_with_the_server(where: str, tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    with Serving("serve", "echo", LOCAL, "--status-endpoint", where) as server:
        server.port()
        server.expect(f"status at {where} .*")
        with (
            seen.open("wb") as file,
            Serving("status", where, "--watch", "0.1", "--json", stdout=file) as watching,
        ):
            until(lambda: seen.read_bytes().count(b"\n") >= 2)
            assert server.terminate() == 0
            assert watching.ended() == 1
            assert watching.said == [
                f"jackfield: {where}: there is no such socket; is the server running?"
            ]


@pytest.mark.parametrize(
    ("asked", "code", "why"),
    [
        ("unix:/nowhere", 1, "there is no such socket"),
        ("udp://127.0.0.1:9", 2, "a status endpoint is unix:/path or tcp"),
        ("nonsense", 2, "the scheme is missing"),
        ("4194305", 2, "there is no process 4194305"),
        ("OURS", 2, "was not started with --status-endpoint"),
    ],
)
def test_mistakes_are_one_line(asked: str, code: int, why: str) -> None:
    said = run("status", asked.replace("OURS", str(os.getpid())))
    assert (said.returncode, said.stdout) == (code, "")
    assert why in said.stderr
    assert said.stderr.count("\n") == 1
