"""The peers that are programs of their own: how each is called, and told to serve at its best.

It must not know how a server is started or measured. Each runs on one core and listens on one
port of the loopback; what costs time and serves nobody is off: logs, stores, name look-ups,
limits against floods.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import typing as t

HOST: t.Final = "127.0.0.1"
PORT: t.Final = "{port}"
"""In a command or a configuration: replaced by a free port, since the server reports none."""

CONFIG: t.Final = "{config}"
"""In a command: replaced by the path of a file with the configuration."""

UNKNOWN: t.Final = "unknown"


class Program(t.NamedTuple):
    """A server to call. ``version`` is what to find in the answer to ``--version``.

    The package of Debian has the command's name. ``speaks`` is the load's adapter
    (c/adapters.c); ``config`` the text of its configuration; ``most`` how many connections it
    takes, 0: as many as come.
    """

    command: str
    options: tuple[str, ...]
    version: str
    speaks: str
    config: str = ""
    most: int = 0


# Penalties are ngircd's brake for whoever sends much, by default one line in two seconds. Of
# Info and Name an IRC server must have some. It pings who is silent, and members that listen are.
_NGIRCD: t.Final = f"""\
[Global]
Name = bench.localhost
Info = bench
AdminInfo1 = bench
Listen = {HOST}
Ports = {PORT}
MotdPhrase = bench
[Limits]
MaxConnections = 0
MaxConnectionsIP = 0
MaxPenaltyTime = 0
PingTimeout = 3600
[Options]
DNS = no
Ident = no
PAM = no
"""

# ncat waits with select(2), which knows 1,024 descriptors; some are its own.
_NCAT_MEMBERS: t.Final = 1000

PROGRAMS: t.Final[dict[str, Program]] = {
    "redis": Program(
        "redis-server",
        ("--port", PORT, "--bind", HOST, "--save", "", "--appendonly", "no"),
        r"v=(\S+)",
        "redis",
    ),
    "nats": Program("nats-server", ("-a", HOST, "-p", PORT), r"v(\d\S*)", "nats"),
    "ngircd": Program("ngircd", ("-n", "-f", CONFIG), r"ngIRCd (\d[^-\s]*)", "irc", _NGIRCD),
    "ncat": Program(
        "ncat",
        ("-l", "--chat", "--max-conns", str(_NCAT_MEMBERS), HOST, PORT),
        r"Version (\S+)",
        "ncat",
        most=_NCAT_MEMBERS,
    ),
}


def find(program: Program) -> str | None:
    """The path of the program, or None. Servers are in sbin, which is not in everybody's PATH."""
    path = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin"))
    return shutil.which(program.command, path=path)


def version_of(program: Program, path: str) -> str:
    """What the program at ``path`` says of its version."""
    said = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
    found = re.search(program.version, said.stdout + said.stderr)
    return found[1] if found else UNKNOWN
