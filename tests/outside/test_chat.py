"""nc, ncat, telnet and socat chat together, and each reads the same."""

from __future__ import annotations

import contextlib
import typing as t
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.chat_servers import WAYS, Served, chat_server
from tests.outside.programs import Program, ask, need

Open: t.TypeAlias = t.Callable[..., Program]


@pytest.fixture(params=WAYS)
def server(request: pytest.FixtureRequest, short_directory: Path) -> Iterator[Served]:
    with chat_server(request.param, short_directory) as served:
        yield served


@pytest.fixture
def open_program() -> Iterator[Open]:
    """Start a client; all are ended with the test."""
    with contextlib.ExitStack() as programs:
        yield lambda *command: programs.enter_context(Program(*command))


def clients(server: Served) -> dict[str, tuple[str, ...]]:
    """How each program connects: to the TCP port, two of them to the Unix socket."""
    tcp, unix = server.addresses
    port = str(tcp.port)
    return {
        "nc": ("nc", "127.0.0.1", port),
        "ncat": ("ncat", "127.0.0.1", port),
        "telnet": ("telnet", "127.0.0.1", port),
        "socat": ("socat", "-", f"TCP:127.0.0.1:{port}"),
        "unix-nc": ("nc", "-U", unix.path),
        "unix-socat": ("socat", "-", f"UNIX-CONNECT:{unix.path}"),
    }


def test_they_chat_together_and_their_transcripts_are_the_same(
    server: Served, open_program: Open
) -> None:
    need("nc", "ncat", "telnet", "socat")
    people: dict[str, Program] = {}
    for number, (name, command) in enumerate(clients(server).items(), start=1):
        person = people[name] = open_program(*command)
        person.read_to(f"-- guest-{number} joined lobby")
        person.type(f"/nick {name}")
        for earlier in people.values():  # so that all have everything from here on
            earlier.read_to(f"-- guest-{number} is now {name}")
    transcripts: dict[str, list[str]] = {name: [] for name in people}
    expected = []
    for name, speaker in people.items():
        said = [f"<{name}> hello from {name}, grüezi ☎", f"<{name}> /slash", f"* {name} waves"]
        for line in (f"hello from {name}, grüezi ☎", "//slash", "/me waves"):
            speaker.type(line)
        for reader, person in people.items():  # the next speaks when all have read this
            transcripts[reader] += person.read_to(said[-1])
        expected += said
    assert transcripts == dict.fromkeys(people, expected)


def test_a_message_is_read_by_one_and_a_departure_by_all(
    server: Served, open_program: Open
) -> None:
    need("nc", "ncat", "telnet", "socat")
    commands = clients(server)
    people: list[Program] = []
    for number, name in enumerate(("nc", "ncat", "telnet", "socat"), start=1):
        people.append(open_program(*commands[name]))
        for person in people:
            person.read_to(f"-- guest-{number} joined lobby")
    nc, ncat, telnet, socat = people
    telnet.type("/msg guest-2 for ncat alone")
    assert telnet.read_to("[you -> guest-2] for ncat alone")[:-1] == []
    assert ncat.read_to("[guest-3 -> you] for ncat alone")[:-1] == []
    telnet.type("/quit")
    for person in (nc, ncat, socat):
        assert person.read_to("-- guest-3 left lobby")[:-1] == []
    last = telnet.read_all()
    assert last[0] == "-- goodbye"
    assert last[1:] in ([], ["Connection closed by foreign host."])


def test_a_pipe_into_nc_is_heard_and_answered_to_its_end(
    server: Served, open_program: Open
) -> None:
    need("nc")
    port = str(server.addresses[0].port)
    watcher = open_program("nc", "127.0.0.1", port)
    watcher.read_to("-- guest-1 joined lobby")
    printed = ask("nc", "-N", "127.0.0.1", port, typed=b"/nick pipe\nhello\nno newline")
    assert printed.decode().splitlines()[-3:] == [
        "-- guest-2 is now pipe",
        "<pipe> hello",
        "<pipe> no newline",
    ]
    assert watcher.read_to("-- pipe left lobby")[-3:-1] == ["<pipe> hello", "<pipe> no newline"]


@pytest.mark.parametrize(
    ("path", "options"),
    [
        ("chat", ()),
        ("chat", ("--data", "hello everybody\n/nick evil\nhello")),
        ("chat", ("--request", "OPTIONS", "--header", "Origin: http://evil.example")),
        ("a" * 5000, ("--data", "hello everybody\n/nick evil\nhello")),
    ],
    ids=["GET", "POST", "OPTIONS", "over-long"],
)
def test_curl_is_cut_off_before_it_says_a_word(
    server: Served, open_program: Open, path: str, options: tuple[str, ...]
) -> None:
    need("nc", "curl")
    port = server.addresses[0].port
    watcher = open_program("nc", "127.0.0.1", str(port))
    watcher.read_to("-- guest-1 joined lobby")
    curl = ("curl", "--silent", "--noproxy", "*", "--http0.9", "--max-time", "20")
    printed = ask(*curl, *options, f"http://127.0.0.1:{port}/{path}")
    last = printed.decode().splitlines()[-1]
    assert last == "-- disconnected: this is a chat server, not a web server"
    assert watcher.read_to("-- guest-2 left lobby") == [
        "-- guest-2 joined lobby",
        "-- guest-2 left lobby",
    ]
