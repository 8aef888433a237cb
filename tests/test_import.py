"""``import jackfield`` costs nothing that is not needed, and every public name is there."""

from __future__ import annotations

import subprocess
import sys
import typing as t

import pytest

import jackfield
from jackfield import engines


def modules_after(code: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\n{code}\nprint(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.split())


HEAVY = {"asyncio", "click", "rich", "ssl", "typing_extensions", "multiprocessing", "http"}


def test_the_package_alone() -> None:
    loaded = modules_after("import jackfield")
    assert not loaded & (HEAVY | {"socket", "logging", "selectors"})
    assert {name for name in loaded if name.startswith("jackfield")} == {
        *("jackfield", "jackfield.lazy_typing")
    }


def test_a_protocol_needs_no_socket() -> None:
    """Sans-I/O: the protocols and rooms import neither sockets nor engines."""
    loaded = modules_after(
        "from jackfield import Protocol, LineProtocol, FrameProtocol, Room, DatagramProtocol\n"
        "import jackfield.services.chat.chat, jackfield.services.echo"
    )
    assert not loaded & (HEAVY | {"socket", "selectors", "select"})
    floors = ("engines", "transports", "pollers", "kernel", "server")
    assert not [name for name in loaded if name.startswith(tuple(f"jackfield.{f}" for f in floors))]


def test_a_running_server_without_asyncio_click_or_ssl() -> None:
    loaded = modules_after(
        "from jackfield import Server, Protocol\nwith Server('tcp://127.0.0.1:0', Protocol): pass"
    )
    assert "jackfield.engines.reactor" in loaded
    assert not loaded & HEAVY


WITH_WHAT_IS_LOADED: t.Final = """\
import os, sys
from jackfield.cli import main

class Told:
    def write(self, text):
        if text.startswith("listening "):
            print(*sys.modules, flush=True)
        elif text.strip():
            print("it said", text, flush=True)
        os._exit(0)
    def flush(self):
        pass

sys.stderr = Told()
main(["serve", "chat", "--engine", sys.argv[1], "tcp://127.0.0.1:0"])
"""

UNNEEDED: t.Final = {
    "click": "alone it takes twice as long as Python; it has the word when a line is not plain",
    "logging": "nothing is logged before anybody comes",
    "typing": "our modules have lazy_typing; it takes half as long as Python does, with re",
    "re": "of services, and of logging",
    "textwrap": "of the chat's help",
    "weakref": "of rooms",
    "struct": "of the chat's operations",
    "resource": "os.sysconf knows how many descriptors there may be",
    "threading": "one thread serves; logging loads it",
    "dataclasses": "it loads inspect, and compiles code for each class",
    "inspect": "asked only about factories that may be coroutines",
    "pathlib": "loads urllib and ipaddress",
    "importlib.metadata": "the version is written in the package",
    "shutil": "loads bz2 and lzma, for the width of a terminal",
    "tempfile": "of locks between processes",
    "ctypes": "of privileges that are given up",
    "json": "of traces and the status endpoint",
    "ipaddress": "of proxies and the status endpoint",
    "jackfield.bus.hub": "of several processes",
    "jackfield.services.chat": "loaded while whoever connects waits in the backlog",
    "jackfield.rooms": "of services",
    "jackfield.protocol": "of services",
    "jackfield.supervisor": "of several processes",
    "jackfield.kernel.procfs": "who holds an address that is taken",
    "jackfield.kernel.traced_socket": "of --trace",
    "jackfield.kernel.privileges": "of --user",
    "jackfield.kernel.unix_sockets": "of Unix sockets",
    "jackfield.kernel.multicast": "of datagrams",
    "jackfield.transports.datagram": "of datagrams",
    "jackfield.transports.proxied": "of --proxy-from",
    "jackfield.transports.tls": "of TLS",
}
"""What may not be loaded before a server listens, and why it need not. The rest is loaded for good,
and takes one and a half times what Python itself takes."""

MOST_MODULES: t.Final = 65
"""Of ours. Each takes at least 0.1 ms, whatever is in it."""


@pytest.mark.parametrize("engine", [engines.AUTO, "native", "epoll", "poll", "select"])
def test_a_server_that_listens_has_loaded_only_what_that_needs(engine: str) -> None:
    """The ground of a quick start, without a clock."""
    if engine != engines.AUTO and (why := engines.missing(engine)):
        pytest.skip(f"no engine {engine}: {why}")
    done = subprocess.run(
        [sys.executable, "-c", WITH_WHAT_IS_LOADED, engine],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    loaded = set(done.stdout.split())
    assert "jackfield.server" in loaded, done.stdout
    assert sorted(loaded & (HEAVY | UNNEEDED.keys())) == []
    assert len([name for name in loaded if name.startswith("jackfield")]) <= MOST_MODULES


@pytest.mark.parametrize("name", jackfield.__all__)
def test_every_public_name(name: str) -> None:
    assert getattr(jackfield, name) is not None
    assert name in dir(jackfield)


def test_the_homes_are_the_public_names() -> None:
    assert set(jackfield._HOMES) | {"__version__"} == set(jackfield.__all__)
    assert list(jackfield.__all__) == sorted(jackfield.__all__)


def test_an_unknown_name() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Sever'"):
        jackfield.Sever  # noqa: B018
    with pytest.raises(ImportError):
        from jackfield import Sever  # noqa: F401
