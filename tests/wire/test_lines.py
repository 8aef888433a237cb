from __future__ import annotations

import asyncio
import typing as t

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jackfield import _native, limits
from jackfield.errors import UsageError
from jackfield.wire import lines
from jackfield.wire.lines import TOO_LONG, LineProtocol, PureLineSplitter


@pytest.fixture(params=["pure", "compiled"], autouse=True, scope="module")
def _twin(request: pytest.FixtureRequest) -> t.Iterator[None]:
    """Everything here holds for both."""
    compiled = lines.LineSplitter
    if request.param == "pure":
        lines.LineSplitter = PureLineSplitter  # type: ignore[assignment, misc]
    elif compiled is PureLineSplitter:
        pytest.skip(f"compiled lines: {_native.missing('lines')}")
    yield
    lines.LineSplitter = compiled  # type: ignore[misc]


CASES = [
    (b"one\ntwo\n", [b"one", b"two"]),
    (b"one\r\ntwo\r\n", [b"one", b"two"]),
    (b"one\r\0two\r\0", [b"one", b"two"]),
    (b"a\nb\r\nc\r\0d\n", [b"a", b"b", b"c", b"d"]),
    (b"\n\r\n\r\0", [b"", b"", b""]),
    (b"a\rb\n", [b"a\rb"]),
    (b"a\0b\n", [b"a\0b"]),
    (b"twice\r\r\n", [b"twice\r"]),
    (b"twice\r\r\0", [b"twice\r"]),
    (b"\r\r\n\0x\n", [b"\r", b"\0x"]),
    (b"reversed\n\rx\n", [b"reversed", b"\rx"]),
    (b"12345678\r\n", [b"12345678"]),
    (b"12345678\r\0", [b"12345678"]),
    (b"123456789\nnext\n", [TOO_LONG, b"next"]),
    (b"12345678\r\r\nnext\n", [TOO_LONG, b"next"]),
    (b"123456789 and a\rlong\0tail\r\0next\n", [TOO_LONG, b"next"]),
    (b"a\n" + b"x" * 500 + b"\nb\n" + b"y" * 500 + b"\r\nc\n", [b"a", None, b"b", None, b"c"]),
]
"""Streams and their lines under a limit of 8 bytes."""


def lines_of(chunks: t.Iterable[bytes], limit: int = 8) -> list[bytes | None]:
    splitter = lines.LineSplitter(limit)
    return [line for chunk in chunks for line in splitter.feed(chunk)]


def single_bytes(data: bytes) -> list[bytes]:
    return [data[i : i + 1] for i in range(len(data))]


def reference(data: bytes, limit: int) -> list[bytes | None]:
    """The definition, a byte at a time and without regard to speed."""
    lines: list[bytes | None] = []
    line = b""
    reported = False
    for byte in single_bytes(data):
        if byte == b"\n" or (byte == b"\0" and line.endswith(b"\r")):
            if not reported:
                lines.append(line.removesuffix(b"\r"))
            line, reported = b"", False
            continue
        line += byte
        if len(line.removesuffix(b"\r")) > limit and not reported:
            lines.append(TOO_LONG)
            reported = True
    return lines


@pytest.mark.parametrize(("data", "expected"), CASES)
def test_whole_byte_by_byte_and_with_a_tail(data: bytes, expected: list[bytes | None]) -> None:
    assert reference(data, 8) == expected
    assert lines_of([data]) == expected
    assert lines_of(single_bytes(data)) == expected
    assert lines_of([data + b"tail"]) == expected
    assert lines_of([data, b"", b"tail", b"", b"\n"]) == [*expected, b"tail"]


@pytest.mark.parametrize(("data", "expected"), CASES)
def test_cut_once_anywhere(data: bytes, expected: list[bytes | None]) -> None:
    for cut in range(len(data) + 1):
        assert lines_of([data[:cut], b"", data[cut:]]) == expected


telnet_bytes = st.lists(st.sampled_from([b"\r", b"\n", b"\0", b"a", b"bc"]), max_size=60).map(
    b"".join
)


@given(st.lists(telnet_bytes, max_size=8), st.integers(1, 9))
def test_any_chunks_give_the_lines_of_the_definition(chunks: list[bytes], limit: int) -> None:
    data = b"".join(chunks)
    expected = reference(data, limit)
    assert lines_of(chunks, limit) == expected
    assert lines_of([data], limit) == expected


@given(st.lists(telnet_bytes, max_size=8), st.integers(1, 9))
def test_no_more_than_the_limit_is_held(chunks: list[bytes], limit: int) -> None:
    splitter = lines.LineSplitter(limit)
    for chunk in chunks:
        for line in splitter.feed(chunk):
            assert line is None or len(line) <= limit
        assert splitter.pending <= limit + 1


def test_too_long_is_told_when_the_limit_is_passed_and_only_once() -> None:
    splitter = lines.LineSplitter(4)
    assert splitter.feed(b"1234") == []
    assert splitter.feed(b"5") == [TOO_LONG]
    for _ in range(100):
        assert splitter.feed(b"x" * 1000) == []
        assert splitter.pending == 0
    assert splitter.feed(b"\nok\n") == [b"ok"]


