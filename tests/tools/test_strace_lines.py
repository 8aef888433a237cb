"""strace's lines: as it writes them, cut anywhere, made to confuse, and nonsense."""

from __future__ import annotations

import typing as t

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jackfield.instrument import SocketCall
from jackfield.tools import strace_lines, strace_words
from jackfield.tools.strace_lines import LINE_LIMIT, StraceLines
from jackfield.tools.strace_words import Descriptor, descriptor, split_call

TUPLE: t.Final = "TCP:[127.0.0.1:8888->127.0.0.1:63062]"

LOG: t.Final = rf"""
11 1795275448.400805 socket(AF_INET, SOCK_STREAM|SOCK_CLOEXEC, IPPROTO_IP) = 3<TCP:[51568]> <0.000072>
11 1795275448.402577 setsockopt(3<TCP:[51568]>, SOL_SOCKET, SO_REUSEADDR, [1], 4) = 0 <0.000056>
11 1795275448.403027 bind(3<TCP:[51568]>, {{sa_family=AF_INET, sin_port=htons(8888), sin_addr=inet_addr("127.0.0.1")}}, 16) = 0 <0.000061>
11 1795275448.403453 listen(3<TCP:[127.0.0.1:8888]>, 128) = 0 <0.000051>
11 1795275448.407012 accept4(3<TCP:[127.0.0.1:8888]>, {{sa_family=AF_INET, sin_port=htons(63062), sin_addr=inet_addr("127.0.0.1")}}, [16], SOCK_CLOEXEC) = 5<{TUPLE}> <0.000049>
11 1795275448.407930 recvfrom(5<{TUPLE}>,  <unfinished ...>
12 1795275448.408000 close(9</etc/hosts>) = 0 <0.000010>
12 1795275448.408100 --- SIGCHLD {{si_signo=SIGCHLD, si_code=CLD_EXITED, si_pid=9}} ---
11 1795275448.408321 <... recvfrom resumed>"hi\33[2J\n", 100, 0, NULL, NULL) = 7 <0.000391>
11 1795275448.408400 recvfrom(5<{TUPLE}>, 0x7fe1d2af2180, 100, MSG_PEEK|MSG_DONTWAIT, NULL, NULL) = -1 EAGAIN (Resource temporarily unavailable) <0.000044>
12 1795275448.408500 <... write resumed>) = 5 <0.000001>
11 1795275448.408600 writev(5<{TUPLE}>, [{{iov_base="ab", iov_len=2}}, {{iov_base="c", iov_len=1}}], 2) = 3 <0.000050>
11 1795275448.408700 sendto(6<UDPv6:[[::1]:33104]>, "z", 1, 0, {{sa_family=AF_INET6, sin6_port=htons(9), sin6_flowinfo=htonl(0), inet_pton(AF_INET6, "::1", &sin6_addr), sin6_scope_id=0}}, 28) = 1 <0.000063>
11 1795275448.408800 socketpair(AF_UNIX, SOCK_STREAM|SOCK_CLOEXEC, 0, [7<UNIX-STREAM:[51->52]>, 8<UNIX-STREAM:[52->51]>]) = 0 <0.000055>
11 1795275448.408900 sendmmsg(6<UDP:[127.0.0.1:1->127.0.0.1:2]>, [{{msg_hdr={{msg_name=NULL, msg_iov=[{{iov_base="msg_len=9", iov_len=9}}], msg_iovlen=1}}, msg_len=4}}, {{msg_hdr={{}}, msg_len=5}}], 2, 0) = 2 <0.000050>
11 1795275448.409000 shutdown(5<{TUPLE}>, SHUT_WR) = 0 <0.000020>
11 1795275448.409100 recvfrom(5<{TUPLE}>,  <unfinished ...>) = ?
11 1795275448.409200 +++ exited with 0 +++
""".lstrip().encode()  # noqa: E501


def calls(data: bytes) -> list[SocketCall]:
    return list(StraceLines().feed(data))


