"""A coroutine for each connection: ``async def handle(stream)``, on the engines asyncio and uvloop.

    transport -> HandlerProtocol -> Stream <- await stream.readline() <- the coroutine, a task

The coroutine may await anything that runs on asyncio: a timer, a queue, a database's driver. When
it returns, its connection is flushed and closed. When the connection is lost or the server stops,
it is cancelled; what it writes then, at a stop, is still sent. An exception that leaves it ends its
connection alone and is logged once; one that is the peer's fault (``PeerError``) closes it.

Of its transport it needs the contract alone, so that layers such as TLS do, too; of the engine
behind it ``start_task``.
"""

from __future__ import annotations

import asyncio
import typing as t
from collections.abc import Callable, Coroutine

from jackfield import limits
from jackfield.errors import JackfieldError, PeerError, TooLong
from jackfield.protocol import Buffer, Protocol


class Stream:
    """One connection as a coroutine uses it. The names are those of asyncio's streams.

    ``transport``: what rooms take (``room.join(stream.transport)``). ``line_limit``: bytes of the
    longest line, its end not counted.

    Both ways are bounded: while a block waits unread here the peer waits in the kernel, and
    ``drain`` waits for a peer that does not read.
    """

    __slots__ = (
        "_buffer",
        "_closed",
        "_ended",
        "_has_room",
        "_paused",
        "_skipping",
        "_unwaited",
        "_waiter",
        "line_limit",
        "transport",
    )

    def __init__(self, transport: t.Any) -> None:
        self.transport = transport
        self.line_limit = limits.LINE_LIMIT
        self._buffer = bytearray()
        self._ended = False  # nothing more comes
        self._closed = False  # by the coroutine itself
        self._paused = False  # the transport does not read
        self._skipping = False  # the rest of a line that was too long
        self._unwaited = 0  # bytes written since other tasks had their turn
        self._waiter: asyncio.Future[None] | None = None
        self._has_room = asyncio.Event()
        self._has_room.set()

    # --- reading ---------------------------------------------------------------------------

    async def read(self, most: int = limits.RECEIVE_SIZE) -> bytes:
        """At least one byte and at most ``most``, as soon as there are any; ``b""`` at the end of
        the stream. Raises ``ValueError`` unless ``most`` is 1 or more."""
        if most < 1:
            raise ValueError(f"read({most}): say how many bytes at most; a peer never need stop")
        while not self._buffer and not self._ended:
            await self._more()
        return self._take(most)

    async def readline(self) -> bytes:
        """A line with its end (LF or CRLF); the last one may have none. ``b""`` at the end of the
        stream. Raises ``TooLong`` for a line beyond ``line_limit``; its rest is discarded, and the
        next call gives the next line."""
        while (size := self._line()) is None:
            await self._more()
        return self._take(size)

    def __aiter__(self) -> Stream:
        """``async for line in stream``: each line as ``readline`` gives it."""
        return self

    async def __anext__(self) -> bytes:
        line = await self.readline()
        if not line:
            raise StopAsyncIteration
        return line

    def _line(self) -> int | None:
        """Bytes of the line in front, with its end; None: it is not whole yet."""
        buffer, limit = self._buffer, self.line_limit
        end = buffer.find(b"\n", 0, limit + 2)
        if end < 0:
            if len(buffer) <= limit + 1 and not self._ended:
                return None
            end = len(buffer)
        if end - buffer.endswith(b"\r", 0, end) <= limit:
            return min(end + 1, len(buffer))
        self._skipping = True
        self._skip()
        raise TooLong(f"a line of more than {limit} bytes")

    def _skip(self) -> None:
        end = self._buffer.find(b"\n")
        self._skipping = end < 0
        del self._buffer[: end + 1 if end >= 0 else None]

    def _take(self, size: int) -> bytes:
        data = bytes(self._buffer[:size])
        if data:
            del self._buffer[:size]
            self.transport.made_progress()
        return data

    async def _more(self) -> None:
        """Wait until something has arrived, or the stream has ended."""
        if self._waiter is not None:
            raise RuntimeError("another coroutine is reading from this stream already")
        if self._paused:
            self._paused = False
            self.transport.resume_reading()
        self._unwaited = 0
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    # --- writing ---------------------------------------------------------------------------

    def write(self, data: Buffer) -> None:
        """Send now what the kernel takes; keep the rest. Nothing happens when the connection is
        closed. Raises ``RuntimeError`` after ``write_eof``."""
        self.transport.write(data)
        self._unwaited += len(data)

    async def drain(self) -> None:
        """Wait while more than the high-water mark is kept: call it after each ``write``."""
        if not self._has_room.is_set() and not self.transport.is_closing():
            await self._has_room.wait()
        elif self._unwaited >= limits.HIGH_WATER or self.transport.is_closing():
            await asyncio.sleep(0)  # the fair share: others have their turn, and a cancellation
        else:
            return
        self._unwaited = 0

    def write_eof(self) -> None:
        """Half-close: flush, then tell the peer that no more comes. Reading goes on."""
        self.transport.write_eof()

    def close(self) -> None:
        """Flush, then close. The coroutine goes on; there is nothing more to read."""
        self._closed = True
        self.transport.close()
        self._buffer.clear()
        self.end()

    def is_closing(self) -> bool:
        """True once closing has begun, by either side."""
        return bool(self.transport.is_closing())

    def get_extra_info(self, name: str, default: t.Any = None) -> t.Any:
        """What the transport knows: "peername", "peer", "sockname", "peercred", ..."""
        return self.transport.get_extra_info(name, default)

    # --- what its protocol tells it --------------------------------------------------------

    def feed(self, data: bytes) -> None:
        """Some bytes arrived."""
        self._buffer += data
        if self._skipping:
            self._skip()
        if len(self._buffer) > max(limits.HIGH_WATER, self.line_limit + 1):
            self._paused = True
            self.transport.pause_reading()
        if self._buffer:
            self._wake()

    def end(self) -> None:
        """No more bytes arrive."""
        self._ended = True
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def room(self, has_room: bool) -> None:
        """The outbox is full, or has room again."""
        if has_room:
            self._has_room.set()
        else:
            self._has_room.clear()

    @property
    def closed_by_handler(self) -> bool:
        """True once the coroutine has called ``close``."""
        return self._closed


