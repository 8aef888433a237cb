"""Where frames come from: a capture file, or a packet socket for as long as somebody looks.

Both give them in batches, so that what is printed of one goes out at once. Must not know what
frames hold.
"""

from __future__ import annotations

import contextlib
import os
import select
import sys
import time
import typing as t
from collections.abc import Iterator
from pathlib import Path

from jackfield.capture.frames import Frame
from jackfield.capture.reader import CaptureReader
from jackfield.capture.writer import PcapngWriter
from jackfield.endpoint import printable
from jackfield.errors import CaptureError, SystemRefused
from jackfield.kernel.packets import PacketSocket

STANDARD_INPUT: t.Final = "-"

_BLOCK: t.Final = 64 * 1024
"""Bytes read from a file at a time."""


def from_file(path: str) -> Iterator[list[Frame]]:
    """The frames of a capture file, or of standard input for "-". Those before a fault come
    before the ``CaptureError``; a file that cannot be read raises ``SystemRefused``."""
    shown = "standard input" if path == STANDARD_INPUT else printable(path)
    reader = CaptureReader()
    try:
        with _opened(path) as file:
            while block := file.read(_BLOCK):
                yield from _each(reader, block)
        reader.finish()
    except CaptureError as exc:
        raise type(exc)(f"{shown}: {exc}") from exc
    except OSError as exc:
        raise SystemRefused(f"{shown}: cannot be read: {exc.strerror}", exc.errno) from exc


def _each(reader: CaptureReader, block: bytes) -> Iterator[list[Frame]]:
    """What is whole with ``block`` in one batch, also where an error follows."""
    batch: list[Frame] = []
    try:
        batch.extend(reader.feed(block))
    except CaptureError:
        yield batch
        raise
    yield batch


def _opened(path: str) -> contextlib.AbstractContextManager[t.BinaryIO]:
    if path == STANDARD_INPUT:
        return contextlib.nullcontext(sys.stdin.buffer)
    return open(path, "rb", buffering=0)


def from_socket(sock: PacketSocket, seconds: float = 0.0) -> Iterator[list[Frame]]:
    """Batches of what ``sock`` hears, for ``seconds``, or 0 for ever."""
    end = time.monotonic() + seconds if seconds else None
    poller = select.poll()
    poller.register(sock.fileno(), select.POLLIN)
    while True:
        left = None if end is None else max(0.0, end - time.monotonic())
        if left == 0.0:
            return
        poller.poll(None if left is None else left * 1000)
        batch = list(sock.read())
        if batch:
            yield batch


class CaptureFile:
    """A pcapng file being written. Use it in a ``with``; ``write`` adds frames, and they are with
    the system when it returns. Raises ``SystemRefused``."""

    def __init__(self, path: str, interface: str = "") -> None:
        self._path = path
        self._writer = PcapngWriter(interface)
        try:
            self._file = open(path, "wb", buffering=0)  # noqa: SIM115 - closed by __exit__
        except OSError as exc:
            raise self._refusal(exc) from exc
        self._put(self._writer.head())

    def __enter__(self) -> t.Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._file.close()

    def write(self, frames: list[Frame]) -> None:
        self._put(b"".join(map(self._writer.packet, frames)))

    def _put(self, data: bytes) -> None:
        left = memoryview(data)
        try:
            while left:
                left = left[self._file.write(left) :]
        except OSError as exc:
            raise self._refusal(exc) from exc

    def _refusal(self, exc: OSError) -> SystemRefused:
        return SystemRefused(
            f"{printable(self._path)}: cannot be written: {exc.strerror}", exc.errno
        )


def same_file(one: str, other: str) -> bool:
    """Do the two paths lead to one file? Writing would destroy what is read."""
    return Path(one).exists() and Path(other).exists() and os.path.samefile(one, other)
