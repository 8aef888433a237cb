"""What ``jackfield wire`` says of a capture, against what tshark says of the same file."""

from __future__ import annotations

import itertools
import random
import socket
import subprocess
import typing as t
from pathlib import Path

import pytest
from tests.capture import packets
from tests.capture.packets import Talk, frame
from tests.outside import wire_traffic as traffic
from tests.outside.programs import need

from jackfield.capture import tcp
from jackfield.capture.frames import Frame
from jackfield.tools import tcp_analysis as words
from jackfield.tools.tcp_connection import Step
from jackfield.tools.wire import Wire
from jackfield.tools.wire_source import CaptureFile


@pytest.fixture(autouse=True, scope="module")
def _tshark() -> None:
    need("tshark")


FIELDS: t.Final = (
    *("frame.number", "tcp.stream", "tcp.seq", "tcp.ack", "tcp.len", "tcp.flags"),
    *("tcp.window_size", "tcp.window_size_scalefactor", "ip.src", "ipv6.src", "tcp.srcport"),
)
ANALYSIS: t.Final = (
    *("retransmission", "fast_retransmission", "spurious_retransmission", "out_of_order"),
    *("duplicate_ack", "zero_window", "window_update", "keep_alive", "keep_alive_ack"),
    *("zero_window_probe", "zero_window_probe_ack", "window_full", "lost_segment"),
    "ack_lost_segment",
)

AGAIN: t.Final = "again"
PROBE: t.Final = "probe"
PROBE_ACK: t.Final = "probe ACK"

THEIRS: t.Final = {
    "retransmission": AGAIN,
    "fast_retransmission": AGAIN,
    "spurious_retransmission": AGAIN,
    "out_of_order": AGAIN,  # they tell the two apart by time, we by what was seen before
    "duplicate_ack": words.DUPLICATE_ACK,
    "zero_window": words.ZERO_WINDOW,
    "window_update": words.WINDOW_UPDATE,
    "keep_alive": PROBE,  # Linux probes a closed window with a keep-alive
    "zero_window_probe": PROBE,
    "keep_alive_ack": PROBE_ACK,
    "zero_window_probe_ack": PROBE_ACK,
    "window_full": words.WINDOW_FULL,
    "lost_segment": words.GAP,
    "ack_lost_segment": words.ACKED_UNSEEN,
}
OURS: t.Final = {
    **dict.fromkeys((*words.RETRANSMISSIONS, words.OUT_OF_ORDER), AGAIN),
    **dict.fromkeys((words.KEEP_ALIVE, words.WINDOW_PROBE), PROBE),
    **dict.fromkeys((words.KEEP_ALIVE_ACK, words.WINDOW_PROBE_ACK), PROBE_ACK),
}


class Said(t.NamedTuple):
    """What one of the two says of a packet."""

    stream: int
    source: str
    seq: int
    ack: int
    length: int
    flags: int
    window: int
    analysis: frozenset[str]


def tshark(path: Path) -> list[Said]:
    names = [*FIELDS, *(f"tcp.analysis.{name}" for name in ANALYSIS)]
    command = ["tshark", "-n", "-r", str(path), "-T", "fields", "-E", "occurrence=f"]
    for name in names:
        command += ["-e", name]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    return [
        _theirs(dict(zip(names, line.split("\t"), strict=True))) for line in run.stdout.splitlines()
    ]


def _theirs(row: dict[str, str]) -> Said:
    found = {THEIRS[name] for name in ANALYSIS if row[f"tcp.analysis.{name}"]}
    host, port = row["ip.src"] or f"[{row['ipv6.src']}]", row["tcp.srcport"]
    numbers = (row["tcp.seq"], row["tcp.ack"], row["tcp.len"])
    seq, ack, length = map(int, numbers)
    flags = int(row["tcp.flags"], 16)
    return Said(
        int(row["tcp.stream"]) + 1,
        f"{host}:{port}",
        seq,
        ack if flags & tcp.ACK else 0,
        length,
        flags & 255,
        int(row["tcp.window_size"]),
        _judged(found),
    )


def _judged(found: set[str]) -> frozenset[str]:
    """They do not take the answer to Linux's probe of a closed window for one."""
    return frozenset(found - {PROBE_ACK} if words.ZERO_WINDOW in found else found)


def ours(frames: list[Frame]) -> list[Said]:
    wire, said = Wire(), []
    for each in frames:
        step = wire.frame(each)
        assert isinstance(step, Step)
        names = (mark.split(" #")[0] for mark in step.marks)
        found = _judged({OURS.get(name, name) for name in names})
        said.append(
            Said(
                step.connection.number,
                str(step.segment.source),
                step.seq & 0xFFFFFFFF,
                (step.ack or 0) & 0xFFFFFFFF,
                step.segment.length,
                step.segment.flags,
                step.window,
                found,
            )
        )
    return said


def compare(frames: list[Frame], path: Path, without: str = "") -> list[Said]:
    """Both must say the same of every packet; ``without``: but for this."""
    with CaptureFile(str(path)) as file:
        file.write(frames)
    mine, theirs = (_but(said, without) for said in (ours(frames), tshark(path)))
    assert len(mine) == len(theirs)
    differ = [(n, a, b) for n, (a, b) in enumerate(zip(mine, theirs, strict=True), 1) if a != b]
    assert not differ, "\n".join(f"{n}\n ours   {a}\n tshark {b}" for n, a, b in differ[:5])
    return mine


