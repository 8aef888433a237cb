"""The small services over streams: RFC 863, 864, 867 and 868."""

from __future__ import annotations

import calendar
import locale
import socket
import struct
import typing as t

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jackfield.protocol import Protocol
from jackfield.server import Server
from jackfield.services.small import (
    CYCLE,
    Chargen,
    Daytime,
    Discard,
    Time,
    daytime,
    seconds_since_1900,
)


def at(*moment: int) -> float:
    return float(calendar.timegm((*moment, 0, 0, 0)[:6]))


# --- discard ---------------------------------------------------------------------------------


def test_discard_says_nothing(connect: t.Any) -> None:
    discard = Discard()
    transport = connect(discard)
    discard.data_received(b"anything" * 1000)
    assert not transport.take()
    assert not transport.closing


# --- daytime ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("moment", "line"),
    [
        ((1970, 1, 1), b"Thursday, January 1, 1970 00:00:00-UTC\r\n"),
        ((2026, 11, 21, 12, 22, 37), b"Saturday, November 21, 2026 12:22:37-UTC\r\n"),
        ((2024, 2, 29, 23, 59, 59), b"Thursday, February 29, 2024 23:59:59-UTC\r\n"),
        ((2100, 9, 1, 6, 5, 4), b"Wednesday, September 1, 2100 06:05:04-UTC\r\n"),
    ],
)
def test_daytime_is_one_line_in_english(moment: tuple[int, ...], line: bytes) -> None:
    assert daytime(at(*moment)) == line


def test_daytime_is_english_in_every_locale() -> None:
    before = locale.setlocale(locale.LC_TIME)
    try:
        locale.setlocale(locale.LC_TIME, "")
        assert daytime(0).startswith(b"Thursday, January")
    finally:
        locale.setlocale(locale.LC_TIME, before)


def test_daytime_is_told_once_and_the_connection_closed(connect: t.Any) -> None:
    transport = connect(Daytime(clock=lambda: at(1999, 12, 31, 23, 59, 59) + 0.999))
    assert transport.take() == b"Friday, December 31, 1999 23:59:59-UTC\r\n"
    assert transport.closing


# --- time ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("moment", "seconds"),
    [  # RFC 868 gives the first three
        ((1970, 1, 1), 2_208_988_800),
        ((1976, 1, 1), 2_398_291_200),
        ((1980, 1, 1), 2_524_521_600),
        ((2036, 2, 7, 6, 28, 15), 0xFFFF_FFFF),
        ((2036, 2, 7, 6, 28, 16), 0),
        ((2036, 2, 7, 6, 28, 17), 1),
    ],
)
def test_time_counts_from_1900_and_wraps_in_2036(moment: tuple[int, ...], seconds: int) -> None:
    assert seconds_since_1900(at(*moment)) == struct.pack("!I", seconds)


@given(st.floats(min_value=-(2**40), max_value=2**40))
def test_time_is_four_bytes_whatever_the_clock_says(now: float) -> None:
    assert len(seconds_since_1900(now)) == 4


def test_time_is_told_once_and_the_connection_closed(connect: t.Any) -> None:
    transport = connect(Time(clock=lambda: 0.9))
    assert transport.take() == b"\x83\xaa\x7e\x80"
    assert transport.closing


@pytest.mark.parametrize(("service", "told"), [(Time, 4), (Daytime, len(daytime(0)) - 10)])
def test_a_client_that_asks_loudly_still_reads_the_whole_answer(
    service: type[Protocol], told: int
) -> None:
    """Unread input would turn our last bytes into a reset."""
    with Server("tcp://127.0.0.1:0", service) as server:
        for _ in range(20):
            with socket.create_connection(
                t.cast(t.Any, server.addresses[0].sockaddr), timeout=10
            ) as client:
                client.sendall(b"what time is it?\r\n" * 500)
                client.shutdown(socket.SHUT_WR)
                with client.makefile("rb") as stream:
                    assert len(stream.read()) >= told


# --- character generator ---------------------------------------------------------------------


def test_the_pattern_is_that_of_rfc_864() -> None:
    lines = CYCLE.split(b"\r\n")
    assert lines.pop() == b""
    assert len(lines) == 95
    assert {len(line) for line in lines} == {72}
    # The first two and the last lines as the RFC prints them.
    rotated = bytes(range(33, 127))
    assert lines[0] == b" " + rotated[:71]
    assert lines[1] == rotated[:72]
    assert lines[94] == b"~ " + rotated[:70]
    for above, below in zip(lines, [*lines[1:], lines[0]], strict=True):
        assert above[1:] == below[:-1]


def test_chargen_writes_one_cycle_a_tick(connect: t.Any, engine: t.Any) -> None:
    transport = connect(Chargen())
    assert transport.take() == CYCLE
    for _ in range(5):
        engine.tick()
        assert transport.take() == CYCLE


def test_chargen_stops_while_its_reader_does_not_read(connect: t.Any, engine: t.Any) -> None:
    chargen = Chargen()
    transport = connect(chargen)
    chargen.pause_writing()
    transport.take()
    for _ in range(3):
        engine.tick()
    assert transport.take() == b""
    chargen.resume_writing()
    engine.tick()
    assert transport.take() == CYCLE


def test_chargen_goes_on_at_the_same_pace_after_a_pause_in_the_midst_of_a_write(
    connect: t.Any, engine: t.Any
) -> None:
    """As a transport does it: the write that fills the outbox calls pause_writing."""
    chargen = Chargen()
    transport = connect(chargen)
    write = transport.write

    def fill(data: bytes) -> None:
        write(data)
        chargen.pause_writing()

    for _ in range(4):
        transport.write = fill
        engine.tick()
        transport.write = write
        transport.take()
        chargen.resume_writing()
    engine.tick()
    assert transport.take() == CYCLE


def test_chargen_ends_with_its_connection(connect: t.Any, engine: t.Any) -> None:
    transport = connect(Chargen())
    transport.close()
    transport.take()
    engine.tick()
    assert transport.take() == b""
    assert not engine.soon


def test_chargen_never_breaks_its_pattern_for_a_slow_reader() -> None:
    with (
        Server("tcp://127.0.0.1:0", Chargen) as server,
        socket.create_connection(t.cast(t.Any, server.addresses[0].sockaddr), timeout=10) as client,
    ):
        received = bytearray()
        while len(received) < 4_000_000:
            received += client.recv(300_000)
        assert bytes(received) == (CYCLE * (len(received) // len(CYCLE) + 1))[: len(received)]
