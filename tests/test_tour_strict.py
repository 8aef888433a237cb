"""The test of docs/tour.md is strict: what must not differ may not, and no block is passed over."""

from __future__ import annotations

import re
import typing as t

import pytest
from tests.tour_compare import Names
from tests.tour_page import Step, chapters

FDS: t.Final = """\
FD  TYPE  PROTO  RECV-Q  SEND-Q  EPOLL  CWND  RTT ms  NAME
jackfield (pid 11111)
3u  IPv4  tcp         0     128  4:IN                 127.0.0.1:8882 (LISTEN 0/128)
7u  IPv4  tcp         0       0  4:IN     11    0.01  127.0.0.1:8882->127.0.0.1:47002 (ESTABLISHED)
nc (pid 11122)
3u  IPv4  tcp         0       0           11    0.02  127.0.0.1:47002->127.0.0.1:8882 (ESTABLISHED)
"""
SOCKETS: t.Final = """\
PROTO  STATE        RECV-Q  SEND-Q  PROCESS           CWND  RTT ms  LOCAL->PEER
tcp    LISTEN            1     128  jackfield[11111]                127.0.0.1:8884
tcp    ESTABLISHED      15       0                      10    0.01  127.0.0.1:8884->127.0.0.1:58152
tcp    TIME-WAIT         0       0                                  127.0.0.1:58142->127.0.0.1:8884
"""
TRACE: t.Final = """\
TIME               PID CALL         FD  RESULT           SPENT  SOCKET
16:43:27.984405  11111 send          7  7030/7030       24.1us  tcp 127.0.0.1:8885->127.0.0.1:58732
...
16:43:27.984676  11111 send          7  5394/7030       3.88us  tcp 127.0.0.1:8885->127.0.0.1:58732
"""
WIRE: t.Final = """\
#1    2.026635   +2.03s ESTABLISHED  ── PSH,ACK seq=1 ack=1 len=6 win=65536 ──────────► ESTABLISHED
#1   10.128087   +4.04s TIME-WAIT    ◄─ FIN,ACK seq=1 ack=8 win=65536 ───────────────── LAST-ACK
"""


def replaced(text: str, *changes: tuple[str, str]) -> list[str]:
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return text.splitlines()


def reordered(text: str, *order: int) -> list[str]:
    return [text.splitlines()[number] for number in order]


@pytest.mark.parametrize(
    ("shown", "real"),
    [
        (FDS, replaced(FDS, ("11111", "12"), ("11122", "4194300"))),
        (FDS, replaced(FDS, ("47002", "61001"), ("  11 ", "  10 "), ("0.01", "9.57"))),
        (SOCKETS, replaced(SOCKETS, ("8884", "1234"), ("58142", "4000"))),
        (SOCKETS, reordered(SOCKETS, 0, 1, 3, 2)),
        (TRACE, reordered(TRACE, 0, 1, 1, 1, 3)),
        (TRACE, replaced(TRACE, ("...\n", ""), ("16:43", "23:59"), ("3.88us", "1.2ms"))),
        (TRACE, replaced(TRACE, ("...\n", ""), ("5394", "120"))),
        (WIRE, replaced(WIRE, ("─" * 10, "─" * 8), ("65536", "64256"), ("2.026635", "0.100000"))),
    ],
)
def test_what_may_differ(shown: str, real: list[str]) -> None:
    assert Names().same(shown.splitlines(), real)


