"""Fan-out on servers that are read line by line: IRC, NATS, ncat. Exactly what arrived counts."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
import typing as t
from collections.abc import Callable, Iterator

import pytest

from jackfield.bench import load
from jackfield.bench.servers import Contender, find_peers, running
from jackfield.errors import SystemRefused

SIZE: t.Final = 52
TEXT: t.Final = b"x" * (SIZE - len("<m0000> \r\n"))
MakeContender: t.TypeAlias = Callable[..., Contender]

IRC = """
if data.startswith(b"NICK"):
    self.transport.write(b":host 001 nick :Welcome\\r\\n")
    return
for line in data.splitlines():
    self.messages += 1
    second = self.messages == 2
    message = b":nick!user@host " + line + b"\\r\\n"
    for member in members:
        if member is not self.transport:
            {deliver}
"""

HELLOS: t.Final = {
    "nats": b'CONNECT {"verbose":false}\r\nSUB room 1\r\nPING\r\n',
    "ngircd": b"NICK onlooker\r\nUSER u 0 * :u\r\nJOIN #room\r\n",
    "ncat": b"",
}
"""How to become a member of the room, by this test's own means."""


class Onlooker:
    """A further member, which reads all the time and says nothing."""

    def __init__(self, address: tuple[str, int], hello: bytes) -> None:
        self._socket = socket.create_connection(address, timeout=30)
        self._socket.sendall(hello)
        self._seen = self._socket.recv(65536)
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        # What arrives after close() has shut it down is answered with a reset.
        with contextlib.suppress(ConnectionResetError):
            while data := self._socket.recv(65536):
                self._seen += data

    def count(self, expected: int) -> int:
        """How many texts were seen; those that are on their way have ten seconds to arrive."""
        deadline = time.monotonic() + 10
        while self._seen.count(TEXT) < expected and time.monotonic() < deadline:
            time.sleep(0.01)
        return self._seen.count(TEXT)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()


@contextlib.contextmanager
def onlooking(target: load.Target, hello: bytes) -> Iterator[Onlooker]:
    member = Onlooker((target.host, target.port), hello)
    try:
        yield member
    finally:
        member.close()


def fanout(target: load.Target, adapter: str, **changed: t.Any) -> load.Measured:
    how = {"members": 5, "senders": 3, "in_flight": 6, "seconds": 0.1, "warmup": 0.05, **changed}
    return load.fanout(target, adapter=adapter, size=SIZE, **how)


@pytest.mark.parametrize(("members", "senders"), [(5, 3), (2, 1), (3, 3)])
@pytest.mark.parametrize("name", list(HELLOS))
def test_an_onlooker_sees_as_many_messages_as_were_sent(
    name: str, members: int, senders: int
) -> None:
    present, absent = find_peers("fanout", [name])
    if absent:
        pytest.skip(f"{absent[0].name}: {absent[0].reason}")
    (peer,) = present
    with running(peer) as server, onlooking(server.target, HELLOS[name]) as onlooker:
        measured = fanout(
            server.target, peer.speaks, members=members, senders=senders, in_flight=2 * senders
        )
        # The load sends one message before the run, to learn what a delivery is.
        expected = measured["sent"] + 1
        assert onlooker.count(expected) == expected
    assert 0 < measured["operations"] <= measured["sent"] * members


def test_ncat_names_the_sender_once_for_what_came_at_once() -> None:
    present, absent = find_peers("fanout", ["ncat"])
    if absent:
        pytest.skip(f"ncat: {absent[0].reason}")
    with running(present[0]) as server:
        measured = fanout(server.target, "ncat")
    named = len("<user4> ") + len(TEXT) + 1
    assert len(TEXT) < measured["wire_bytes"] <= named


def test_an_irc_server_that_delivers_is_counted(make_contender: MakeContender) -> None:
    body = IRC.format(deliver="member.write(message)")
    with running(make_contender(body, speaks="irc")) as server:
        measured = fanout(server.target, "irc")
    assert 0 < measured["operations"] <= measured["sent"] * 4
    assert measured["wire_bytes"] == len(":nick!user@host PRIVMSG #room :\r\n") + len(TEXT)


def test_lines_that_arrive_in_pieces_are_put_together(make_contender: MakeContender) -> None:
    deliver = "[member.write(message[i:i + 1]) for i in range(len(message))]"
    with running(make_contender(IRC.format(deliver=deliver), speaks="irc")) as server:
        assert fanout(server.target, "irc")["operations"] > 0


def test_a_ping_is_answered(make_contender: MakeContender) -> None:
    # The message after which the server asks is delivered to nobody until the answer is there.
    body = """
    if data.startswith(b"NICK"):
        self.transport.write(b":host 001 nick :Welcome\\r\\n")
        return
    for line in data.splitlines():
        self.messages += 1
        if self.messages == 4:
            self.transport.write(b"PING :token\\r\\n")
            self.held = b""
        if line == b"PONG :token":
            message, self.held = self.held, None
        else:
            message = b":nick!user@host " + line + b"\\r\\n"
        if getattr(self, "held", None) is not None:
            self.held += message
            continue
        for member in members:
            if member is not self.transport:
                member.write(message)
    """
    with running(make_contender(body, speaks="irc")) as server:
        measured = fanout(server.target, "irc", senders=2, in_flight=2)
    assert measured["sent"] > 8


@pytest.mark.parametrize(
    ("deliver", "message"),
    [
        ("second or member.write(message)", r"member \d received \d+ messages, \d+ were due"),
        ("member.write(message * (1 + second))", r"member \d received \d+ messages, \d+ were due"),
        ("member.write(message.replace(b'xx', b'x', second))", "no whole message of this run"),
        ("member.write(message.replace(b'x', b'y', second))", "no whole message of this run"),
        ("member.write(message + b':host NOTICE x\\r\\n' * second)", "no whole message"),
        ("members[1].write(message)", "one message was sent: member 2 received"),
    ],
    ids=["lost", "twice", "cut", "changed", "notice", "to one"],
)
def test_what_is_not_as_it_should_be_is_noticed(
    make_contender: MakeContender, deliver: str, message: str
) -> None:
    body = IRC.format(deliver=deliver)
    with (
        running(make_contender(body, speaks="irc")) as server,
        pytest.raises(SystemRefused, match=message),
    ):
        fanout(server.target, "irc", in_flight=3)


def test_a_lone_member_hears_nothing_of_itself(make_contender: MakeContender) -> None:
    with (
        running(make_contender(IRC.format(deliver="pass"), speaks="irc")) as server,
        pytest.raises(SystemRefused, match="at least two members are needed"),
    ):
        fanout(server.target, "irc", members=1, senders=1, in_flight=1)