def test_a_return_at_the_limit_is_not_yet_too_long() -> None:
    splitter = lines.LineSplitter(4)
    assert splitter.feed(b"1234\r") == []
    assert splitter.feed(b"") == []
    assert splitter.pending == 5
    assert splitter.feed(b"\n") == [b"1234"]
    assert splitter.feed(b"1234\r") == []
    assert splitter.feed(b"5") == [TOO_LONG]


def test_finish_gives_the_line_without_an_end() -> None:
    splitter = lines.LineSplitter(8)
    assert splitter.finish() == []
    splitter.feed(b"one\ntwo")
    assert splitter.pending == 3
    assert splitter.finish() == [b"two"]
    assert splitter.finish() == []
    splitter.feed(b"half\r")
    assert splitter.finish() == [b"half"]


def test_finish_does_not_tell_a_long_line_twice() -> None:
    splitter = lines.LineSplitter(4)
    assert splitter.feed(b"123456\r") == [TOO_LONG]
    assert splitter.finish() == []
    assert splitter.feed(b"new\n") == [b"new"]


def test_a_limit_below_one_byte_is_refused() -> None:
    with pytest.raises(UsageError, match="line limit 0"):
        lines.LineSplitter(0)


class Lines(LineProtocol):
    line_limit = 8

    def __init__(self) -> None:
        self.seen: list[bytes | None] = []

    def line_received(self, line: bytes) -> None:
        self.seen.append(line)

    def line_too_long(self) -> None:
        self.seen.append(TOO_LONG)


def test_lines_reach_the_protocol(native: t.Any) -> None:
    protocol = Lines()
    protocol.connection_made(native)
    assert protocol.transport is native
    protocol.data_received(b"one\r\ntw")
    protocol.data_received(b"o\n123456789")
    protocol.data_received(b"0\nthree\n")
    assert protocol.seen == [b"one", b"two", TOO_LONG, b"three"]


def test_send_line_ends_with_crlf(native: t.Any) -> None:
    protocol = Lines()
    protocol.connection_made(native)
    protocol.send_line(b"hello")
    assert native.written == b"hello\r\n"


def test_the_default_limit_is_the_documented_one(native: t.Any) -> None:
    protocol = LineProtocol()
    protocol.connection_made(native)
    protocol.data_received(b"nobody overrides anything\n" + b"x" * (limits.LINE_LIMIT + 1))
    assert LineProtocol.line_limit == limits.LINE_LIMIT
    assert LineProtocol.reports_progress


def test_only_blocks_with_a_complete_line_are_progress(native: t.Any) -> None:
    protocol = Lines()
    protocol.connection_made(native)
    protocol.data_received(b"on")
    assert native.progress == 0
    protocol.data_received(b"e\ntwo\nthree\n")
    assert native.progress == 1
    protocol.data_received(b"far too long a line")
    assert protocol.seen[-1] is TOO_LONG
    assert native.progress == 1
    protocol.data_received(b"\n123456789\nshort\n")
    assert native.progress == 2


def test_an_unended_line_is_delivered_at_eof_then_the_connection_closes(native: t.Any) -> None:
    protocol = Lines()
    protocol.connection_made(native)
    protocol.data_received(b"one\ntwo")
    assert not protocol.eof_received()
    assert protocol.seen == [b"one", b"two"]
    assert native.calls == []


class BigAnswers(LineProtocol):
    """Answers each line with more than the transport likes to hold."""

    def __init__(self) -> None:
        self.answered = 0
        self.lost = asyncio.Event()

    def line_received(self, line: bytes) -> None:
        self.answered += 1
        self.send_line(line * 20_000)

    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        self.lost.set()


def test_on_asyncio_a_peer_that_does_not_read_holds_the_rest_back() -> None:
    async def talk() -> None:
        made: list[BigAnswers] = []

        def factory() -> BigAnswers:
            made.append(BigAnswers())
            return made[-1]

        loop: t.Any = asyncio.get_running_loop()  # typed for asyncio.Protocol by name
        server = await loop.create_server(factory, "127.0.0.1", 0)
        async with server:
            host, port = server.sockets[0].getsockname()
            reader, writer = await asyncio.open_connection(host, port, limit=1024)
            count = 400
            writer.write(b"".join(b"%03d\n" % i for i in range(count)) + b"end")
            writer.write_eof()
            first = await reader.readexactly(3)
            # Nobody reads now: the kernel's buffers fill, and then the answering has to stop.
            held = made[0]
            previous = -1
            while held.answered != previous or held.answered == 0:
                previous = held.answered
                await asyncio.sleep(0.02)
            assert held.answered < count
            rest = await reader.read()
            await asyncio.wait_for(held.lost.wait(), 10)
            writer.close()
            await writer.wait_closed()
        answers = (first + rest).split(b"\r\n")
        expected = [b"%03d" % i * 20_000 for i in range(count)] + [b"end" * 20_000, b""]
        assert answers == expected

    asyncio.run(asyncio.wait_for(talk(), 30))
