"""Endpoints as text, and what they resolve to."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from jackfield import endpoint as endpoint_module
from jackfield.address import AF_UNIX, Address, Endpoint, format_sockaddr, printable, resolve
from jackfield.errors import AddressError

linux = pytest.mark.skipif(sys.platform != "linux", reason="abstract names are Linux's")


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


ipv6 = pytest.mark.skipif(not has_ipv6(), reason="no IPv6 loopback")

GOOD = {
    "tcp://127.0.0.1:8888": Endpoint("tcp", host="127.0.0.1", port=8888),
    "tcp://[::1]:8888": Endpoint("tcp", host="::1", port=8888),
    "tcp://[fe80::1%eth0]:8888": Endpoint("tcp", host="fe80::1%eth0", port=8888),
    "tcp://[::ffff:127.0.0.1]:1": Endpoint("tcp", host="::ffff:127.0.0.1", port=1),
    "tcp://:8888": Endpoint("tcp", port=8888),
    "tcp://:0": Endpoint("tcp"),
    "tcp://some-host.example:65535": Endpoint("tcp", host="some-host.example", port=65535),
    "udp://localhost:7": Endpoint("udp", host="localhost", port=7),
    "unix:/run/chat.sock": Endpoint("unix", path="/run/chat.sock"),
    "unix:chat.sock": Endpoint("unix", path="chat.sock"),
    "unix:./a b:c": Endpoint("unix", path="./a b:c"),
    "unix:@chat": Endpoint("unix", path="@chat"),
    "fd://3": Endpoint("fd", fd=3),
    "unixgram:/run/log.sock": Endpoint("unixgram", path="/run/log.sock"),
    "unixgram:@log": Endpoint("unixgram", path="@log"),
    "udp://239.1.2.3:5000?interface=lo&ttl=1": Endpoint(
        "udp", host="239.1.2.3", port=5000, options=(("interface", "lo"), ("ttl", "1"))
    ),
    "unix:/x?uid=0,1000&mode=0660": Endpoint(
        "unix", path="/x", options=(("uid", "0,1000"), ("mode", "0660"))
    ),
}


@pytest.mark.parametrize("text", GOOD)
def test_parse_and_back(text: str) -> None:
    assert Endpoint.parse(text) == GOOD[text]
    assert str(GOOD[text]) == text


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("TCP://localhost:80", "tcp://localhost:80"),
        ("Unix:@X", "unix:@X"),
        ("tcp://h:0080", "tcp://h:80"),
        ("unix:///run/x", "unix:/run/x"),
        ("fd://003", "fd://3"),
        ("UnixGram:///run/x", "unixgram:/run/x"),
        ("udp://h:007?broadcast=1", "udp://h:7?broadcast=1"),
    ],
)
def test_spellings_become_one(text: str, normal: str) -> None:
    assert str(Endpoint.parse(text)) == normal


BAD = {
    "tcp://127.0.0.1:70000": "tcp://127.0.0.1:70000: port 70000 is outside 0..65535",
    "tcp://::1:8888": "tcp://::1:8888: an IPv6 address wants brackets: tcp://[::1]:8888",
    "tcp://fe80::1%eth0:8888": "wants brackets: tcp://[fe80::1%eth0]:8888",
    "udp://::1": "udp://::1: an IPv6 address wants brackets and a port: udp://[::1]:8888",
    "ftp://x": "ftp://x: unknown scheme 'ftp'; known: tcp udp unix unixgram",
    "wss://a:1": "unknown scheme 'wss'",
    "": "an empty text is no endpoint",
    "tcp": "the scheme is missing",
    "8888": "the scheme is missing",
    ":8888": "write tcp://:8888",
    "localhost:8888": "write tcp://localhost:8888",
    "[::1]:8888": "write tcp://[::1]:8888",
    "/run/x": "write unix:/run/x",
    "tcp:": "'//' is missing",
    "tcp:/a:1": "write tcp://a:1",
    "tcp://": "the port is missing",
    "tcp://host": "the port is missing; for example tcp://host:8888",
    "tcp://host:": "the port is missing; for example tcp://host:8888",
    "tcp://[::1]": "the port is missing; for example tcp://[::1]:8888",
    "tcp://[::1]8888": "the port is missing",
    "tcp://[::1:8888": "the closing bracket is missing",
    "tcp://[localhost]:1": "'localhost' in brackets is no IPv6 address",
    "tcp://[::1%]:1": "no IPv6 address",
    "tcp://a:b:1": "too many ':'",
    "tcp://host:http": "port 'http' is no number",
    "tcp://host:-1": "port '-1' is no number",
    "tcp://host:\u0661": "is no number",
    "tcp://host:80/": "port '80/' is no number",
    "tcp://*:80": "every address is written with no host: tcp://:80",
    "tcp://user@host:80": "'@' cannot stand in a host name",
    "tcp://host:1?tls=no": "no options are known, so not '?tls=no'",
    "fd://3?mode=0600": "unknown option 'mode'; known: tls",
    "systemd:web?tls=yes": "option 'tls=yes': tls wants 0 or 1",
    "unix:/x?mode=1": "option 'mode=1': mode wants a mode in octal, such as 0660",
    "unix:/x?": "unix:/x?: unknown option ''; known: mode uid",
    "unixgram:/x?uid=0": "unknown option 'uid'; known: mode",
    "unixgram://x": "write unixgram:/path",
    "udp://239.1.2.3:5?ttl": "option 'ttl': ttl wants a number from 0 to 255",
    "udp://239.1.2.3:5?ttl=1&ttl=2": "option 'ttl' is given twice",
    "udp://239.1.2.3:5?TTL=1": "unknown option 'TTL'; known: interface ttl loop source broadcast",
    "udp://239.1.2.3:5?x=" + "y" * 900: "unknown option 'x'",
    "udp://239.1.2.3:5?ttl=" + "9" * 900: "9...': ttl wants",
    "unix:": "the path is missing",
    "unix:@": "the path is missing",
    "unix://x": "write unix:/path",
    "unix:/" + "a" * 200: "the path has 201 bytes",
    "fd:3": "'//' is missing; write fd://3",
    "fd://x": "'x' is no descriptor number",
    "fd://-1": "'-1' is no descriptor number",
    "fd://" + "9" * 20: "is no descriptor number",
    "tcp://a\0b:1": r"tcp://a\x00b:1: character 8 is '\x00'",
    "unix:/a\x1b[2J": r"character 8 is '\x1b'",
    "tcp://a\n:1": r"character 8 is '\n'",
    "unix:/\u202e": r"character 7 is '\u202e'",
    "x" * 5000: "5000 characters; no endpoint has more than 1024",
}


@pytest.mark.parametrize("text", BAD)
def test_bad_text_says_where_and_why(text: str) -> None:
    with pytest.raises(AddressError) as caught:
        Endpoint.parse(text)
    assert BAD[text] in str(caught.value)


@given(
    st.one_of(
        st.text(max_size=60),
        st.builds(
            "{}{}".format,
            st.sampled_from(["tcp://", "udp://[", "unix:", "unix:/", "fd://", "TCP:"]),
            st.text(alphabet="a:/[]%@?.1é \0", max_size=30),
        ),
        st.builds(
            "{}?{}".format,
            st.sampled_from(["udp://239.1.2.3:5", "unix:/x", "unixgram:@x", "tcp://:1"]),
            st.lists(
                st.builds(
                    "{}={}".format,
                    st.sampled_from(["ttl", "interface", "source", "loop", "mode", "uid", "x", ""]),
                    st.sampled_from(["1", "0", "0660", "0,1", "::1", "lo", "?", "", "=1", "\0"]),
                ),
                max_size=4,
            ).map("&".join),
        ),
        st.text(min_size=1000, max_size=3000),
    )
)
@example("unix:////a")
@example("tcp://[::1%a:b]:1")
def test_any_text_is_an_endpoint_that_round_trips_or_one_clean_line(text: str) -> None:
    error = ""
    try:
        endpoint = Endpoint.parse(text)
    except AddressError as exc:
        error = str(exc)
    else:
        assert Endpoint.parse(str(endpoint)) == endpoint
    assert error.isprintable()
    assert len(error) < 600


def test_longest_unix_paths() -> None:
    longest = "/" + "a" * (endpoint_module.SUN_PATH - 2)
    assert Endpoint.parse("unix:" + longest).path == longest
    with pytest.raises(AddressError):
        Endpoint.parse("unix:" + longest + "a")
    with pytest.raises(AddressError, match="bytes"):  # bytes count, not characters
        Endpoint.parse("unix:/" + "é" * 60)


@linux
def test_the_longest_paths_are_what_the_kernel_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for text in ("unix:" + "a" * 107, "unix:@" + "a" * 107):
        (address,) = resolve(Endpoint.parse(text))
        with socket.socket(address.family, address.type) as sock:
            sock.bind(address.sockaddr)
            assert str(Address.of(sock)) == text


def test_printable() -> None:
    assert printable("plain é text") == "plain é text"
    assert printable("a\x1b[2J\nb\0") == r"a\x1b[2J\nb\x00"
    assert printable(b"\xff ok") == r"\udcff ok"
    assert printable("x" * 100, 10) == "xxxxxxx..."
    assert printable(b"x" * 10, 10) == "x" * 10
    assert len(printable("\0" * 10_000, 50)) == 50


@given(st.one_of(st.text(), st.binary()), st.integers(min_value=3, max_value=40))
def test_printable_is_bounded_and_prints(text: str | bytes, limit: int) -> None:
    shown = printable(text, limit)
    assert shown.isprintable()
    assert len(shown) <= limit


def test_format_sockaddr_of_whom_a_proxy_speaks_for() -> None:
    """The socket's family is the proxy's."""
    assert format_sockaddr(socket.AF_INET, ("2001:db8::1", 1, 0, 0)) == "[2001:db8::1]:1"
    assert format_sockaddr(socket.AF_INET6, ("192.0.2.1", 1)) == "192.0.2.1:1"
    assert format_sockaddr(AF_UNIX, ("192.0.2.1", 1)) == "192.0.2.1:1"
    assert format_sockaddr(socket.AF_INET, b"\0name") == "unix:@name"


def test_format_sockaddr() -> None:
    assert format_sockaddr(socket.AF_INET, ("127.0.0.1", 63062)) == "127.0.0.1:63062"
    assert format_sockaddr(socket.AF_INET6, ("::1", 63062, 0, 0)) == "[::1]:63062"
    assert format_sockaddr(socket.AF_INET6, ("fe80::1", 1, 0, 4)) == "[fe80::1%4]:1"
    assert format_sockaddr(socket.AF_INET6, ("fe80::1%lo", 1, 0, 4)) == "[fe80::1%lo]:1"
    assert format_sockaddr(AF_UNIX, "") == "unix"
    assert format_sockaddr(AF_UNIX, b"") == "unix"
    assert format_sockaddr(AF_UNIX, "/p") == "unix:/p"
    assert format_sockaddr(AF_UNIX, b"\0name") == "unix:@name"
    assert format_sockaddr(AF_UNIX, "/a\n\x1b[31m") == r"unix:/a\n\x1b[31m"
    assert format_sockaddr(AF_UNIX, b"\0\xff\0") == r"unix:@\udcff\x00"
    assert format_sockaddr(99, ("x\n",)).isprintable()


def texts(endpoint: str, *, passive: bool = False) -> list[str]:
    return [str(address) for address in resolve(Endpoint.parse(endpoint), passive=passive)]


@pytest.mark.parametrize(
    "text", ["tcp://127.0.0.1:8888", "udp://127.0.0.1:7", "unix:/p", "unix:p", "unixgram:/p"]
)
@pytest.mark.parametrize("passive", [False, True])
def test_a_literal_resolves_to_itself(text: str, passive: bool) -> None:
    assert texts(text, passive=passive) == [text]


@ipv6
def test_ipv6_literals_and_every_address() -> None:
    assert texts("tcp://[::1]:8888") == ["tcp://[::1]:8888"]
    assert texts("tcp://:5", passive=True) == ["tcp://0.0.0.0:5", "tcp://[::]:5"]
    assert texts("tcp://:5") == ["tcp://127.0.0.1:5", "tcp://[::1]:5"]
    assert resolve(Endpoint.parse("udp://:5"))[1].type == socket.SOCK_DGRAM


def test_a_family_the_system_lacks_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    real = socket.socket

    def without_ipv6(family: int, kind: int) -> socket.socket:
        if family == socket.AF_INET6:
            raise OSError(97, "Address family not supported by protocol")
        return real(family, kind)

    monkeypatch.setattr(socket, "socket", without_ipv6)
    monkeypatch.setattr("errno.EAFNOSUPPORT", 97)
    assert texts("tcp://:5", passive=True) == ["tcp://0.0.0.0:5"]


def test_names_resolve_without_duplicates(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 1))] * 2
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **options: found)
    assert texts("tcp://twice:1") == ["tcp://127.0.0.1:1"]


def test_localhost_resolves_to_loopback() -> None:
    hosts = {address.sockaddr[0] for address in resolve(Endpoint.parse("tcp://localhost:1"))}
    assert hosts <= {"127.0.0.1", "::1"}
    assert hosts


def test_a_name_that_does_not_resolve(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **options: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    with pytest.raises(AddressError) as caught:
        texts("tcp://nosuch.invalid:1")
    assert str(caught.value) == (
        "tcp://nosuch.invalid:1: the name 'nosuch.invalid' does not resolve "
        "(Name or service not known)"
    )


def test_a_name_that_cannot_be_encoded() -> None:
    with pytest.raises(AddressError, match="does not resolve"):
        texts("tcp://ü..x:1")


@linux
def test_abstract_names() -> None:
    (address,) = resolve(Endpoint.parse("unix:@jackfield é"))
    assert address.sockaddr == b"\0jackfield \xc3\xa9"
    assert str(address) == "unix:@jackfield é"
    assert address.path == ""
    assert address.port == 0


def test_an_address_has_its_endpoints_options() -> None:
    endpoint = Endpoint.parse("udp://:5?broadcast=1")
    assert endpoint.option("broadcast") == "1"
    assert endpoint.option("ttl") is None
    for address in (*resolve(endpoint), *resolve(Endpoint.parse("udp://127.0.0.1:5?broadcast=1"))):
        assert address.option("broadcast") == address.with_port(6).option("broadcast") == "1"
        assert address.option("ttl") is None
        assert "?" not in str(address)
    (address,) = resolve(Endpoint.parse("unixgram:/x?mode=0660"))
    assert (address.type, address.option("mode")) == (socket.SOCK_DGRAM, "0660")
    assert str(address) == "unixgram:/x"


def test_address_parts() -> None:
    (address,) = resolve(Endpoint.parse("tcp://127.0.0.1:5"))
    assert address.port == 5
    assert address.path == ""
    assert str(address.with_port(6)) == "tcp://127.0.0.1:6"
    assert resolve(Endpoint.parse("unix:/p"))[0].path == "/p"


def test_an_inherited_descriptor_stays_open() -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        (address,) = resolve(Endpoint("fd", fd=sock.fileno()))
        assert str(address) == f"fd://{sock.fileno()}"
        assert (address.family, address.type) == (sock.family, sock.type)
        assert address.port == sock.getsockname()[1]
        assert address.fd == sock.fileno()
        assert os.fstat(sock.fileno())
        assert str(Address.of(sock)) == f"tcp://127.0.0.1:{address.port}"


def test_descriptors_that_are_no_socket() -> None:
    reader, writer = os.pipe()
    os.close(writer)
    with pytest.raises(AddressError, match=f"fd://{reader}: descriptor {reader} is not a socket"):
        texts(f"fd://{reader}")
    os.close(reader)
    with pytest.raises(AddressError, match=f"descriptor {reader} is not open"):
        texts(f"fd://{reader}")


def test_cheap_to_import() -> None:
    code = (
        "import sys, jackfield.address\n"
        "print({'asyncio', 'ipaddress', 'encodings.idna', 'urllib', 'click', 'ssl'} "
        "& set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
