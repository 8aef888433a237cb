"""Damaged packets and capture files into everything that reads them: python fuzz/fuzz_capture.py

Packets are real ones with bytes changed, cut off and added; each goes through the decoder, the
tracker and the ladder, which must raise nothing, print nothing that a terminal obeys and remember
no more than they promise. Files are fed whole, in random chunks and byte by byte; all three must
give the same packets and the same fault. It stops by itself after ``--count`` cases of each kind,
and the same ``--seed`` gives the same cases. Exit status 1 shows the case that failed. The
standard library is enough to run it, and no socket is opened.
"""

from __future__ import annotations

import argparse
import json
import random
import struct
import sys
from collections.abc import Iterable

from jackfield import limits
from jackfield.capture import decode, frames, pcapng
from jackfield.capture.frames import Frame
from jackfield.capture.reader import CaptureReader
from jackfield.capture.writer import PcapngWriter
from jackfield.errors import CaptureError, PacketError
from jackfield.tools import wire_records
from jackfield.tools.ladder import Ladder, Line
from jackfield.tools.tcp_connection import Step
from jackfield.tools.wire import Wire

LINKS = (0, 1, 12, 14, 101, 108, 113, 228, 229, 276, 147)
CONNECTIONS = 20
"""Followed at a time, so that they are forgotten, too."""

TCP = bytes.fromhex(
    "9c400050 000003e8 00001388 a01803e8 00000000 020405b4 0402080a 0000000100000000 01030307"
)
IPV4 = bytes.fromhex("4500 0000 0007 0000 4006 0000 0a000001 0a000002")
IPV6 = bytes.fromhex("60000000 0000 0040") + bytes(15) + b"\1" + bytes(15) + b"\2"
OPTIONS = bytes.fromhex("3c00000000000000 2c00000000000000 0600000000000000")
"""Hop-by-hop, destination options, and a fragment header that is the whole."""


def ip_packet(rng: random.Random) -> bytes:
    """A TCP segment over IPv4 or IPv6, with any flags and a few near sequence numbers."""
    head = bytearray(TCP)
    head[4:12] = struct.pack("!II", 1000 + rng.randrange(20), 5000 + rng.randrange(20))
    head[13] = rng.choice((2, 18, 16, 24, 17, 4, 20, rng.randrange(256)))
    if rng.random() < 0.5:  # the other direction
        head[:4] = head[2:4] + head[:2]
    payload = bytes(rng.randrange(256) for _ in range(rng.choice((0, 0, 1, 20))))
    segment = bytes(head) + payload
    if rng.random() < 0.5:
        return IPV4[:2] + struct.pack("!H", 20 + len(segment)) + IPV4[4:] + segment
    length = struct.pack("!H", len(OPTIONS) + len(segment))
    return IPV6[:4] + length + b"\0" + IPV6[7:] + OPTIONS + segment


def wrapped(rng: random.Random, ip: bytes) -> tuple[int, bytes]:
    """Its link type, and the packet behind that link's header."""
    kind = b"\x08\0" if ip[0] >> 4 == 4 else b"\x86\xdd"
    family = 2 if ip[0] >> 4 == 4 else 30
    heads = {
        frames.NULL: struct.pack("<I", family),
        frames.LOOP: struct.pack(">I", family),
        frames.ETHERNET: bytes(12)
        + rng.choice((b"", b"\x81\0\0\7", b"\x88\xa8\0\1\x81\0\0\2"))
        + kind,
        frames.SLL: bytes(14) + kind,
        frames.SLL2: kind + bytes(18),
    }
    link = rng.choice(LINKS)
    return link, heads.get(link, b"") + ip


def damaged(rng: random.Random, data: bytes) -> bytes:
    """Some bytes changed, some cut off or added; often none of it."""
    changed = bytearray(data)
    for _ in range(rng.choice((0, 0, 1, 2, 8))):
        if changed:
            changed[rng.randrange(len(changed))] = rng.choice((0, 1, 255, rng.randrange(256)))
    if rng.random() < 0.2:
        del changed[rng.randrange(len(changed) + 1) :]
    if rng.random() < 0.1:
        changed += bytes(rng.randrange(256) for _ in range(rng.randrange(40)))
    return bytes(changed)


def random_frame(rng: random.Random) -> Frame:
    link, data = wrapped(rng, ip_packet(rng))
    data = damaged(rng, data)
    length = len(data) + rng.choice((0, 0, 0, 1, 1500, -1))
    return Frame(rng.choice((0, 10**18, rng.randrange(1 << 90))), link, data, max(0, length))


