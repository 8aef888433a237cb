"""``jackfield top`` as a person runs it: on a terminal, once, as JSON; with real servers."""

from __future__ import annotations

import contextlib
import fcntl
import importlib.util
import json
import os
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import termios
import time
import typing as t
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cli.process import JACKFIELD, Serving, run
from tests.cli.process import run_here as here
from tests.support import PATIENCE, until

from jackfield.cli import columns, top, top_cells, top_text
from jackfield.kernel import sockdiag
from jackfield.tools.top.marks import Mark

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's sock_diag")

QUICK: t.Final = ("--interval", "0.1")


@pytest.fixture(autouse=True)
def no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)


@contextlib.contextmanager
def slow_reader() -> Iterator[tuple[Serving, int]]:
    """A server that sends without end to a client that does not read; it and its port."""
    with Serving("serve", "chargen", "tcp://127.0.0.1:0") as server:
        port = server.port()
        with server.connect(port):
            until(lambda: any(one.timer == 4 and one.sport == port for one in sockdiag.tcp()))
            yield server, port


@contextlib.contextmanager
def full_queue() -> Iterator[int]:
    """The port of a listener with as many waiting as may."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=1))
        for _ in range(2):
            stack.enter_context(socket.create_connection(listener.getsockname()))
        yield listener.getsockname()[1]


class Trouble(t.NamedTuple):
    """Both, and the port of the server."""

    server: Serving
    port: int
    queue: int


@pytest.fixture(scope="module")
def trouble() -> Iterator[Trouble]:
    with slow_reader() as (server, port), full_queue() as queue:
        yield Trouble(server, port, queue)


def pid_of(server: Serving) -> str:
    return str(server.process.pid)


# --- once ----------------------------------------------------------------------------------------


def test_a_slow_reader_and_a_full_accept_queue(trouble: Trouble) -> None:
    said = here("top", "--once", *QUICK, "--tcp")
    assert (said.returncode, said.stderr) == (0, "")
    lines = said.stdout.splitlines()
    assert lines[0].split()[:2] == ["MARK", "PROCESS"]
    (slow,) = (line for line in lines if f" 127.0.0.1:{trouble.port}->" in line)
    mark, process, *_ = slow.split()
    assert mark == "slow"
    assert process.endswith(f"[{pid_of(trouble.server)}]")
    (full,) = (line for line in lines if line.endswith(f" 127.0.0.1:{trouble.queue}"))
    assert full.split()[0] == "full"
    assert lines.index(full) < lines.index(slow)


@pytest.mark.parametrize("by", ["port", "pid", "both"])
def test_filters_are_those_of_fds(by: str, trouble: Trouble) -> None:
    chosen = {"port": ["--port", str(trouble.port)], "pid": [pid_of(trouble.server), "--tcp"]}
    arguments = chosen.get(by, [*chosen["port"], "--state", "established", "--peer", "127.0.0.1"])
    lines = here("top", "--once", *QUICK, *arguments).stdout.splitlines()[1:]
    assert any(line.startswith("slow") for line in lines)
    assert not any(line.startswith("full") for line in lines)
    assert any(" LISTEN " in line for line in lines) == (by != "both")


def test_filters_that_are_none() -> None:
    assert here("top", "--once", "--peer", "300.1.1.1").returncode == 2
    assert here("top", "--once", "--state", "sleepy").returncode == 2


def test_rates_as_json() -> None:
    with Serving("serve", "echo", "tcp://127.0.0.1:0") as server:
        with (
            server.connect(server.port()) as client,
            subprocess.Popen(
                [*JACKFIELD, "top", pid_of(server), "--tcp", "--json", "--interval", "0.5"],
                stdout=subprocess.PIPE,
            ) as process,
        ):
            while process.poll() is None:
                client.sendall(bytes(1000))
                client.recv(1 << 16)
                time.sleep(0.005)
            assert process.stdout is not None
            report = json.loads(process.stdout.read())
        (one,) = (one for one in report["sockets"] if one["state"] == "ESTABLISHED")
        assert one["received_rate"] > 0
        assert one["sent_rate"] > 0
        assert (one["mark"], one["holders"][0]["pid"]) == (None, server.process.pid)
        assert one["tcp"]["bytes_acked"] > 0
        assert (report["seconds"], report["hidden_processes"], report["notes"]) == (0.5, 0, [])


def test_processes_once(trouble: Trouble) -> None:
    asked = ("top", pid_of(trouble.server), "--processes", *QUICK)
    (mine,) = json.loads(here(*asked, "--json").stdout)["processes"]
    pid = trouble.server.process.pid
    assert (mine["pid"], mine["mark"], mine["marked"]) == (pid, "slow reader", 1)
    assert mine["listening"] == 1
    (_, line) = here(*asked, "--once").stdout.splitlines()
    assert line.split()[:3] == ["1", "slow", pid_of(trouble.server)]


@pytest.mark.parametrize("width", [60, 120])
def test_a_table_as_wide_as_the_terminal(
    width: int, trouble: Trouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    lines = here("top", "--once", *QUICK, pid_of(trouble.server)).stdout.splitlines()
    assert all(len(line) <= width for line in lines)
    assert "MARK" in lines[0]
    assert "OUT/s" in lines[0]


def test_into_a_pipe_that_closes() -> None:
    command = [*JACKFIELD, "top", "--once", *QUICK]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    with process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode in (0, 1)


# --- mistakes ------------------------------------------------------------------------------------


def test_no_terminal_is_said_in_a_line() -> None:
    said = run("top")
    assert (said.returncode, said.stdout) == (2, "")
    assert said.stderr == (
        "jackfield: jackfield top draws on a terminal, and this is none; try --once or --json\n"
    )


def test_no_such_process() -> None:
    with subprocess.Popen(["true"]) as ended:
        ended.wait()
    said = here("top", str(ended.pid), "--once")
    assert (said.returncode, said.stderr) == (2, f"jackfield: there is no process {ended.pid}\n")


def test_without_textual_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(top, "_on_terminal", lambda: True)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    said = here("top")
    assert said.returncode == 2
    assert said.stderr == (
        "jackfield: jackfield top needs textual for its screen: pip install 'jackfield[see]'; "
        "--once and --json do without\n"
    )


def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    said = here("top", "--once", *QUICK, "--status-endpoint", f"unix:{tmp_path}/none")
    assert said.returncode == 1
    assert "is the server running?" in said.stderr


# --- a server's own view -------------------------------------------------------------------------


def test_a_server_tells_the_names_of_its_connections(tmp_path: Path) -> None:
    status = f"unix:{tmp_path}/status"
    with Serving("serve", "chat", "tcp://127.0.0.1:0", "--status-endpoint", status) as server:
        port = server.port()
        with server.connect(port) as client:
            client.sendall(b"/nick alice\n")
            server_side = re.compile(rf"alice +0 +127\.0\.0\.1:{port}->")
            asked = ("top", "--once", *QUICK, "--port", str(port), "--status-endpoint", status)
            until(lambda: server_side.search(here(*asked).stdout))
            report = json.loads(here(*asked, "--json").stdout)
            told = [one["server"] for one in report["sockets"] if "server" in one]
            assert told == [{"label": "alice", "outbox": 0, "lags_in": ""}]


# --- on a terminal -------------------------------------------------------------------------------


class OnTerminal:
    """The command on a pseudo-terminal; what it wrote there so far is in ``shown``."""

    def __init__(self, *arguments: str, size: tuple[int, int] = (100, 30)) -> None:
        self.fd, inner = pty.openpty()
        self.name = os.ttyname(inner)
        self.resize(*size)
        self.process = subprocess.Popen(
            [*JACKFIELD, "top", *arguments],
            stdin=inner,
            stdout=inner,
            stderr=inner,
            env={**os.environ, "TERM": "xterm-256color"},
            start_new_session=True,
        )
        os.close(inner)
        self.shown = ""

    def __enter__(self) -> t.Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.process.kill()
        self.process.wait()
        self.hang_up()

    def hang_up(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def stand_still(self) -> None:
        """Takes nothing more: nobody reads what is written there."""
        inner = os.open(self.name, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
        until(lambda: self._stands(inner))
        os.close(inner)

    def _stands(self, inner: int) -> bool:
        """What is read is filled (up to 4095 bytes) from what was written: both have to be full."""
        (unread,) = struct.unpack("i", fcntl.ioctl(self.fd, termios.FIONREAD, bytes(4)))
        with contextlib.suppress(BlockingIOError):
            while os.write(inner, bytes(1 << 10)):
                pass
        return bool(unread == 4095)

    def resize(self, width: int, height: int) -> None:
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))

    def wait_for(self, text: str) -> None:
        """Until ``text`` is written that was not there before."""
        deadline = time.monotonic() + PATIENCE
        self.shown = ""
        while text not in self.shown:
            assert self._read(deadline), f"it ended without {text!r}: {self.shown[-500:]!r}"

    def type(self, keys: str) -> None:
        os.write(self.fd, keys.encode())

    def ended(self) -> int:
        """Its exit status; all that it wrote until the end is read."""
        deadline = time.monotonic() + PATIENCE
        while self._read(deadline):
            pass
        return self.process.wait(PATIENCE)

    def _read(self, deadline: float) -> bool:
        """False if there is nothing more."""
        if not select.select([self.fd], [], [], max(deadline - time.monotonic(), 0))[0]:
            pytest.fail(f"no more than {self.shown[-500:]!r} within {PATIENCE:g} s")
        try:
            data = os.read(self.fd, 1 << 16)
        except OSError:  # EIO: nobody is on the terminal any more
            return False
        self.shown += data.decode(errors="replace")
        return bool(data)


ALTERNATE_OFF: t.Final = "\x1b[?1049l"
"""What gives a terminal back as it was (xterm's control sequences)."""

screen = pytest.mark.skipif(
    importlib.util.find_spec("textual") is None,
    reason="the screen is drawn by textual: pip install 'jackfield[see]'",
)


@screen
def test_a_live_screen_of_a_real_server() -> None:
    with (
        slow_reader() as (server, port),
        OnTerminal(pid_of(server), "--interval", "0.2") as terminal,
    ):
        terminal.wait_for("1 slow reader")
        terminal.type("\r")
        terminal.wait_for("peer's window")
        terminal.resize(60, 20)
        os.kill(terminal.process.pid, signal.SIGWINCH)
        terminal.wait_for("SEND-Q")
        terminal.type("/nothing")
        terminal.wait_for("with nothing")
        terminal.type("\x1b")  # with q right behind it, it would be Alt-Q: see it done first
        terminal.wait_for(f"127.0.0.1:{port} ")
        server.process.kill()
        server.process.wait()
        terminal.wait_for("has ended")
        terminal.type("q")
        assert terminal.ended() == 0
        assert ALTERNATE_OFF in terminal.shown
        assert f":{port}" not in terminal.shown.partition(ALTERNATE_OFF)[2]


@screen
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_it_and_gives_the_terminal_back(number: int, status: int) -> None:
    with OnTerminal("--tcp") as terminal:
        terminal.wait_for("LOCAL->PEER")
        terminal.process.send_signal(number)
        assert terminal.ended() == status
        assert ALTERNATE_OFF in terminal.shown
        assert "Traceback" not in terminal.shown


@screen
def test_it_ends_with_its_terminal() -> None:
    """The terminal is not the controlling one, so that no SIGHUP says so."""
    with OnTerminal("--tcp") as terminal:
        terminal.wait_for("LOCAL->PEER")
        terminal.hang_up()
        assert terminal.process.wait(PATIENCE) == 129


@screen
def test_a_signal_ends_it_while_its_terminal_stands_still() -> None:
    with OnTerminal("--tcp", *QUICK) as terminal:
        before = termios.tcgetattr(terminal.fd)
        terminal.wait_for("LOCAL->PEER")
        assert termios.tcgetattr(terminal.fd) != before
        terminal.stand_still()
        terminal.process.send_signal(signal.SIGTERM)
        assert terminal.process.wait(PATIENCE) == 143  # nobody reads yet
        assert termios.tcgetattr(terminal.fd) == before
        terminal.ended()
        assert ALTERNATE_OFF in terminal.shown


# --- words ---------------------------------------------------------------------------------------


def test_numbers_have_five_places_at_most() -> None:
    for number in (0, 7, 999, 999.6, 1000, 1530, 99_950, 999_499, 999_999, 10**9, 10**12, 2**63):
        assert len(top_cells.short(number)) <= 5 or number >= 10**15
    assert top_cells.short(None) == ""
    assert [top_cells.short(n) for n in (0, 999.4, 999.6, 1530)] == ["0", "999", "1k", "1.53k"]


def test_every_width_has_columns_that_fit() -> None:
    for every in (top_cells.SOCKETS, top_cells.PROCESSES, top_cells.columns_of(False, True)):
        for width in range(1, 200):
            shown = top_cells.fitting(every, width)
            places = sum(one.width for one in shown) + top_cells.GAP * (len(shown) - 1)
            assert places <= max(width, 14)
            assert {"mark", every[-1].name} <= {one.name for one in shown}


def test_every_mark_has_a_word_and_a_colour() -> None:
    assert set(top_cells.WORDS) == set(top_cells.COLOURS) == set(Mark)
    for word in filter(None, top_cells.WORDS.values()):
        assert word in top_text.HELP
    assert max(columns.size(line) for line in top_text.HELP.splitlines()) <= 54


def test_sparks() -> None:
    assert top_text.spark([]) == ""
    assert top_text.spark([0.0, 0.0]) == "▁▁"
    assert top_text.spark([0.0, 4.0, 8.0]) == "▁▅█"
