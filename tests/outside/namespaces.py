"""Two machines on one wire, made of network namespaces, for what loopback cannot show."""

from __future__ import annotations

import contextlib
import os
import subprocess
import typing as t
from collections.abc import Iterator

import pytest
from tests.outside.programs import Program, need

INTERFACE: t.Final = "wire"


class Machine:
    """A network namespace. Its interface is ``INTERFACE``."""

    def __init__(self, name: str, number: int) -> None:
        self._name = name
        self.address = f"10.77.0.{number}"
        self.address_ipv6 = f"fd77::{number}"

    def run(self, *command: str) -> Program:
        """A program that runs on this machine."""
        return Program(*self.command(*command))

    def command(self, *command: str) -> tuple[str, ...]:
        return ("ip", "netns", "exec", self._name, *command)

    def connect(self) -> None:
        """Both machines exist, and so does the wire: give this end its addresses."""
        for line in (
            "link set lo up",
            f"addr add {self.address}/24 broadcast 10.77.0.255 dev {INTERFACE}",
            f"addr add {self.address_ipv6}/64 dev {INTERFACE} nodad",
            f"link set {INTERFACE} up",
            f"route add default dev {INTERFACE}",
        ):
            ip("-n", self._name, *line.split())


def ip(*arguments: str) -> None:
    """ip(8), which must succeed."""
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


@contextlib.contextmanager
def two_machines() -> Iterator[tuple[Machine, Machine]]:
    """Two machines that reach each other and nobody else. Skips where they cannot be made."""
    need("ip")
    names = [f"jackfield-{os.getpid()}-{number}" for number in (1, 2)]
    machines = [Machine(name, number) for number, name in enumerate(names, 1)]
    with contextlib.ExitStack() as stack:
        for name in names:
            try:
                ip("netns", "add", name)
            except subprocess.CalledProcessError as exc:
                pytest.skip(f"no network namespace: {exc.stderr.decode().strip()}")
            stack.callback(ip, "netns", "del", name)
        end, other_end = (("name", INTERFACE, "netns", name) for name in names)
        ip("link", "add", *end, "type", "veth", "peer", *other_end)
        for machine in machines:
            machine.connect()
        yield machines[0], machines[1]
