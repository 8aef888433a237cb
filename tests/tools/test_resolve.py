"""Names and services to addresses, in the order of getaddrinfo."""

from __future__ import annotations

import ast
import socket
import typing as t
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import jackfield
from jackfield.errors import AddressError
from jackfield.tools.resolve import described, find, split

STREAM, DGRAM, RAW = socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW
INET, INET6 = socket.AF_INET, socket.AF_INET6


class Resolver:
    """Stands in for getaddrinfo: remembers what it was asked, answers what a test wants."""

    def __init__(self, answer: list[tuple[t.Any, ...]]) -> None:
        self.answer = answer
        self.asked: tuple[t.Any, ...] = ()

    def __call__(self, host: object, service: str, *, type: int, flags: int) -> t.Any:
        self.asked = (host, service, type, flags)
        return self.answer


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Resolver:
    answer = [
        (INET6, STREAM, 6, "canon\x1b.example", ("::2", 80, 0, 0)),
        (INET6, RAW, 0, "", ("::2", 80, 0, 0)),
        (INET, DGRAM, 17, "", ("127.0.0.3", 80)),
        (INET, STREAM, 6, "", ("127.0.0.2", 80)),
    ]
    made = Resolver(answer)
    monkeypatch.setattr(socket, "getaddrinfo", made)
    return made


def test_the_order_is_getaddrinfos(resolver: Resolver) -> None:
    found = find("name.example:http")
    assert resolver.asked == (b"name.example", "http", 0, 0)
    assert [str(one.address) for one in found] == [
        "tcp://[::2]:80",
        "udp://127.0.0.3:80",
        "tcp://127.0.0.2:80",
    ]
    assert {one.canonical for one in found} == {"canon\x1b.example"}, "the caller escapes it"


@pytest.mark.parametrize(
    ("text", "options", "asked"),
    [
        ("tcp://a:http", {}, (b"a", "http", STREAM, 0)),
        ("TLS://a:1", {}, (b"a", "1", STREAM, 0)),
        ("udp://a:1?ttl=1", {}, (b"a", "1", DGRAM, 0)),
        ("a:1", {"kind": "udp"}, (b"a", "1", DGRAM, 0)),
        (":1", {"passive": True}, (None, "1", 0, socket.AI_PASSIVE)),
        ("[::1%lo]:1", {"canonical": True}, (b"::1%lo", "1", 0, socket.AI_CANONNAME)),
        ("tcp:1", {}, (b"tcp", "1", 0, 0)),  # no "//": a host of that name
        ("bücher.example:1", {}, ("bücher.example", "1", 0, 0)),
    ],
)
def test_what_is_asked(
    resolver: Resolver, text: str, options: dict[str, t.Any], asked: tuple[t.Any, ...]
) -> None:
    find(text, **options)
    assert resolver.asked == asked


def test_addresses_resolve_without_a_name_server() -> None:
    both = find("127.0.0.1:8888")
    assert [str(one.address) for one in both] == ["tcp://127.0.0.1:8888", "udp://127.0.0.1:8888"]
    assert described(both[1].address) == "AF_INET SOCK_DGRAM"
    assert len(find("tcp://127.0.0.1:8888")) == 1


def test_unix_and_descriptors() -> None:
    assert str(find("unixgram:/x")[0].address) == "unixgram:/x"
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        assert find(f"fd://{sock.fileno()}")[0].address.sockaddr == sock.getsockname()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "the service is missing"),
        ("localhost", "for example localhost:http"),
        ("localhost:", "the service is missing"),
        (":", "the service is missing"),
        ("::1:80", "wants brackets"),
        ("[::1]", "write [IPv6 address]:service"),
        ("[::1:80", "write [IPv6 address]:service"),
        ("127.0.0.1:65536", "outside 0..65535"),
        ("127.0.0.1:٣", "outside 0..65535"),
        ("127.0.0.1:no-such-service", "does not resolve"),
        ("a\x1b:80", "cannot be printed"),
        ("a" * 2000 + ":1", "no name has more"),
        ("x" * 300 + ".y:1", "does not resolve"),
        ("systemd:", "cannot be dialled"),
        ("http://localhost:80", "unknown scheme"),
    ],
)
def test_mistakes(text: str, words: str) -> None:
    with pytest.raises(AddressError) as caught:
        find(text)
    assert words in str(caught.value)
    assert str(caught.value).isprintable()


@given(st.text(st.sampled_from("a:[]%0٣.")))
def test_any_text_is_split_or_refused(text: str) -> None:
    try:
        host, service = split(text, text)
    except AddressError:
        pass
    else:
        assert service
        assert text in (f"{host}:{service}", f"[{host}]:{service}")


RESOLVING = {"getaddrinfo", "gethostbyname", "gethostbyname_ex", "gethostbyaddr", "getfqdn"}


def test_names_are_resolved_in_one_place() -> None:
    package = Path(jackfield.__file__).parent
    places = {
        str(path.relative_to(package))
        for path in package.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr in RESOLVING
    }
    assert places == {"address.py"}
