"""Small tools of the tests: sockets filled, drained and reset; conditions waited for."""

from __future__ import annotations

import gc
import os
import resource
import socket
import time
from collections.abc import Callable

import pytest

from jackfield import engines

TOGETHER = [name for name in engines.AUTOMATIC if engines.missing(name) is None]
"""The engines of this system that serve many clients at a time in one thread."""

IN_PROCESS = [n for n in engines.NAMES if engines.missing(n) is None and n != "fork"]
"""The engines whose protocols a test can look into. (A forked child also has what sockets the test
itself has open, so that a client's ``close()`` ends nothing.)"""

PATIENCE = 20.0
"""Seconds after which what has not happened is taken for never: generous, since a slow machine
must not fail a test, and a passing test never waits for it."""


def until(condition: Callable[[], object], seconds: float = PATIENCE) -> None:
    """Return when ``condition()`` holds; fail after ``seconds``."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"not within {seconds:g} s: {condition}")
        time.sleep(0.002)


def fill(sock: socket.socket) -> int:
    """Send to a non-blocking socket until the kernel takes no more; how many bytes it took."""
    total = 0
    try:
        while True:
            total += sock.send(bytes(65536))
    except BlockingIOError:
        return total


def drain(sock: socket.socket) -> None:
    """Receive from a non-blocking socket until nothing is left."""
    try:
        while sock.recv(1 << 20):
            pass
    except BlockingIOError:
        pass


def reset(sock: socket.socket) -> None:
    """Close a TCP socket so that its peer sees a reset (SO_LINGER with no time)."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    sock.close()


def receive(sock: socket.socket, count: int) -> bytes:
    """Exactly ``count`` bytes of a blocking socket, or fewer if the stream ends."""
    parts = []
    while count and (data := sock.recv(min(count, 1 << 20))):
        parts.append(data)
        count -= len(data)
    return b"".join(parts)


def receive_all(sock: socket.socket) -> bytes:
    """Everything until the stream ends."""
    return receive(sock, 1 << 40)


def receive_until(sock: socket.socket, end: bytes) -> bytes:
    """Everything up to and including ``end``, which nothing may follow yet."""
    data = b""
    while not data.endswith(end):
        more = sock.recv(1 << 16)
        assert more, f"the stream ended after {data[-200:]!r}"
        data += more
    return data


def lowest_free() -> int:
    """The number that the next descriptor will get, once garbage holds none."""
    gc.collect()
    fd = os.open(os.devnull, os.O_RDONLY)
    os.close(fd)
    return fd


def require_descriptors(number: int) -> None:
    """Skip the test unless a descriptor numbered ``number`` may be open."""
    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] <= number:
        pytest.skip(f"RLIMIT_NOFILE allows no descriptor {number}")


def has_ipv6() -> bool:
    """Is there an IPv6 loopback?"""
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True
