"""A chat server, in every way in which many can be served: the same conversation for all."""

from __future__ import annotations

import contextlib
import os
import typing as t
from collections.abc import Iterator
from pathlib import Path

from tests.cli.process import Serving
from tests.support import IN_PROCESS

from jackfield.address import Address, Endpoint, resolve
from jackfield.server import Server
from jackfield.services import ServiceOptions, make

FORKING: t.Final = ("--engine fork", "--workers 2", "--workers 2 --accept shared")
"""These are run as a person runs them: a child forked from the test would have its sockets too."""

WAYS: t.Final = [
    *(name for name in IN_PROCESS if name != "iterative"),
    *(FORKING if hasattr(os, "fork") else ()),
]


class Served(t.NamedTuple):
    """Where it listens: TCP first, then a Unix socket."""

    addresses: list[Address]


@contextlib.contextmanager
def chat_server(way: str, directory: Path) -> Iterator[Served]:
    """A chat without flood control, served in one of the ``WAYS``."""
    endpoints = ("tcp://127.0.0.1:0", f"unix:{directory / 'chat'}")
    if way not in FORKING:
        chat = make("chat", ServiceOptions(flood=0))
        with Server(endpoints, chat.stream, engine=way) as server:
            yield Served(server.addresses)
        return
    with Serving("serve", "chat", *endpoints, "--flood", "off", *way.split()) as serving:
        said = [serving.expect(r"listening (\S+) fd=\d+ .*")[1] for _ in endpoints]
        yield Served([resolve(Endpoint.parse(text))[0] for text in said])
        assert serving.terminate() == 0
