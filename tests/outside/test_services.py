"""Echo and the small services, asked by nc, socat and telnet; over TCP, UDP and Unix sockets."""

from __future__ import annotations

import contextlib
import re
import struct
import time
import typing as t
from collections.abc import Iterator
from pathlib import Path

from tests.outside.programs import Program, ask, need

from jackfield.address import Address
from jackfield.server import Server
from jackfield.services import ServiceOptions, make
from jackfield.services.small import CYCLE, SECONDS_1900_TO_1970

DAYTIME: t.Final = rb"\w+day, \w+ \d+, \d{4} \d\d:\d\d:\d\d-UTC\r\n"


@contextlib.contextmanager
def serving(name: str, endpoint: str = "tcp://127.0.0.1:0", **options: t.Any) -> Iterator[Address]:
    service = make(name, ServiceOptions(**options))
    with Server(endpoint, service.stream, datagram_factory=service.datagram) as server:
        yield server.addresses[0]


def test_echo_answers_nc_to_the_last_byte_after_its_half_close() -> None:
    need("nc")
    data = bytes(range(256)) * 4000
    with serving("echo") as address:
        assert ask("nc", "-N", "127.0.0.1", str(address.port), typed=data) == data


def test_echo_greets_telnet_and_answers_each_line() -> None:
    need("telnet")
    with (
        serving("echo", greeting="Hello") as address,
        Program("telnet", "127.0.0.1", str(address.port)) as telnet,
    ):
        telnet.read_to("Hello")
        for line in ("one", "two"):
            telnet.type(line)
            assert telnet.read_to(line) == [line]


def test_echo_on_a_unix_socket(short_directory: Path) -> None:
    need("nc", "socat")
    with serving("echo", f"unix:{short_directory / 'echo'}") as address:
        assert ask("nc", "-N", "-U", address.path, typed=b"hello nc\n") == b"hello nc\n"
        socat = ("socat", "-t", "20", "-", f"UNIX-CONNECT:{address.path}")
        assert ask(*socat, typed=b"hello socat\n") == b"hello socat\n"


def test_daytime_and_time_tell_nc_and_hang_up() -> None:
    need("nc")
    with serving("daytime") as address:
        assert re.fullmatch(DAYTIME, ask("nc", "127.0.0.1", str(address.port)))
    with serving("time") as address:
        before = int(time.time())
        (told,) = struct.unpack("!I", ask("nc", "127.0.0.1", str(address.port)))
        assert before <= told - SECONDS_1900_TO_1970 <= time.time()


def test_discard_says_nothing_to_the_end() -> None:
    need("nc")
    with serving("discard") as address:
        assert ask("nc", "-N", "127.0.0.1", str(address.port), typed=b"x" * 100_000) == b""


def test_chargen_is_read_by_socat_and_stops_with_it() -> None:
    need("socat")
    with serving("chargen") as address:
        printed = ask("socat", "-u", f"TCP:127.0.0.1:{address.port},readbytes=100000", "-")
    assert printed == (CYCLE * (len(printed) // len(CYCLE) + 1))[: len(printed)]
    assert len(printed) == 100_000


def test_udp_echo_answers_nc_and_socat() -> None:
    need("nc", "socat")
    with serving("echo", "udp://127.0.0.1:0") as address:
        for command in (
            ("nc", "-u", "127.0.0.1", str(address.port)),
            ("socat", "-", f"UDP:127.0.0.1:{address.port}"),
        ):
            with Program(*command) as client:
                for line in ("one", "two"):
                    client.type(line)
                    assert client.read_to(line) == [line]


def test_udp_time_and_daytime_answer_who_sends_enough() -> None:
    need("socat")
    with serving("daytime", "udp://127.0.0.1:0") as address:
        with Program("socat", "-", f"UDP:127.0.0.1:{address.port}") as client:
            client.type("short")  # ignored, it is shorter than the answer
            client.type("x" * 60)
            line = client.read_line().encode() + b"\r\n"
        assert re.fullmatch(DAYTIME, line)
