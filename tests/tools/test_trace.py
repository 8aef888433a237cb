"""Calls as lines, as JSON and counted."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jackfield.instrument import SocketCall
from jackfield.tools.trace import (
    HEADER,
    NARROW_HEADER,
    CallTrace,
    Report,
    Summary,
    as_json,
    line,
    narrow_line,
    outcome,
    place,
    spent,
)

CALL = SocketCall(
    at=1795275448.407507,
    task=4711,
    call="sendto",
    fd=4,
    protocol="tcp",
    local="127.0.0.1:39590",
    peer="127.0.0.1:38611",
    result=3,
    asked=7,
    size=3,
    seconds=0.000067,
    payload=r"hi\n",
)


def but(**changes: object) -> SocketCall:
    return CALL._replace(**changes)  # type: ignore[arg-type]


def test_a_line() -> None:
    words = line(CALL).split()
    assert words[0].endswith(":28.407507")
    assert words[1:] == [
        *("4711", "sendto", "4", "3/7", "67us", "tcp"),
        *("127.0.0.1:39590->127.0.0.1:38611", r'"hi\n"'),
    ]


def test_columns_stand_below_each_other() -> None:
    for header, make in ((HEADER, line), (NARROW_HEADER, narrow_line)):
        text = make(but(call="setsockopt", fd=123, result=0, asked=-1, payload="", protocol="udp"))
        assert text[header.index("CALL") :].startswith("setsockopt")
        assert text[header.index("FD") - 1 :].startswith("123")
        assert text[header.index("RESULT") :].startswith("0 ")
        assert text[header.index("SOCKET") :].startswith("udp 127" if make is line else "->127")


def test_a_narrow_line_fits() -> None:
    call = but(call="setsockopt", error="ECONNREFUSED", result=-1, peer="255.255.255.255:65535")
    assert len(narrow_line(call._replace(payload=""))) <= 60


@given(at=st.floats(0, 4e9))
def test_any_time(at: float) -> None:
    clock, _, micro = line(but(at=at)).split()[0].partition(".")
    assert (len(clock), len(micro)) == (8, 6)
    assert len(narrow_line(but(at=at)).split()[0]) == 6


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (CALL, "3/7"),
        (but(error="EPIPE", result=-1), "EPIPE"),
        (but(result=-1), "?"),
        (but(call="accept", asked=-1, result=9), "fd 9"),
        (but(call="close", asked=-1, result=0), "0"),
    ],
)
def test_outcome(call: SocketCall, expected: str) -> None:
    assert outcome(call) == expected


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-1.0, ""), (0.0, "0us"), (0.000067, "67us"), (0.0123, "12.3ms"), (75.0, "75s")],
)
def test_spent(seconds: float, text: str) -> None:
    assert spent(seconds) == text


def test_who_is_at_the_other_end() -> None:
    assert place("tcp", "a:1", "") == "tcp a:1"
    assert place("unix", "unix:@x", "inode 3") == "unix:@x->inode 3"
    accepted = but(call="accept", peer="", detail="10.0.0.9:5", payload="")
    assert line(accepted).endswith("tcp 127.0.0.1:39590->10.0.0.9:5")
    assert narrow_line(accepted).endswith("->10.0.0.9:5")
    shut = but(call="shutdown", detail="SHUT_WR", payload="")
    assert line(shut).endswith("->127.0.0.1:38611  SHUT_WR")
    assert narrow_line(but(call="listen", peer="", detail="128", payload="")).endswith(
        " " + CALL.local
    )


def test_json_has_every_field() -> None:
    assert SocketCall(**json.loads(as_json(CALL))) == CALL


def test_summary() -> None:
    summary = Summary()
    for call in (
        CALL,
        CALL,
        but(error="EAGAIN", result=-1, size=0),
        but(call="recv", size=100),
        but(call="recv(MSG_PEEK)", size=0),
        but(fd=9, peer=""),
    ):
        summary.add(call)
    first, second = summary.rows()
    assert (first.calls, first.errors, first.received, first.sent) == (5, 1, 100, 6)
    assert (second.fd, second.calls, second.sent) == (9, 1, 3)
    lines = summary.lines()
    assert lines[1].split() == [
        "4",
        "5",
        "1",
        "100",
        "6",
        "tcp",
        place("", CALL.local, CALL.peer).strip(),
    ]
    assert lines[-1] == "errors: EAGAIN 1"
    assert lines[-2].startswith("calls: sendto 4, recv 1")
    assert max(map(len, summary.lines(wide=False)[:-2])) <= 60
    said = json.loads(summary.as_json())
    assert said["errors"] == {"EAGAIN": 1}
    assert said["descriptors"][0]["received"] == 100


def test_a_summary_is_bounded() -> None:
    summary = Summary(rows=2)
    for fd in range(10):
        summary.add(but(fd=fd))
    rows = summary.rows()
    assert [row.calls for row in rows] == [1, 1, 8]
    assert rows[-1].protocol == "others"
    assert summary.lines()[3].split()[:2] == ["-", "8"]


def test_report() -> None:
    said: list[str] = []
    report = Report(said.append)
    report.end()
    assert said == [], "no calls, no header"
    report.add(CALL)
    report.add(CALL)
    assert said == [HEADER, line(CALL), line(CALL)]


def test_report_in_its_other_forms() -> None:
    said: list[str] = []
    Report(said.append, width=60).add(CALL)
    Report(said.append, json=True).add(CALL)
    assert said == [NARROW_HEADER, narrow_line(CALL), as_json(CALL)]
    said.clear()
    for form in (False, True):
        report = Report(said.append, json=form, summary=True)
        report.add(CALL)
        report.end()
    assert json.loads(said.pop())["calls"] == {"sendto": 1}
    assert said[-1] == "errors: none"


def test_a_reader_that_has_gone() -> None:
    said: list[str] = []

    def say(text: str) -> None:
        said.append(text)
        raise BrokenPipeError

    trace = CallTrace(Report(say, json=True))
    trace.called(CALL)
    trace.called(CALL)
    assert len(said) == 1, "the server goes on, and asks nobody any more"