def test_a_log() -> None:
    found = calls(LOG)
    assert [(c.call, c.fd, c.result, c.error, c.size) for c in found] == [
        ("socket", 3, 3, "", 0),
        ("setsockopt", 3, 0, "", 0),
        ("bind", 3, 0, "", 0),
        ("listen", 3, 0, "", 0),
        ("accept4", 3, 5, "", 0),
        ("recvfrom", 5, 7, "", 7),
        ("recvfrom(MSG_PEEK)", 5, -1, "EAGAIN", 0),
        ("writev", 5, 3, "", 3),
        ("sendto", 6, 1, "", 1),
        ("socketpair", 7, 0, "", 0),
        ("sendmmsg", 6, 2, "", 9),
        ("shutdown", 5, 0, "", 0),
        ("recvfrom", 5, -1, "", 0),
    ]


def test_details() -> None:
    found = {call.call: call for call in calls(LOG)}
    assert found["setsockopt"].detail == "SO_REUSEADDR [1]"
    assert found["bind"].detail == "127.0.0.1:8888"
    assert (found["bind"].local, found["listen"].local) == ("", "127.0.0.1:8888")
    assert found["listen"].detail == "128"
    assert found["accept4"].detail == "127.0.0.1:63062"
    assert found["sendto"].detail == "[::1]:9"
    assert found["shutdown"].detail == "SHUT_WR"
    assert found["writev"].payload == "abc"
    assert found["socketpair"].protocol == "unix"


def test_an_interrupted_line_is_one_call() -> None:
    (call,) = (call for call in calls(LOG) if call.payload.startswith("hi"))
    assert call == SocketCall(
        at=1795275448.407930,
        task=11,
        call="recvfrom",
        fd=5,
        protocol="tcp",
        local="127.0.0.1:8888",
        peer="127.0.0.1:63062",
        result=7,
        asked=100,
        size=7,
        seconds=0.000391,
        payload=r"hi\33[2J\n",
    )


def test_in_pieces() -> None:
    whole = calls(LOG)
    for size in (1, 7, 100):
        lines = StraceLines()
        pieces = [LOG[at : at + size] for at in range(0, len(LOG), size)]
        assert [call for piece in pieces for call in lines.feed(piece)] == whole
        assert (lines.unknown, lines.first) == (0, 11)


def test_cut_short() -> None:
    whole = calls(LOG)
    for end in range(len(LOG)):
        found = calls(LOG[:end])
        assert found == whole[: len(found)]


@pytest.mark.parametrize(
    "path",
    [
        r"/a)\"] = 7 <0.1>",
        r"/a, {sin_port=htons(1), sin_addr=inet_addr(\"1.2.3.4\")}",
        r"/a>]> , 4<TCP:[9.9.9.9:9]>",
        r"/a\33[2J\n<unfinished ...>",
        r"/a\\",
        "/a/* ",
    ],
)
def test_a_path_made_to_confuse(path: str) -> None:
    """strace escapes quotes and what does not print, and nothing else."""
    line = f'5 1.5 connect(3<UNIX-STREAM:[1->2,"{path}"]>, {{sa_family=AF_UNIX, sun_path="{path}"}}, 9) = -1 ECONNREFUSED (Connection refused) <0.25>\n'  # noqa: E501
    (call,) = calls(line.encode())
    assert (call.fd, call.protocol, call.result, call.error) == (3, "unix", -1, "ECONNREFUSED")
    assert call.local == f"unix:{path}"[: len(call.local)]
    assert call.detail == f"unix:{path}"[: len(call.detail)]
    assert (call.peer, call.seconds) == ("inode 2", 0.25)


@pytest.mark.parametrize("payload", [r"\") = 99 <0.1>", r"msg_len=7, MSG_PEEK", "/*", "{[(<"])
def test_a_payload_made_to_confuse(payload: str) -> None:
    line = (
        f'5 1.5 sendto(3<{TUPLE}>, "{payload}"..., 4096, MSG_NOSIGNAL, NULL, 0) = 12 <0.000001>\n'
    )
    (call,) = calls(line.encode())
    assert (call.call, call.result, call.asked, call.payload) == ("sendto", 12, 4096, payload)


