"""``import jackfield`` costs nothing that is not needed, and every public name is there."""

from __future__ import annotations

import subprocess
import sys

import pytest

import jackfield


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
    assert {name for name in loaded if name.startswith("jackfield")} == {"jackfield"}


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
