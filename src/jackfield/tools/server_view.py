"""What a running server told at its status endpoint: asked for, bounded, and read with distrust.

    Endpoint or pid -> ask() -> bytes -> parse() -> Facts

Whoever listens there may be anybody, so the answer is bounded in bytes and time, its beginning is
checked as soon as it is there, and ``Facts`` gives every value as what it should be, or as nothing.
Texts are the peers' and the server's own: who shows them escapes them. Must not know the terminal.
"""

from __future__ import annotations

import errno
import itertools
import json
import math
import os
import socket
import typing as t

from jackfield.address import Address, Endpoint, printable, resolve
from jackfield.errors import AddressError, ConnectError, SystemRefused, UsageError, reason_of
from jackfield.kernel import fdinfo

PATIENCE: t.Final = 10.0
"""Seconds until a server is given up that says nothing (more). It asks its workers meanwhile, and
one that is stopped costs a second."""

MOST: t.Final = 64 * 1024 * 1024
"""Bytes of an answer: 100,000 connections have half of it."""

BLOCK: t.Final = 1 << 18

BEGINNING: t.Final = b'{"jackfield":'
"""Of every answer. What begins otherwise is not waited for."""

COMMAND_LINE: t.Final = 1 << 17
"""Bytes of a command line that are looked at: Linux allows no longer single argument."""

OPTION: t.Final = "--status-endpoint"


class Facts:
    """A JSON object that somebody sent, or {} in the place of what is none."""

    __slots__ = ("raw",)

    def __init__(self, raw: object) -> None:
        self.raw: dict[str, t.Any] = raw if isinstance(raw, dict) else {}

    def text(self, key: str) -> str:
        """A text; "" for anything else."""
        value = self.raw.get(key)
        return value if isinstance(value, str) else ""

    def number(self, key: str) -> float | None:
        """A finite number; None for anything else."""
        value = self.raw.get(key)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        try:
            return value if math.isfinite(value) else None
        except OverflowError:  # an int beyond every float
            return None

    def count(self, key: str) -> int:
        """A number as a whole one; 0 for anything else."""
        return int(self.number(key) or 0)

    def flag(self, key: str) -> bool:
        """Is it true?"""
        return self.raw.get(key) is True

    def words(self, key: str) -> list[str]:
        """A list's texts."""
        value = self.raw.get(key)
        return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []

    def facts(self, key: str) -> Facts:
        """An object."""
        return Facts(self.raw.get(key))

    def each(self, key: str) -> list[Facts]:
        """A list's objects."""
        value = self.raw.get(key)
        found = value if isinstance(value, list) else []
        return [Facts(one) for one in found if isinstance(one, dict)]

    def names(self) -> list[str]:
        """What is in it."""
        return list(self.raw)


def view(endpoint: Endpoint) -> Facts:
    """What the server behind ``endpoint`` tells. Raises ``ConnectError``, and ``UsageError`` for an
    endpoint that has no connections."""
    return parse(ask(endpoint), str(endpoint))


def parse(data: bytes, where: str) -> Facts:
    """An answer, whole. Raises ``ConnectError`` for what is none."""
    if not data.startswith(BEGINNING):
        raise _stranger(where)
    if not data.endswith(b"}\n"):
        raise ConnectError(f"{where}: the answer is cut off after {len(data)} bytes", "peer")
    try:
        return Facts(json.loads(data, parse_constant=_no_number))
    except (ValueError, RecursionError) as exc:
        why = "it is nested too deeply" if isinstance(exc, RecursionError) else "it is broken JSON"
        raise ConnectError(f"{where}: the answer cannot be read: {why}", "peer") from None


def _no_number(name: str) -> t.NoReturn:
    raise ValueError(name)


def _stranger(where: str) -> ConnectError:
    return ConnectError(
        f"{where}: what answers there is no status endpoint; name the one that was given to "
        f"jackfield serve as {OPTION}",
        "peer",
    )


# --- asking ------------------------------------------------------------------------------------


