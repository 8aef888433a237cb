"""Which sockets a filter takes, and what it answers to a wrong word."""

from __future__ import annotations

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jackfield.errors import UsageError
from jackfield.kernel.inet_diag import InetSocket
from jackfield.kernel.unix_diag import UnixSocket
from jackfield.tools.socket_filter import STATES, Filter

ESTABLISHED, CLOSED, LISTEN = 1, 7, 10


def inet(peer: str = "10.1.2.3", state: int = ESTABLISHED, protocol: str = "tcp") -> InetSocket:
    family = socket.AF_INET6 if ":" in peer else socket.AF_INET
    dst = socket.inet_pton(family, peer)
    number = 10 if ":" in peer else 2
    dport = 63062 if state == ESTABLISHED else 0
    head = (protocol, number, state, 0, 0, 8888, dport, bytes(len(dst)), dst)
    return InetSocket(*head, 0, 0, 0, 0, 0, 0, 41, b"", b"", b"", b"", b"")


UNIX = UnixSocket(1, LISTEN, 42, b"/run/x", 0, 0, 128, 0, 0, ())


def test_nothing_asked_takes_everything() -> None:
    assert not Filter.of()
    assert Filter.of().matches(inet())
    assert Filter.of().matches(UNIX)


@pytest.mark.parametrize(
    "word",
    ["established", "ESTAB", "Established", "connected", "close_wait", "fin_wait1", "unconn"],
)
def test_states_by_all_their_names(word: str) -> None:
    (state,) = Filter.of([word]).states
    assert state in STATES


def test_state() -> None:
    wanted = Filter.of(["established", "listen"])
    assert wanted.matches(inet())
    assert wanted.matches(UNIX)
    assert not wanted.matches(inet(state=CLOSED))


@pytest.mark.parametrize(
    ("network", "peer", "taken"),
    [
        ("10.0.0.0/8", "10.1.2.3", True),
        ("10.1.2.3", "10.1.2.3", True),
        ("10.1.2.99/24", "10.1.2.3", True),
        ("11.0.0.0/8", "10.1.2.3", False),
        ("10.0.0.0/8", "::ffff:10.1.2.3", True),  # an IPv4 client of an IPv6 socket
        ("::ffff:0:0/96", "::ffff:10.1.2.3", True),
        ("2001:db8::/32", "2001:db8::1", True),
        ("[2001:db8::1]", "2001:db8::1", True),
        ("2001:db8::/32", "10.1.2.3", False),
    ],
)
def test_peer(network: str, peer: str, taken: bool) -> None:
    assert Filter.of(peers=[network]).matches(inet(peer)) is taken


def test_a_listener_has_no_peer() -> None:
    everywhere = Filter.of(peers=["0.0.0.0/0", "::/0"])
    assert everywhere.matches(inet())
    assert not everywhere.matches(inet("0.0.0.0", LISTEN))
    assert not everywhere.matches(UNIX)


def test_listening() -> None:
    wanted = Filter.of(listening=True)
    assert wanted.matches(inet(state=LISTEN))
    assert wanted.matches(UNIX)
    assert wanted.matches(inet(state=CLOSED, protocol="udp"))
    assert not wanted.matches(inet())
    assert not wanted.matches(inet(state=CLOSED))


def test_port() -> None:
    assert Filter.of(port=8888).matches(inet())
    assert Filter.of(port=63062).matches(inet())
    assert not Filter.of(port=1).matches(inet())
    assert not Filter.of(port=8888).matches(UNIX)


def test_wrong_words() -> None:
    with pytest.raises(UsageError, match=r"unknown state 'open'; known: established .*listen"):
        Filter.of(["open"])
    with pytest.raises(UsageError, match=r"peer '10\.0\.0\.300' is no address or network"):
        Filter.of(peers=["10.0.0.300"])


@given(st.text(max_size=30))
def test_any_word_is_taken_or_refused(word: str) -> None:
    for option in ("states", "peers"):
        words: dict[str, list[str]] = {option: [word]}
        try:
            Filter.of(states=words.get("states", ()), peers=words.get("peers", ())).matches(inet())
        except UsageError:
            pass