@pytest.mark.parametrize(
    ("shown", "real"),
    [
        (FDS, replaced(FDS, ("ESTABLISHED", "CLOSE-WAIT"))),
        (FDS, replaced(FDS, ("RTT ms", "RTT us"))),
        (FDS, replaced(FDS, ("4:IN     11", "         11"))),
        (FDS, replaced(FDS, ("4:IN     11", "4:IN,OUT 11"))),
        (FDS, replaced(FDS, ("7u ", "8u "))),
        (FDS, replaced(FDS, ("0/128", "1/128"))),
        (FDS, replaced(FDS, ("nc (pid 11122)", "nc (pid 11111)"))),
        (FDS, replaced(FDS, ("127.0.0.1:47002->", "127.0.0.1:47003->"))),
        (FDS, reordered(FDS, 0, 1, 3, 2, 4, 5)),
        (FDS, reordered(FDS, 0, 1, 2, 3, 4)),
        (FDS, [*FDS.splitlines(), ""]),
        (SOCKETS, replaced(SOCKETS, ("15       0", "0       15"))),
        (SOCKETS, replaced(SOCKETS, ("15       0", " 6       0"))),
        (SOCKETS, replaced(SOCKETS, ("LISTEN            1", "LISTEN             "))),
        (SOCKETS, replaced(SOCKETS, ("0             " + " " * 20, "0  nc[11133]  " + " " * 20))),
        (SOCKETS, reordered(SOCKETS, 0, 1, 2, 2)),
        (TRACE, replaced(TRACE, ("5394", "7030"))),
        (TRACE, replaced(TRACE, ("5394/7030", "EAGAIN"))),
        (TRACE, replaced(TRACE, ("send  ", "write "))),
        (TRACE, [*TRACE.splitlines(), TRACE.splitlines()[1]]),
        (WIRE, replaced(WIRE, ("LAST-ACK", "CLOSED"))),
        (WIRE, replaced(WIRE, ("seq=1 ack=8", "seq=1 ack=7"))),
        (WIRE, replaced(WIRE, ("PSH,ACK", "ACK"))),
        (WIRE, replaced(WIRE, ("► ESTABLISHED", "◄ ESTABLISHED"))),
    ],
)
def test_what_may_not(shown: str, real: list[str]) -> None:
    assert Names().same(shown.splitlines(), shown.splitlines())
    assert not Names().same(shown.splitlines(), real)


def test_a_name_stays_the_same_from_block_to_block() -> None:
    names = Names({"8881": "1234"})
    assert names.same(["jackfield (pid 11111)"], ["jackfield (pid 42)"])
    assert names.real("jackfield fds 11111 --port 8881 --ceiling 11") == (
        "jackfield fds 42 --port 1234 --ceiling 11"
    )
    assert not names.same(["jackfield (pid 11111)"], ["jackfield (pid 43)"])
    assert not names.same(["jackfield (pid 11112)"], ["jackfield (pid 42)"]), "that is 11111"
    assert not names.same(["127.0.0.1:8881"], ["127.0.0.1:8881"]), "that is 1234"


@pytest.mark.parametrize(
    ("page", "why"),
    [
        ("## 1. A\n```text\n$ true\n```\n", "line 2: a block of text"),
        ("## 1. A\n```\n$ true\n```\n", "line 2: a block of nothing"),
        ("```console\n$ true\n```\n## 1. A\n", "nobody would execute"),
        ("## 1. A\n```console\n$ true\n```\n~~~console\n$ true\n~~~\n", "nobody would"),
        ("## 1. A\n```console\n$ true\n```\n  ```console\n  $ true\n  ```\n", "nobody would"),
        ("## 1. A\n```console\nhello\n```\n", "line 3: a block that begins with output"),
        ("## 1. A\n```console\n$ nc a 8881\n$ nc a 8882\n```\n", "more ports than one"),
        ("## 1. A\nwords\n", "nothing to execute"),
    ],
)
def test_a_page_that_could_not_be_executed(page: str, why: str) -> None:
    with pytest.raises(ValueError, match=re.escape(why)):
        chapters(page)


def test_steps() -> None:
    page = (
        "## 1. A\n```console\nbob$ cat\nbob> hi\nhi\n(alice)\n...\n```\n"
        "## 2. B\n```console\n$ python3\neve>>> 1\n1\n```\n"
    )
    assert [chapter.steps for chapter in chapters(page)] == [
        (
            Step(3, "bob", "$", "cat", ()),
            Step(4, "bob", ">", "hi", ("hi",)),
            Step(6, "alice", "", "", ("...",)),
        ),
        (Step(11, "you", "$", "python3", ()), Step(12, "eve", ">>>", "1", ("1",))),
    ]
