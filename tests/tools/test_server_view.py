"""Asking a status endpoint, and reading what may be anybody's answer."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import typing as t
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.households import needs_proc
from tests.support import PATIENCE, until

from jackfield.address import Endpoint
from jackfield.errors import ConnectError, SystemRefused, UsageError
from jackfield.tools import server_view
from jackfield.tools.server_view import Facts, ask, endpoint_of, option, parse

GOOD: t.Final = b'{"jackfield":"0.1.0","server":{"pid":7}}\n'


def complaint(data: bytes) -> str:
    with pytest.raises(ConnectError) as caught:
        parse(data, "unix:/x")
    return str(caught.value)


def test_an_answer() -> None:
    assert parse(GOOD, "unix:/x").facts("server").count("pid") == 7


@pytest.mark.parametrize("cut", range(1, len(GOOD)))
def test_one_that_is_cut_off(cut: int) -> None:
    assert "unix:/x: " in complaint(GOOD[:cut])


def test_hostile_ones() -> None:
    begin = b'{"jackfield":'
    assert "nested too deeply" in complaint(begin + b"[" * 100_000 + b"}\n")
    assert "broken JSON" in complaint(begin + b"NaN}\n")
    assert "broken JSON" in complaint(begin + b"9" * 5000 + b"}\n")
    assert "broken JSON" in complaint(begin + b"\xff}\n")
    assert "no status endpoint" in complaint(b"-- welcome, you are guest-1\r\n")
    assert "no status endpoint" in complaint(b"")


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=10,
)


@given(anything)
def test_every_value_is_what_it_should_be_or_nothing(value: t.Any) -> None:
    facts = Facts({"it": value})
    assert isinstance(facts.text("it"), str)
    assert isinstance(facts.count("it"), int)
    assert isinstance(facts.flag("it"), bool)
    assert all(isinstance(word, str) for word in facts.words("it"))
    assert all(isinstance(one, Facts) for one in facts.each("it"))
    assert isinstance(facts.facts("it").names(), list)
    assert Facts(value).text("absent") == ""


def test_a_number_beyond_every_float() -> None:
    assert Facts({"n": 10**400}).number("n") is None
    assert Facts({"n": float("inf")}).count("n") == 0


# --- asking --------------------------------------------------------------------------------------


@contextlib.contextmanager
def saying(directory: Path, *blocks: bytes, ends: bool = True) -> Iterator[Endpoint]:
    """A Unix socket where these blocks are said to whoever connects first."""
    path = directory / "said"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        done = threading.Event()

        def serve() -> None:
            with listener.accept()[0] as sock, contextlib.suppress(OSError):
                for block in blocks:
                    sock.sendall(block)
                if not ends:
                    done.wait(PATIENCE)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield Endpoint.parse(f"unix:{path}")
        finally:
            done.set()
            thread.join()


def refusal(endpoint: Endpoint, **options: t.Any) -> str:
    with pytest.raises(ConnectError) as caught:
        ask(endpoint, **options)
    return str(caught.value)


def test_asking(tmp_path: Path) -> None:
    with saying(tmp_path, *[GOOD[i : i + 1] for i in range(len(GOOD))]) as endpoint:
        assert ask(endpoint) == GOOD


def test_a_stranger_is_known_by_its_first_words(tmp_path: Path) -> None:
    with saying(tmp_path, b"-- welcome\r\n", ends=False) as endpoint:
        assert "no status endpoint" in refusal(endpoint)


def test_a_server_that_says_nothing(tmp_path: Path) -> None:
    with saying(tmp_path, ends=False) as endpoint:
        assert "no status endpoint" in refusal(endpoint, patience=0.05)


def test_a_server_that_falls_silent(tmp_path: Path) -> None:
    with saying(tmp_path, GOOD[:20], ends=False) as endpoint:
        assert "fell silent after 20 bytes" in refusal(endpoint, patience=0.05)


def test_an_answer_without_end_is_not_read_to_the_end(tmp_path: Path) -> None:
    with saying(tmp_path, GOOD[:13], bytes(1 << 20), ends=False) as endpoint:
        assert "larger than 5000 bytes" in refusal(endpoint, most=5000)


def test_nobody_there(tmp_path: Path) -> None:
    path = tmp_path / "dead"
    assert "no such socket" in refusal(Endpoint.parse(f"unix:{path}"))
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    assert "nobody listens there" in refusal(Endpoint.parse(f"unix:{path}"))
    with pytest.raises(UsageError, match="a status endpoint is"):
        ask(Endpoint.parse("udp://127.0.0.1:9"))


def test_permission_denied(monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(_sock: socket.socket, _where: t.Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("socket.socket.connect", connect)
    assert "ask as the user who runs the server" in refusal(Endpoint.parse("unix:/x"))


# --- by process ----------------------------------------------------------------------------------


def test_the_option_on_a_command_line() -> None:
    assert option(["jackfield", "serve", "--status-endpoint", "unix:/a"]) == "unix:/a"
    assert option(["jackfield", "--status-endpoint=unix:/a", "x"]) == "unix:/a"
    assert option(["--status-endpoint", "unix:/a", "--status-endpoint=unix:/b"]) == "unix:/b"
    assert option(["sh", "-c", "jackfield --status-endpoint unix:/a"]) is None
    assert option(["--status-endpoint"]) is option(["--status-endpoint="]) is option([]) is None


@contextlib.contextmanager
def process(*words: str, cwd: Path | None = None) -> Iterator[int]:
    """A process with these words at the end of its command line."""
    program = "import sys; sys.stdin.read()"
    one = subprocess.Popen([sys.executable, "-c", program, *words], stdin=subprocess.PIPE, cwd=cwd)
    try:
        line = Path(f"/proc/{one.pid}/cmdline")
        until(lambda: line.read_bytes().endswith(os.fsencode((words or (program,))[-1]) + b"\0"))
        yield one.pid
    finally:
        one.communicate()


def trouble(pid: int) -> str:
    with pytest.raises(SystemRefused) as caught:
        endpoint_of(pid)
    return str(caught.value)


@needs_proc
def test_the_endpoint_of_a_process(tmp_path: Path) -> None:
    with process("--status-endpoint", "unix:status", cwd=tmp_path) as pid:
        assert endpoint_of(pid) == Endpoint.parse(f"unix:{tmp_path}/status")
        assert (pid, endpoint_of(pid)) in server_view.running()
    assert trouble(pid) == f"there is no process {pid}"
    with process("--status-endpoint=tcp://127.0.0.1:7070") as pid:
        assert endpoint_of(pid) == Endpoint.parse("tcp://127.0.0.1:7070")


@needs_proc
def test_a_process_that_has_none() -> None:
    with process() as pid:
        assert "was not started with --status-endpoint" in trouble(pid)
    with process("--status-endpoint", "\x1b[31m") as pid:
        assert "\x1b" not in trouble(pid)
        assert pid not in [one for one, _ in server_view.running()]
    with process("--status-endpoint", "tcp://127.0.0.1:0") as pid:
        assert "which port" in trouble(pid)


def test_json_is_what_is_read(tmp_path: Path) -> None:
    whole = json.dumps({"jackfield": "x"}, separators=(",", ":")).encode() + b"\n"
    with saying(tmp_path, whole) as endpoint:
        assert server_view.view(endpoint).raw == {"jackfield": "x"}
