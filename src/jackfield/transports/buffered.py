"""Protocols that bring their own buffer: ``get_buffer`` and ``buffer_updated``, as in asyncio.

A transport that can receives straight into that buffer (``filling`` is true then); any other, such
as a TLS layer, copies into it what it has. Must not know sockets or engines.
"""

from __future__ import annotations

from jackfield import lazy_typing as t
from jackfield import limits


def is_buffered(protocol: object) -> bool:
    """Does it bring its own buffer? One that also takes ``bytes`` is given those."""
    return not hasattr(protocol, "data_received") and hasattr(protocol, "get_buffer")


def ask_for_buffer(protocol: t.Any, size: int = limits.RECEIVE_SIZE) -> memoryview:
    """Where the next bytes go: a view of bytes, of any size but none.

    Raises ``RuntimeError`` for an empty buffer, ``BufferError`` for one that cannot be written to,
    and what ``get_buffer`` or a view of its answer raises.
    """
    buffer = memoryview(protocol.get_buffer(size)).cast("B")
    if buffer.readonly:
        raise BufferError("get_buffer() returned a buffer that cannot be written to")
    if not buffer:
        raise RuntimeError("get_buffer() returned an empty buffer")
    return buffer


def give(transport: t.Any, protocol: t.Any, data: bytes) -> None:
    """Hand ``data`` to a protocol of either kind; to one with a buffer as long as ``transport`` is
    not closing."""
    if not is_buffered(protocol):
        protocol.data_received(data)
        return
    rest = memoryview(data)
    while rest and not transport.is_closing():
        buffer = ask_for_buffer(protocol, len(rest))
        count = min(len(buffer), len(rest))
        buffer[:count] = rest[:count]
        buffer.release()  # who resizes its buffer in between may do so
        protocol.buffer_updated(count)
        rest = rest[count:]


class Filler:
    """Receives ``bytes`` in the place of a protocol that brings its own buffer."""

    __slots__ = ("protocol", "transport")

    def __init__(self, transport: t.Any, protocol: t.Any) -> None:
        self.transport = transport
        self.protocol = protocol

    def data_received(self, data: bytes) -> None:
        give(self.transport, self.protocol, data)

    def eof_received(self) -> t.Any:
        return self.protocol.eof_received()
