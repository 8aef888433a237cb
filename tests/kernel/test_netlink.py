"""Netlink's framing: built by hand, cut anywhere, fed with anything."""

from __future__ import annotations

import errno
import socket
import struct
import sys
import typing as t
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jackfield.errors import SystemRefused
from jackfield.kernel import netlink
from jackfield.kernel.netlink import DONE, DUMP_INTERRUPTED, ERROR, SOCK_DIAG_BY_FAMILY

linux = pytest.mark.skipif(sys.platform != "linux", reason="netlink is Linux's")


def message(body: bytes, kind: int = SOCK_DIAG_BY_FAMILY, flags: int = 2) -> bytes:
    padded = body + bytes(-len(body) % 4)
    return struct.pack("=IHHII", 16 + len(body), kind, flags, 1, 0) + padded


def attribute(kind: int, data: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(data), kind) + data + bytes(-len(data) % 4)


def code(number: int) -> bytes:
    return struct.pack("=i", number)


def body(data: bytes, start: int, end: int) -> bytes:
    return data[start:end]


def test_split_takes_each_message_and_stops_at_done() -> None:
    found: list[bytes] = []
    assert not netlink.split(message(b"one") + message(b"three"), body, found)
    assert netlink.split(message(code(0), DONE) + message(b"late"), body, found)
    assert found == [b"one", b"three"]


def test_other_messages_are_passed_over() -> None:
    found: list[bytes] = []
    assert not netlink.split(message(b"noop", 1) + message(b"x"), body, found)
    assert found == [b"x"]


@pytest.mark.parametrize("kind", [DONE, ERROR])
def test_a_refusal_is_an_error_with_its_errno(kind: int) -> None:
    with pytest.raises(SystemRefused, match="No such file or directory") as caught:
        netlink.split(message(code(-errno.ENOENT) + bytes(16), kind), body, [])
    assert caught.value.errno == errno.ENOENT


def test_an_unknown_errno_is_named_by_its_number() -> None:
    with pytest.raises(SystemRefused, match="error 9999"):
        netlink.split(message(code(-9999), ERROR), body, [])


def test_interrupted_and_overrun() -> None:
    with pytest.raises(netlink.Interrupted):
        netlink.split(message(b"x", flags=DUMP_INTERRUPTED), body, [])
    with pytest.raises(SystemRefused, match="lost messages"):
        netlink.split(message(b"", netlink.OVERRUN), body, [])


def test_every_truncation_is_refused_or_a_whole_number_of_messages() -> None:
    whole = message(b"one") + message(b"twotwo") + message(code(0), DONE)
    for size in range(len(whole)):
        found: list[bytes] = []
        try:
            netlink.split(whole[:size], body, found)
        except SystemRefused:
            pass
        assert found == [b"one", b"twotwo"][: len(found)]


@given(st.binary(max_size=400))
def test_anything_is_taken_or_refused(data: bytes) -> None:
    for feed in (data, message(data), message(data) + data):
        for split in (netlink.split, netlink._split_anyway):
            try:
                split(feed, body, [])
            except (SystemRefused, netlink.Interrupted):
                pass


@given(st.lists(st.tuples(st.integers(0, 0x3FFF), st.binary(max_size=9)), unique_by=lambda p: p[0]))
def test_attributes_come_back(pairs: list[tuple[int, bytes]]) -> None:
    data = b"".join(attribute(kind, value) for kind, value in pairs)
    found = netlink.attributes(b"head" + data, 4, 4 + len(data))
    assert {kind: (b"head" + data)[a:b] for kind, (a, b) in found.items()} == dict(pairs)


@given(st.binary(max_size=64))
def test_attributes_of_anything_lie_inside(data: bytes) -> None:
    try:
        found = netlink.attributes(data, 0, len(data))
    except SystemRefused:
        return
    assert all(0 <= first <= last <= len(data) for first, last in found.values())


class Answers:
    """Stands for the netlink socket: each request takes the next answer."""

    def __init__(self, answers: list[list[bytes]]) -> None:
        self.answers = answers
        self.asked = 0

    def __enter__(self) -> Answers:
        return self

    def __exit__(self, *exc: object) -> None:
        return None

    def send(self, data: bytes) -> None:
        self.parts = list(self.answers[min(self.asked, len(self.answers) - 1)])
        self.asked += 1

    def recv(self, size: int) -> bytes:
        return self.parts.pop(0)


Answering = Callable[..., Answers]


@pytest.fixture
def answering(monkeypatch: pytest.MonkeyPatch) -> Answering:
    def put(*answers: list[bytes]) -> Answers:
        stand_in = Answers(list(answers))
        monkeypatch.setattr(netlink, "_open", lambda: stand_in)
        return stand_in

    return put


END: t.Final = message(code(0), DONE)


def test_an_interrupted_dump_is_asked_for_again(answering: Answering) -> None:
    torn = [message(b"old"), message(b"torn", flags=DUMP_INTERRUPTED | 2) + END]
    stand_in = answering(torn, torn, [message(b"new"), END])
    assert netlink.dump(b"", body) == [b"new"]
    assert stand_in.asked == 3


def test_a_dump_that_is_never_whole_is_taken_as_it_is(answering: Answering) -> None:
    torn = [message(b"a"), message(b"torn", flags=DUMP_INTERRUPTED | 2) + END]
    stand_in = answering(torn)
    assert netlink.dump(b"", body) == [b"a", b"torn"]
    assert stand_in.asked == netlink.TRIES


def test_one_socket_is_one_message_and_no_end(answering: Answering) -> None:
    answering([message(b"it")])
    assert netlink.one(b"", body) == b"it"
    answering([message(code(-errno.ENOENT), ERROR)])
    with pytest.raises(SystemRefused) as caught:
        netlink.one(b"", body)
    assert caught.value.errno == errno.ENOENT
    for answer in (b"", END, message(b"a") + message(b"b")):
        answering([answer])
        with pytest.raises(SystemRefused, match="where one was asked for"):
            netlink.one(b"", body)


def test_no_socket_no_listing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> t.NoReturn:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(socket, "socket", refuse)
    with pytest.raises(SystemRefused, match="cannot ask the kernel") as caught:
        netlink.dump(b"", body)
    assert caught.value.errno in (errno.EPERM, errno.EAFNOSUPPORT)


@linux
def test_the_kernel_has_no_such_family() -> None:
    with pytest.raises(SystemRefused) as caught:
        netlink.dump(bytes([250]) + bytes(55), body)
    assert caught.value.errno in (errno.ENOENT, errno.EINVAL)
