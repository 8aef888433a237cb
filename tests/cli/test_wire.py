"""``jackfield wire`` as a person runs it: files, a live capture, mistakes, ends."""

from __future__ import annotations

import json
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import typing as t
from pathlib import Path

import pytest
from tests.capture import packets
from tests.capture.packets import Talk, frame, ipv4, tcp_segment, udp
from tests.cli.process import JACKFIELD, Serving, run
from tests.outside import wire_traffic as traffic
from tests.support import PATIENCE, receive, receive_all, until

from jackfield.capture.frames import Frame
from jackfield.capture.reader import CaptureReader
from jackfield.capture.tcp import ACK, FIN, PSH
from jackfield.capture.writer import PcapngWriter
from jackfield.tools import tcp_analysis
from jackfield.tools.ladder import Ladder
from jackfield.tools.tcp_connection import Step
from jackfield.tools.wire import Wire

ROOT: t.Final = os.geteuid() == 0


def written(path: Path, frames: list[Frame]) -> str:
    writer = PcapngWriter()
    path.write_bytes(writer.head() + b"".join(map(writer.packet, frames)))
    return str(path)


@pytest.fixture
def talk() -> Talk:
    made = Talk()
    made.handshake()
    made.say("c", ACK | PSH, 1, 1, payload=b"hello\x1b[2J")
    made.say("s", FIN | ACK, 1, 10)
    return made


@pytest.fixture
def file(tmp_path: Path, talk: Talk) -> str:
    return written(tmp_path / "talk.pcapng", talk.frames)


def test_a_file(file: str) -> None:
    said = run("wire", "--read", file, "--payload")
    assert (said.returncode, said.stderr) == (0, "")
    assert "SYN-SENT   ── SYN seq=0" in said.stdout
    assert "hello\\x1b[2J" in said.stdout
    assert "\x1b" not in said.stdout
    assert "half closed, by the server" in said.stdout


def test_a_file_that_is_standard_input(file: str) -> None:
    said = subprocess.run(
        [*JACKFIELD, "wire", "--read", "-"],
        input=Path(file).read_bytes(),
        capture_output=True,
        check=True,
    )
    assert said.stdout.decode() == run("wire", "--read", file).stdout


def test_json(file: str) -> None:
    said = run("wire", "--read", file, "--json", "--payload")
    records = [json.loads(line) for line in said.stdout.splitlines()]
    assert [record["type"] for record in records] == ["segment"] * 5 + ["connection"]
    data, summary = records[3], records[5]
    assert (data["from"], data["to"], data["by"]) == ("10.0.0.1:40000", "10.0.0.2:80", "client")
    assert (data["seq"], data["seq_raw"], data["length"], data["window"]) == (1, 1001, 9, 128000)
    assert data["payload"] == "hello\\x1b[2J"
    assert data["states"] == {"client": "ESTABLISHED", "server": "ESTABLISHED"}
    assert records[0]["options"]["mss"] == 1460
    assert summary["client"] == {
        "end": "10.0.0.1:40000",
        "bytes": 9,
        "segments": 3,
        "retransmissions": 0,
    }


def test_one_connection_or_one_endpoint_of_many(tmp_path: Path, talk: Talk) -> None:
    others = [ipv4(tcp_segment(source=50000, target=443)), ipv4(udp(b"x"), protocol=17)]
    file = written(tmp_path / "f", [*talk.frames, *map(frame, others)])
    for choice in (("--connection", "1"), ("tcp://10.0.0.2:80",), ("tcp://:80",)):
        said = run("wire", "--read", file, *choice, "--json")
        numbers = {json.loads(line)["connection"] for line in said.stdout.splitlines()}
        assert numbers == {1}
    assert said.stderr == "jackfield: not shown of 7 packets: 1 TCP of others, 1 UDP\n"
    said = run("wire", "--read", file, "udp://:53")
    assert re.fullmatch(r"\S+ UDP 10.0.0.1:5000 ──► 10.0.0.2:53 len=1\n", said.stdout)


def test_count(file: str, tmp_path: Path) -> None:
    copy = tmp_path / "copy.pcapng"
    said = run("wire", "--read", file, "--count", "2", "--json", "--write", str(copy))
    assert [json.loads(line)["type"] for line in said.stdout.splitlines()] == [
        *("segment", "segment", "connection")
    ]
    assert len(list(CaptureReader().feed(copy.read_bytes()))) == 2