# --- packets -------------------------------------------------------------------------------------


def fuzz_packets(rng: random.Random, count: int) -> str | None:
    """Run ``count`` cases through one wire; the text of the first that fails, or None."""
    wire = Wire(most=CONNECTIONS)
    for _ in range(count):
        frame = random_frame(rng)
        try:
            check_packet(wire, frame, Ladder(rng.choice((40, 60, 99, 120)), payload=True))
        except Exception as exc:
            return f"packets: {exc!r}: {frame}"
    return None


def check_packet(wire: Wire, frame: Frame, ladder: Ladder) -> None:
    assert complaint(frame).isprintable(), "an error that does not print"
    found = wire.frame(frame)
    if isinstance(found, Step):
        json.dumps(wire_records.of_step(found, payload=True))
        json.dumps(wire_records.of_connection(found.connection))
        connection = found.connection
        check_lines(ladder.head(connection) + ladder.rung(found) + ladder.summary(connection))
        for half in (connection.client, connection.server):
            assert len(half.holes) <= limits.WIRE_HOLES, "more holes than the limit"
    assert len(wire.tracker.connections()) <= CONNECTIONS, "more connections than the limit"


def complaint(frame: Frame) -> str:
    """Why ``frame`` cannot be read; "" if it can."""
    try:
        decode.decode(frame)
    except PacketError as exc:
        return str(exc)
    return ""


def check_lines(lines: list[Line]) -> None:
    for line in lines:
        assert all(text.isprintable() for text, _ in line), "a line that does not print"


# --- files ---------------------------------------------------------------------------------------


def random_file(rng: random.Random) -> bytes:
    made = [random_frame(rng) for _ in range(rng.randrange(4))]
    if rng.random() < 0.5:
        writer = PcapngWriter()
        return writer.head() + b"".join(map(writer.packet, made))
    order = rng.choice("<>")
    magic = rng.choice((0xA1B2C3D4, 0xA1B23C4D))
    parts = [struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, 65535, frames.RAW)]
    for frame in made:
        size = len(frame.data)
        parts.append(struct.pack(order + "IIII", 1, 2, size, size) + frame.data)
    return b"".join(parts)


def random_chunks(rng: random.Random, data: bytes) -> list[bytes]:
    """``data`` cut at up to ten places; some chunks may be empty."""
    cuts = sorted(rng.randint(0, len(data)) for _ in range(rng.randrange(10)))
    return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]


def read(chunks: Iterable[bytes]) -> tuple[list[Frame], str]:
    """The packets of a file, and the fault that ended it."""
    reader = CaptureReader()
    found: list[Frame] = []
    try:
        for chunk in chunks:
            found.extend(reader.feed(chunk))
            assert reader.pending <= pcapng.MOST_BLOCK + len(chunk), "more is held than a block"
        reader.finish()
    except CaptureError as exc:
        fault = str(exc)
    else:
        fault = ""
    assert fault.isprintable(), "an error that does not print"
    return found, fault


def fuzz_files(rng: random.Random, count: int) -> str | None:
    """Run ``count`` cases; the text of the first that fails, or None."""
    for _ in range(count):
        data = damaged(rng, random_file(rng))
        chunks = random_chunks(rng, data)
        try:
            whole = read([data])
            for way in (chunks, [data[i : i + 1] for i in range(len(data))]):
                if read(way) != whole:
                    return f"files: another result when cut: {way}"
        except Exception as exc:
            return f"files: {exc!r}: {chunks}"
    return None


KINDS = {"packets": fuzz_packets, "files": fuzz_files}


def main(arguments: list[str] | None = None) -> int:
    """Parse the arguments, run both kinds, print one line. Returns the exit status."""
    options = argparse.ArgumentParser(description="fuzz jackfield's readers of packets")
    options.add_argument("--seed", type=int, default=None, help="default: a random one, printed")
    options.add_argument("--count", type=int, default=5000, help="cases of each kind")
    chosen = options.parse_args(arguments)
    seed = random.SystemRandom().randrange(1 << 32) if chosen.seed is None else chosen.seed
    for fuzz in KINDS.values():
        failure = fuzz(random.Random(seed), chosen.count)
        if failure:
            print(f"seed {seed}: {failure}")
            return 1
    print(f"seed {seed}: {chosen.count} cases each of {' and '.join(KINDS)}: all is well")
    return 0


if __name__ == "__main__":
    sys.exit(main())
