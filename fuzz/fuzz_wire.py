"""Random bytes, cut at random, into everything that parses bytes: python fuzz/fuzz_wire.py

Each case is fed to a parser in random chunks and to another byte by byte; both must say the
same, raise nothing and hold no more than they promise. It stops by itself after ``--count``
cases for each parser, and the same ``--seed`` gives the same cases. Exit status 1 shows the
case that failed. The standard library is enough to run it, and no socket is opened.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Callable, Iterable

from jackfield.errors import ProxyHeaderError
from jackfield.wire.frames import FrameSplitter
from jackfield.wire.lines import LineSplitter
from jackfield.wire.proxy_protocol import LONGEST_V1, SIGNATURE, ProxyParser
from jackfield.wire.telnet import TelnetFilter

SPECIAL = {
    "lines": b"\r\n\0\r\nab",
    "frames": b"\0\0\0\1\2\3\x10",
    "telnet": b"\xff\xff\xfe\xfd\xfc\xfb\xfa\xf0\1\6a\r",
    "proxy": b"\x21\x11\x21\0\0\0\3\4\x0c. :0149\r\n",
}
"""The bytes at which each parser decides something, drawn more often than the others."""

Outcome = object
Parser = Callable[[Iterable[bytes], int], Outcome]


def parse_lines(chunks: Iterable[bytes], size: int) -> Outcome:
    splitter = LineSplitter(limit=size)
    lines: list[bytes | None] = []
    for chunk in chunks:
        lines += splitter.feed(chunk)
        assert splitter.pending <= size + 1, "more is held than the limit"
    assert all(line is None or len(line) <= size for line in lines), "a line over the limit"
    return lines, splitter.finish()


def parse_frames(chunks: Iterable[bytes], size: int) -> Outcome:
    prefix = (1, 2, 4, 8)[size % 4]
    splitter = FrameSplitter(prefix, limit=size)
    frames: list[bytes] = []
    for chunk in chunks:
        frames += splitter.feed(chunk)
        assert splitter.pending < prefix + size, "more is held than one frame"
    assert all(len(frame) <= size for frame in frames), "a frame over the limit"
    return frames, splitter.pending, str(splitter.error)


def parse_telnet(chunks: Iterable[bytes], size: int) -> Outcome:
    telnet = TelnetFilter()
    typed = replies = b""
    for chunk in chunks:
        more, reply = telnet.feed(chunk)
        typed += more
        replies += reply
    assert replies[::3] == b"\xff" * (len(replies) // 3), "a reply that is no telnet command"
    return typed, replies


def parse_proxy(chunks: Iterable[bytes], size: int) -> Outcome:
    begin = (SIGNATURE, SIGNATURE + b"\x21\x11\0", b"PROXY TCP4 ", b"PROXY TCP6 ", b"")[size % 5]
    parser = ProxyParser(limit=16 + size)
    chunks = [begin, *chunks]
    data = b"".join(chunks)
    for index, chunk in enumerate(chunks):
        try:
            header = parser.feed(chunk)
        except ProxyHeaderError as exc:
            assert not parser.pending, "held after the end"
            return str(exc)
        assert parser.pending < LONGEST_V1, "more is held than a header"
        if header is not None:
            rest = parser.rest + b"".join(chunks[index + 1 :])
            assert data.endswith(rest), "the rest is not what came behind"
            return header, rest
    return parser.pending


PARSERS: dict[str, Parser] = {
    "lines": parse_lines,
    "frames": parse_frames,
    "telnet": parse_telnet,
    "proxy": parse_proxy,
}


def random_bytes(rng: random.Random, special: bytes) -> bytes:
    """Up to 300 bytes, from all special ones to hardly any."""
    share = rng.random()
    return bytes(
        rng.choice(special) if rng.random() < share else rng.randrange(256)
        for _ in range(rng.randrange(300))
    )


def random_chunks(rng: random.Random, data: bytes) -> list[bytes]:
    """``data`` cut at up to ten places; some chunks may be empty."""
    cuts = sorted(rng.randint(0, len(data)) for _ in range(rng.randrange(10)))
    return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]


def fuzz(name: str, parse: Parser, rng: random.Random, count: int) -> str | None:
    """Run ``count`` cases; the text of the first that fails, or None."""
    for _ in range(count):
        data = random_bytes(rng, SPECIAL[name])
        chunks = random_chunks(rng, data)
        size = rng.randint(1, 40)
        try:
            whole = parse([data], size)
            for way in (chunks, [data[i : i + 1] for i in range(len(data))]):
                if parse(way, size) != whole:
                    return f"{name}: another result when cut: size={size} chunks={way}"
        except Exception as exc:
            return f"{name}: {exc!r}: size={size} chunks={chunks}"
    return None


def main(arguments: list[str] | None = None) -> int:
    """Parse the arguments, run every parser, print one line. Returns the exit status."""
    options = argparse.ArgumentParser(description="fuzz jackfield's parsers")
    options.add_argument("--seed", type=int, default=None, help="default: a random one, printed")
    options.add_argument("--count", type=int, default=5000, help="cases for each parser")
    chosen = options.parse_args(arguments)
    seed = random.SystemRandom().randrange(1 << 32) if chosen.seed is None else chosen.seed
    for name, parse in PARSERS.items():
        failure = fuzz(name, parse, random.Random(seed), chosen.count)
        if failure:
            print(f"seed {seed}: {failure}")
            return 1
    print(f"seed {seed}: {chosen.count} cases each for {', '.join(PARSERS)}: all agree")
    return 0


if __name__ == "__main__":
    sys.exit(main())