Handler: t.TypeAlias = Callable[[Stream], Coroutine[t.Any, t.Any, object]]


class HandlerFactory:
    """Makes a protocol for each connection, which runs ``handle(stream)`` as a task."""

    __slots__ = ("_handle",)

    def __init__(self, handle: Handler) -> None:
        self._handle = handle

    def __call__(self) -> HandlerProtocol:
        return HandlerProtocol(self._handle)


class HandlerProtocol(Protocol):
    """Between the transport and the coroutine's stream."""

    __slots__ = ("_handle", "_stream", "_task", "_transport")

    reports_progress = True
    """What the coroutine has read counts: single bytes of a line extend no deadline."""

    def __init__(self, handle: Handler) -> None:
        self._handle = handle
        self._transport: t.Any = None
        self._stream: t.Any = None
        self._task: t.Any = None

    def connection_made(self, transport: t.Any) -> None:
        self._transport = transport
        self._stream = Stream(transport)
        self._task = transport.engine.start_task(self._handle(self._stream))
        self._task.add_done_callback(self._done)

    def data_received(self, data: bytes) -> None:
        self._stream.feed(data)

    def eof_received(self) -> bool:
        self._stream.end()
        return True  # the coroutine may have something to say yet; its return closes

    def pause_writing(self) -> None:
        self._stream.room(False)

    def resume_writing(self) -> None:
        self._stream.room(True)

    def closing(self, reason: JackfieldError) -> None:
        self._cancel()

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._stream is None or self._task is None:
            return
        self._stream.end()
        self._stream.room(True)
        if not self._stream.closed_by_handler:
            self._cancel()

    def _cancel(self) -> None:
        if not self._task.cancelling():  # once: it may be awaiting something as it cleans up
            self._task.cancel()

    def _done(self, task: asyncio.Task[t.Any]) -> None:
        exc = None if task.cancelled() else task.exception()
        if exc is None:
            self._transport.close()
        elif isinstance(exc, PeerError):
            self._transport.evict(exc)
        elif isinstance(exc, Exception):
            self._transport.callback_failed(exc)
