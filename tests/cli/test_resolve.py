"""``jackfield resolve`` as a person runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from tests.cli.process import JACKFIELD, run
from tests.support import PATIENCE

linux = pytest.mark.skipif(sys.platform != "linux", reason="BSD's sockaddr begins with its length")

IPV4 = """\
tcp://127.0.0.1:8888  AF_INET SOCK_STREAM, 16 bytes
  family   02 00  2 = AF_INET, host order
  port     22 b8  8888, network order
  address  7f 00 00 01  127.0.0.1, network order
  zero     0000 0000 0000 0000  unused
"""


@linux
@pytest.mark.skipif(sys.byteorder == "big", reason="the family is written in host order")
def test_ipv4() -> None:
    said = run("resolve", "tcp://127.0.0.1:8888")
    assert (said.returncode, said.stdout, said.stderr) == (0, IPV4, "")


def test_json() -> None:
    said = json.loads(run("resolve", "[fe80::1]:80", "--type", "udp", "--json").stdout)
    assert [one["address"] for one in said] == ["udp://[fe80::1]:80"]
    parts = {part["name"]: part for part in said[0]["fields"]}
    assert parts["port"] == {
        "name": "port", "bytes": "0050", "meaning": "80", "order": "network order",
    }  # fmt: skip
    assert said[0]["bytes"] == "".join(part["bytes"] for part in said[0]["fields"])


def test_canonical_name() -> None:
    said = run("resolve", "127.0.0.1:80", "--canonical", "--type", "tcp")
    assert said.stdout.startswith("canonical name: 127.0.0.1\ntcp://127.0.0.1:80  ")


@linux
def test_abstract_name() -> None:
    assert (
        "  path     00 66 6f 6f  abstract: a NUL, then foo\n" in run("resolve", "unix:@foo").stdout
    )


def test_fits_a_narrow_terminal() -> None:
    said = subprocess.run(
        [*JACKFIELD, "resolve", "[2001:db8::1234:5678:9abc:def0]:8888"],
        env=os.environ | {"COLUMNS": "60"},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
    )
    assert max(map(len, said.stdout.splitlines())) <= 60


def test_head() -> None:
    command = ["sh", "-c", '"$0" -m jackfield resolve :80 | head -n 1', sys.executable]
    said = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=True)
    assert (said.stdout[:6], said.stderr) == ("tcp://", "")


def test_a_mistake_is_one_line() -> None:
    said = run("resolve", "::1:80")
    assert (said.returncode, said.stdout) == (2, "")
    assert said.stderr == (
        "jackfield: ::1:80: an IPv6 address wants brackets and a port, as in [::1]:80\n"
    )