def ask(endpoint: Endpoint, patience: float = PATIENCE, most: int = MOST) -> bytes:
    """All that the server says, at most ``most`` bytes, within ``patience`` seconds for each part.
    Raises as ``view``."""
    if endpoint.scheme not in ("unix", "tcp"):
        raise UsageError(f"{endpoint}: a status endpoint is unix:/path or tcp://127.0.0.1:port")
    address = resolve(endpoint)[0]
    with socket.socket(address.family, address.type) as sock:
        sock.settimeout(patience)
        try:
            sock.connect(address.sockaddr)
        except OSError as exc:
            raise _not_connected(address, exc) from exc
        return _receive(sock, str(endpoint), most)


def _not_connected(address: Address, exc: OSError) -> ConnectError:
    refusals = {
        errno.ENOENT: "there is no such socket; is the server running?",
        errno.ECONNREFUSED: "nobody listens there; is the server running?",
        errno.EACCES: "permission denied; ask as the user who runs the server, or as root",
        errno.EPERM: "permission denied; ask as the user who runs the server, or as root",
        errno.EAGAIN: "too many ask at once; try again",
        errno.EPROTOTYPE: "it is a socket for datagrams",
    }
    why = "it does not answer" if isinstance(exc, TimeoutError) else refusals.get(exc.errno or 0)
    return ConnectError(f"{address}: {why or exc.strerror or exc}", "peer", reason_of(exc))


def _receive(sock: socket.socket, where: str, most: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    try:
        while block := sock.recv(BLOCK):
            parts.append(block)
            size += len(block)
            if size > most:
                raise ConnectError(f"{where}: the answer is larger than {most} bytes", "peer")
            if size - len(block) < len(BEGINNING):
                start = b"".join(parts)[: len(BEGINNING)]
                if not BEGINNING.startswith(start):
                    raise _stranger(where)
    except TimeoutError:
        if not parts:
            raise _stranger(where) from None
        why = f"the server fell silent after {size} bytes"
        raise ConnectError(f"{where}: {why}", "peer", "timeout") from None
    except OSError as exc:
        raise ConnectError(f"{where}: {exc.strerror}", "peer", reason_of(exc)) from exc
    return b"".join(parts)


# --- by process --------------------------------------------------------------------------------


def endpoint_of(pid: int) -> Endpoint:
    """The status endpoint of process ``pid``, as its command line has it. Raises ``SystemRefused``
    where there is none to be found."""
    try:
        found = _on_command_line(pid)
    except FileNotFoundError as exc:
        raise SystemRefused(f"there is no process {pid}", errno.ESRCH) from exc
    except OSError as exc:
        raise SystemRefused(f"process {pid}: {exc.strerror}", exc.errno) from exc
    if found is None:
        raise SystemRefused(
            f"process {pid} was not started with {OPTION}; if it has one all the same (a program's "
            "Server(status_endpoint=...)), say where: jackfield status unix:/path"
        )
    return found


def running() -> list[tuple[int, Endpoint]]:
    """Processes that were started with a status endpoint, one for each endpoint, as far as we may
    see them."""
    found: dict[Endpoint, int] = {}
    for pid in fdinfo.process_ids():
        try:
            endpoint = _on_command_line(pid)
        except (OSError, SystemRefused):  # gone, or another user's
            continue
        if endpoint is not None:
            found.setdefault(endpoint, pid)
    return [(pid, endpoint) for endpoint, pid in found.items()]


def _on_command_line(pid: int) -> Endpoint | None:
    with open(f"/proc/{pid}/cmdline", "rb") as file:
        words = os.fsdecode(file.read(COMMAND_LINE)).split("\0")
    text = option(words)
    if text is None:
        return None
    try:
        endpoint = Endpoint.parse(text)
    except AddressError as exc:
        raise SystemRefused(f"process {pid}: {exc}") from exc
    if endpoint.scheme == "tcp" and endpoint.port == 0:
        raise SystemRefused(f"process {pid} has {printable(text)}; it said which port that is")
    if endpoint.scheme != "unix" or endpoint.path.startswith(("/", "@")):
        return endpoint
    directory = os.readlink(f"/proc/{pid}/cwd")
    return endpoint._replace(path=os.path.join(directory, endpoint.path))


def option(words: list[str]) -> str | None:
    """The value of OPTION among the words of a command line; the last one counts."""
    found = None
    for word, following in itertools.zip_longest(words, words[1:]):
        if word == OPTION:
            found = following
        elif word.startswith(OPTION + "="):
            found = word.partition("=")[2]
    return found or None
