"""Small servers for the load generator to be wrong about, and a skip where it cannot run."""

from __future__ import annotations

import resource
import sys
import textwrap
import typing as t
from pathlib import Path

import pytest

from jackfield.bench import compiler
from jackfield.bench.servers import Contender
from jackfield.errors import SystemRefused

MakeContender: t.TypeAlias = t.Callable[..., Contender]

PROGRAM = """
import asyncio
from jackfield.bench.peers.listening import serve

members = []

class Member(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport
        members.append(transport)
        self.messages = 0

    def data_received(self, data):
{body}

asyncio.run(serve(Member))
"""


@pytest.fixture(scope="session", autouse=True)
def _needs_the_load_generator() -> None:
    if not sys.platform.startswith("linux"):
        pytest.skip("the load generator is for Linux")
    try:
        compiler.find_compiler()
    except SystemRefused as error:
        pytest.skip(str(error))


@pytest.fixture(autouse=True)
def _own_descriptor_limit() -> t.Iterator[None]:
    """bench raises the limit of the process it runs in; here that is pytest's."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.fixture
def make_contender(tmp_path: Path) -> MakeContender:
    """A contender whose protocol answers received ``data`` with the given Python code."""

    def make(body: str, speaks: str = "raw") -> Contender:
        path = tmp_path / "server.py"
        code = textwrap.indent(textwrap.dedent(body).strip(), " " * 8)
        path.write_text(PROGRAM.format(body=code))
        return Contender("test server", (sys.executable, str(path), "0"), "1", speaks=speaks)

    return make