def test_a_file_that_is_cut_short_or_none(file: str, tmp_path: Path) -> None:
    cut = tmp_path / "cut"
    cut.write_bytes(Path(file).read_bytes()[:-9])
    said = run("wire", "--read", str(cut))
    assert said.returncode == 1
    assert "PSH,ACK" in said.stdout
    assert "#1   10.0.0.1:40000 to" in said.stdout
    assert re.fullmatch(r"jackfield: \S+/cut: ends within a packet .*\n", said.stderr)
    cut.write_bytes(b"\x1b[2J no capture")
    said = run("wire", "--read", str(cut))
    assert (said.returncode, said.stdout) == (1, "")
    assert "no capture: begins with 1b5b324a" in said.stderr


def test_broken_packets_are_told(tmp_path: Path, talk: Talk) -> None:
    bad = frame(ipv4(tcp_segment())[:-3] + b"\xff\xff\xff", 147)
    said = run("wire", "--read", written(tmp_path / "f", [*talk.frames, bad, bad]))
    assert said.returncode == 0
    why = "2 packets were broken or cut short; the first: packet 6: link type 147 is not one of"
    assert said.stderr.startswith(f"jackfield: {why}")


def test_into_head(tmp_path: Path, talk: Talk) -> None:
    file = written(tmp_path / "f", talk.frames * 2000)
    said = subprocess.run(
        f"{' '.join(JACKFIELD)} wire --read {file} | head -n 3",
        shell=True,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert (len(said.stdout.splitlines()), said.stderr) == (3, "")


def test_where_the_arrows_cannot_be_encoded(file: str) -> None:
    said = subprocess.run(
        [*JACKFIELD, "wire", "--read", file],
        capture_output=True,
        check=True,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )
    assert b"-- SYN seq=0" in said.stdout


@pytest.mark.parametrize(
    ("arguments", "status", "why"),
    [
        (["unix:/x"], 2, "unix:/x: no packets to see; tcp:// tls:// and udp:// have some"),
        (["127.0.0.1:80"], 2, "the scheme is missing"),
        (["--read", "/nosuch/file"], 2, "/nosuch/file: cannot be read: No such file"),
        (["--read", "/"], 2, "/: cannot be read: Is a directory"),
        (["--read", "x", "--interface", "lo"], 2, "give one of them"),
        (["--read", "x", "--seconds", "1"], 2, "a file ends by itself"),
        (["--count", "0"], 2, "--count"),
        (["--read", __file__, "--write", __file__], 2, "it is the same file"),
        (["--read", __file__, "--write", "/nosuch/f"], 2, "/nosuch/f: cannot be written"),
    ],
)
def test_mistakes(arguments: list[str], status: int, why: str) -> None:
    said = run("wire", *arguments)
    assert (said.returncode, said.stdout) == (status, "")
    assert said.stderr.startswith("jackfield: ")
    assert why in said.stderr
    assert said.stderr.count("\n") == 1


# --- live ----------------------------------------------------------------------------------------


class Watching(Serving):
    """``jackfield wire`` on a capture; its output goes to a file."""

    def __init__(self, output: Path, *arguments: str, command: tuple[str, ...] = JACKFIELD) -> None:
        with traffic.capturing():
            pass  # skips without permission
        self.output = output
        with output.open("wb") as file:
            super().__init__("wire", *arguments, command=command, stdout=file)

    def said_of(self, pattern: str) -> bool:
        return re.search(pattern, self.output.read_text()) is not None


def test_live(tmp_path: Path) -> None:
    copy = tmp_path / "copy.pcapng"
    options = ("--json", "--write", str(copy))
    with Watching(tmp_path / "out", f"tcp://{traffic.HOST}:0", *options) as wire:
        wire.expect(r"capturing on lo; all capabilities given up; Ctrl-C ends")
        status = Path(f"/proc/{wire.process.pid}/status").read_text()
        assert re.search(r"^CapEff:\s0{16}$", status, re.MULTILINE)
        traffic.conversation()
        until(lambda: wire.said_of('"TIME-WAIT", "server": "CLOSED"'))
        wire.process.send_signal(signal.SIGINT)
        assert wire.ended() == 0
    records = [json.loads(line) for line in (tmp_path / "out").read_text().splitlines()]
    summary = records[-1]
    assert summary["ended"] == "closed, first by the client"
    assert summary["handshake"] > 0
    assert (summary["client"]["bytes"], summary["server"]["bytes"]) == (6, 10)
    kept = CaptureReader()
    assert len(list(kept.feed(copy.read_bytes()))) == len(records) - 1
    kept.finish()


def test_the_file_belongs_to_who_called_sudo(short_directory: Path) -> None:
    if not ROOT:
        pytest.skip("only root can become somebody else")
    nobody = pwd.getpwnam("nobody").pw_uid
    os.chown(short_directory, nobody, -1)
    command = ("env", f"SUDO_UID={nobody}", *JACKFIELD)
    copy = short_directory / "copy.pcapng"
    options = (f"tcp://{traffic.HOST}:0", "--seconds", "0.05", "--write", str(copy))
    with Watching(short_directory / "out", *options, command=command) as wire:
        wire.expect(rf"capturing on lo; root given up for user {nobody}, who called sudo; .*")
        assert wire.ended() == 0
    assert copy.stat().st_uid == nobody


def test_seconds_end_it(tmp_path: Path) -> None:
    with Watching(tmp_path / "out", f"tcp://{traffic.HOST}:1", "--seconds", "0.05") as wire:
        assert wire.ended() == 0
    assert (tmp_path / "out").read_text() == ""


def test_without_permission(tmp_path: Path) -> None:
    if not ROOT or shutil.which("setpriv") is None:
        pytest.skip("needs root to give it up, and setpriv (util-linux)")
    command = ("setpriv", "--bounding-set=-all", "--inh-caps=-all", *JACKFIELD)
    said = run("wire", command=command)
    assert (said.returncode, said.stdout) == (2, "")
    assert re.fullmatch(
        r"jackfield: no permission to capture packets: run it with sudo .*\n", said.stderr
    )


def test_an_interface_that_is_none() -> None:
    with traffic.capturing():
        pass
    said = run("wire", "--interface", "nosuch0")
    assert said.returncode == 2
    assert said.stderr.startswith("jackfield: there is no interface 'nosuch0' here; there are: ")


def test_colour_on_a_terminal_only(file: str) -> None:
    import pty

    outer, inner = pty.openpty()
    environment = {name: word for name, word in os.environ.items() if name != "NO_COLOR"}
    with subprocess.Popen([*JACKFIELD, "wire", "--read", file], stdout=inner, env=environment):
        os.close(inner)
        shown = b""
        while True:
            try:
                shown += os.read(outer, 65536)
            except OSError:  # Linux's end of a terminal
                break
    os.close(outer)
    assert b"\x1b[32m\x1b[1mSYN-SENT" in shown
    assert "\x1b" not in run("wire", "--read", file).stdout


def test_the_page_shows_what_is_shown() -> None:
    """The ladder of docs/see.md, but for times and ports: flags, numbers, states, payload."""
    page = (Path(__file__).parents[2] / "docs" / "see.md").read_text()
    block = page.partition("wire tcp://127.0.0.1:8888 --payload\n")[2].partition("```")[0]
    expected = [shape(line) for line in block.splitlines()[1:]]
    with Serving("serve", "echo", f"tcp://{traffic.HOST}:0") as server:
        port = server.port()
        # Which acknowledgements travel with data is a matter of microseconds: try again.
        assert expected in (list(map(shape, drawn(port))) for _ in range(20))


def test_the_page_explains_every_mark() -> None:
    page = (Path(__file__).parents[2] / "docs" / "see.md").read_text()
    _, _, section = page.partition("\n## `jackfield wire`")
    _, _, table = section.partition("\n| mark |")
    explained = table.partition("\n\n")[0]
    marks = {word for name, word in vars(tcp_analysis).items() if name.isupper() and name[0] != "_"}
    for mark in marks - set(tcp_analysis.RETRANSMISSIONS) - {tcp_analysis.RETRANSMISSIONS}:
        assert f"`{mark.removesuffix(' ACK')}" in explained, mark


def drawn(port: int) -> list[str]:
    """What goes over the wire when a client says hello and half-closes."""
    place = (socket.inet_aton(traffic.HOST), port)
    with traffic.capturing(place) as capture:
        with socket.create_connection((traffic.HOST, port), PATIENCE) as client:
            client.sendall(b"hello\n")
            assert receive(client, 6) == b"hello\n"
            client.shutdown(socket.SHUT_WR)
            assert receive_all(client) == b""
        wire, ladder = Wire(), Ladder(100, payload=True)
        capture.until(lambda frames: len(frames) >= 10)
        steps = [wire.frame(frame) for frame in capture.frames]
    lines = (line for step in steps if isinstance(step, Step) for line in ladder.rung(step))
    return ["".join(text for text, _ in line).rstrip() for line in lines]


def shape(line: str) -> str:
    """A line of a ladder without its times."""
    return " " * 24 + line[24:]


def test_help_names_every_option() -> None:
    said = run("wire", "--help").stdout
    for option in ("--read", "--write", "--count", "--seconds", "--connection", "--json"):
        assert option in said
    assert packets.CLIENT[0] not in said