def _but(said: list[Said], without: str) -> list[Said]:
    return [each._replace(analysis=each.analysis - {without}) for each in said]


LINES: t.Final = 10
"""Bad lines, until one loses a segment in front of others: where a busy machine sends what was
written in few large ones, the last may be the only one that is lost."""


@pytest.fixture(scope="module")
def frames() -> list[Frame]:
    """Everything that can happen, in one capture."""
    with traffic.capturing((socket.inet_aton(traffic.HOST), 0)) as capture:
        traffic.conversation()
        traffic.refusal()
        traffic.hang_up()
        for _ in range(LINES):
            traffic.bad_line()
            marks = itertools.chain.from_iterable(marked(capture.read()))
            if any(mark.startswith(words.DUPLICATE_ACK) for mark in marks):
                break

        def probed() -> None:
            capture.until(lambda all_: any(words.WINDOW_PROBE in marks for marks in marked(all_)))

        traffic.stall(probed)
        return capture.read()


def marked(frames: list[Frame]) -> list[tuple[str, ...]]:
    wire = Wire()
    return [step.marks for frame in frames if isinstance(step := wire.frame(frame), Step)]


def test_every_packet_of_real_traffic(frames: list[Frame], tmp_path: Path) -> None:
    said = compare(frames, tmp_path / "all.pcapng")
    seen = frozenset().union(*(each.analysis for each in said))
    assert seen >= {AGAIN, words.DUPLICATE_ACK, words.ZERO_WINDOW, PROBE, words.WINDOW_UPDATE}


def test_captures_that_begin_in_the_midst(frames: list[Frame], tmp_path: Path) -> None:
    for number, begin in enumerate((1, len(frames) // 2)):
        compare(frames[begin:], tmp_path / f"{number}.pcapng")


def test_a_capture_that_missed_some(frames: list[Frame], tmp_path: Path) -> None:
    """As when it was not read fast enough. (When exactly an acknowledgement is of what was not seen
    they decide otherwise: at the next but one, where several are missing.)"""
    rng = random.Random(5)
    some = [frame for frame in frames if rng.random() > 0.05]
    said = compare(some, tmp_path / "some.pcapng", without=words.ACKED_UNSEEN)
    assert any(words.GAP in each.analysis for each in said)


def test_every_link_and_family(tmp_path: Path) -> None:
    """A handshake in each wrapping that a link may put around IPv4 and IPv6."""
    made: list[Frame] = []
    for number, (link, wrap) in enumerate(packets.WRAPPED.values()):
        for ip in (packets.ipv4, packets.ipv6):
            talk = Talk(client_port=1000 + number, ip=ip)
            talk.handshake()
            talk.say("c", tcp.ACK | tcp.PSH, 1, 1, payload=b"hello")
            made += [frame(wrap(each.data), link, each.time) for each in talk.frames]
    said = compare(made, tmp_path / "links.pcapng")
    assert len(said) == 4 * 2 * len(packets.WRAPPED)


def test_what_real_traffic_seldom_shows(tmp_path: Path) -> None:
    talk = Talk(client_isn=0xFFFFFFFA, server_isn=0x7FFFFFFF)  # numbers that wrap
    talk.handshake()
    said: list[tuple[str, int, int, int, dict[str, t.Any]]] = [
        ("c", tcp.ACK | tcp.PSH, 1, 1, {"payload": bytes(10)}),
        ("s", tcp.ACK, 1, 11, {}),
        ("c", tcp.ACK, 10, 1, {}),  # keep-alives, without a byte and with one
        ("s", tcp.ACK, 1, 11, {}),
        ("c", tcp.ACK, 10, 1, {"payload": b"\0"}),
        ("s", tcp.ACK, 1, 11, {}),
        ("s", tcp.ACK, 1, 11, {"window": 0}),
        ("c", tcp.ACK, 11, 1, {"payload": b"p"}),  # a probe with the next byte
        ("s", tcp.ACK, 1, 11, {"window": 0}),
        ("s", tcp.ACK, 1, 11, {"window": 1}),
        ("c", tcp.ACK | tcp.PSH, 11, 1, {"payload": bytes(128)}),  # the window is full
        ("s", tcp.ACK, 1, 139, {"window": 100}),
        *(("c", tcp.ACK, 139 + 10 * n, 1, {"payload": bytes(10)}) for n in (0, 2, 3, 4)),
        ("s", tcp.ACK, 1, 149, {"window": 100}),
        *(("s", tcp.ACK, 1, 149, {"window": 100}) for _ in range(3)),
        ("c", tcp.ACK, 149, 1, {"payload": bytes(10)}),
        ("s", tcp.ACK | tcp.FIN, 1, 189, {}),
        ("s", tcp.ACK | tcp.FIN, 1, 189, {}),
        ("c", tcp.ACK | tcp.FIN, 189, 2, {}),
        ("s", tcp.ACK, 2, 190, {}),
        ("c", tcp.RST, 190, 0, {}),
    ]
    for who, flags, seq, ack, more in said:
        talk.say(who, flags, seq, ack, **more)
    compare(talk.frames, tmp_path / "talk.pcapng")