@pytest.mark.parametrize(
    "line",
    [
        b"strace: Process 12 attached",
        b"nonsense",
        b"1 1.5 ",
        b"1 1.5 close",
        b"1 1.5 close(3<TCP:[1]>",
        b"1 1.5 close(3<TCP:[1]>) = many",
        b"1 1.5 close(3<TCP:[1]>) 0",
        b"99999999999 1.5 close(3<TCP:[1]>) = 0",
        b"\xff\xfe",
    ],
)
def test_what_is_no_line_of_straces(line: bytes) -> None:
    lines = StraceLines()
    assert list(lines.feed(line + b"\n")) == []
    assert lines.unknown == 1
    assert len(list(lines.feed(LOG))) == 13, "those behind it are read"


def test_a_line_too_long() -> None:
    lines = StraceLines()
    for _ in range(4):
        assert list(lines.feed(b"x" * LINE_LIMIT)) == []
    assert len(list(lines.feed(b"end\n" + LOG))) == 13
    assert lines.unknown == 1


def test_calls_that_do_not_end_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strace_lines, "UNFINISHED", 2)
    lines = StraceLines()
    for task in range(1, 5):
        list(lines.feed(b"%d 1.5 close(3<TCP:[1]> <unfinished ...>\n" % task))
    ended = [
        c.task for t_ in range(1, 5) for c in lines.feed(b"%d 2.5 <... close resumed>) = 0\n" % t_)
    ]
    assert ended == [1, 2]


def test_the_dead_are_forgotten() -> None:
    lines = StraceLines()
    list(lines.feed(b"7 1.5 close(3<TCP:[1]> <unfinished ...>\n7 1.6 +++ killed by SIGKILL +++\n"))
    assert list(lines.feed(b"7 2.5 <... close resumed>) = 0\n")) == []


@given(
    st.lists(st.sampled_from([*LOG.splitlines(), b"", b'"', b"<", b"(", b"\\", b"= 1", b"\xff"]))
)
def test_any_mixture(pieces: list[bytes]) -> None:
    for glue in (b"\n", b"", b" "):
        for call in StraceLines().feed(glue.join(pieces) + b"\n"):
            assert "\n" not in repr(call)
            for text in (call.call, call.protocol, call.local, call.peer, call.detail):
                assert text.isprintable()
            assert call.payload.isprintable()


@given(st.binary())
def test_any_bytes(data: bytes) -> None:
    list(StraceLines().feed(b"1 1.5 sendto(3<TCP:[1]>, " + data + b"\n"))


@given(st.text(st.sampled_from('ab"\\<>()[]{},/* ->3')))
def test_any_arguments(text: str) -> None:
    try:
        name, arguments, _ = split_call(f"call({text}) = 0")
    except ValueError:
        return
    assert name == "call"
    assert len(", ".join(arguments)) <= 2 * len(text) + 2


def test_a_line_made_to_take_long() -> None:
    """Patterns that go back and forth would not come to an end with these."""
    for piece in ('"\\', "3<->", "/*", "3<\\", '",'):
        with pytest.raises(ValueError, match="no "):
            split_call("call(" + piece * 50_000)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("3<TCP:[127.0.0.1:1]>", Descriptor(3, "tcp", "127.0.0.1:1", "")),
        ("3<TCPv6:[[::1]:1->[::1]:2]>", Descriptor(3, "tcp", "[::1]:1", "[::1]:2")),
        ("3<UDP:[4711]>", Descriptor(3, "udp", "", "")),
        ('3<UNIX-DGRAM:[1,@"a b"]>', Descriptor(3, "unixgram", "unix:@a b", "")),
        ("3<UNIX-STREAM:[1->2]>", Descriptor(3, "unix", "", "inode 2")),
        ("3<NETLINK:[ROUTE:5]>", Descriptor(3, "netlink", "ROUTE:5", "")),
        ("3<socket:[4711]>", Descriptor(3, "socket", "", "")),
        ("3<pipe:[4711]>", None),
        ("3<anon_inode:[eventpoll]>", None),
        ("3</etc/passwd>", None),
        ("3</dev/pts/0<char 136:0>>", None),
        ("AT_FDCWD</tmp>", None),
        ("3", None),
        ("-1", None),
    ],
)
def test_descriptors(text: str, expected: Descriptor | None) -> None:
    assert descriptor(text) == expected


def test_addresses() -> None:
    assert strace_words.address(["3", '{sa_family=AF_UNIX, sun_path=@"x"}']) == "unix:@x"
    assert strace_words.address(["3", "NULL"]) == ""
    assert strace_words.address([]) == ""
