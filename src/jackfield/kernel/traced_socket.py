"""A socket that tells instruments of every call on it, for ``jackfield serve --trace``.

It stands in front of the socket that does the work: the calls that move bytes or change the
connection are measured and reported, all else is handed on. What it accepts is traced, too. So an
engine calls ``traced`` once where a socket enters, its hot path knows nothing of it, and where no
instrument wants calls there is no such object at all.

Must not know engines or how a trace is shown.
"""

from __future__ import annotations

import socket
import threading
import time
import typing as t
from collections.abc import Callable, Sequence

from jackfield.address import AF_UNIX, format_sockaddr
from jackfield.endpoint import printable
from jackfield.errors import reason_of
from jackfield.instrument import Instrument, SocketCall

AnySocket = t.TypeVar("AnySocket", bound=socket.socket)

_FLAGS: t.Final = tuple(
    (value, name) for name in ("MSG_PEEK", "MSG_ERRQUEUE") if (value := getattr(socket, name, 0))
)
"""Flags that change what a call means: nothing is taken, or not from the stream."""

HOWS: t.Final = {
    socket.SHUT_RD: "SHUT_RD",
    socket.SHUT_WR: "SHUT_WR",
    socket.SHUT_RDWR: "SHUT_RDWR",
}


def traced(sock: AnySocket, instruments: Sequence[Instrument]) -> AnySocket:
    """``sock`` itself, or where one of ``instruments`` wants calls, one that reports them."""
    watching = [instrument for instrument in instruments if instrument.wants_calls]
    if not watching or isinstance(sock, TracedSocket):
        return sock
    return t.cast(AnySocket, TracedSocket(sock, watching))


def protocol_of(sock: socket.socket) -> str:
    """ "tcp", "udp", "unix" or "unixgram"; for other families their number."""
    stream = sock.type != socket.SOCK_DGRAM
    if sock.family == AF_UNIX:
        return "unix" if stream else "unixgram"
    if sock.family in (socket.AF_INET, socket.AF_INET6):
        return "tcp" if stream else "udp"
    return f"family {int(sock.family)}"


class TracedSocket:
    """Behaves like ``sock``, and tells ``instruments``."""

    def __init__(self, sock: socket.socket, instruments: Sequence[Instrument]) -> None:
        self._sock = sock
        self._instruments = instruments
        self._payload = max(instrument.payload for instrument in instruments)
        self._fd = sock.fileno()
        self._protocol = protocol_of(sock)
        self._local = self._name(sock.getsockname)
        self._peer = self._name(sock.getpeername)

    def __getattr__(self, name: str) -> t.Any:
        return getattr(self._sock, name)

    def __enter__(self) -> t.Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def _name(self, ask: Callable[[], t.Any]) -> str:
        try:
            return format_sockaddr(self._sock.family, ask())
        except OSError:  # not bound, or not connected
            return ""

    # --- the calls that are reported -----------------------------------------------------------

    def accept(self) -> tuple[t.Any, t.Any]:
        def done(result: tuple[socket.socket, t.Any]) -> _Done:
            sock, peername = result
            return _Done(sock.fileno(), detail=format_sockaddr(sock.family, peername))

        sock, peername = self._call("accept", self._sock.accept, (), done)
        return TracedSocket(sock, self._instruments), peername

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        name = _name_with("recv", flags)
        data: bytes = self._call(name, self._sock.recv, (size, flags), _Done.moved, asked=size)
        return data

    def recvfrom(self, size: int, flags: int = 0, /) -> tuple[bytes, t.Any]:
        def done(result: tuple[bytes, t.Any]) -> _Done:
            return _Done.moved(result[0], detail=self._other(result[1]))

        name = _name_with("recvfrom", flags)
        found: tuple[bytes, t.Any] = self._call(
            name, self._sock.recvfrom, (size, flags), done, asked=size
        )
        return found

    def recvmsg(self, size: int, space: int = 0, flags: int = 0, /) -> t.Any:
        def done(result: tuple[bytes, t.Any, int, t.Any]) -> _Done:
            return _Done.moved(result[0], detail=self._other(result[3]))

        name = _name_with("recvmsg", flags)
        return self._call(name, self._sock.recvmsg, (size, space, flags), done, asked=size)

    def send(self, data: t.Any, flags: int = 0, /) -> int:
        sent: int = self._call(
            "send",
            self._sock.send,
            (data, flags),
            lambda sent: _Done(sent, sent, data),
            asked=_size(data),
        )
        return sent

    def sendmsg(self, buffers: t.Any, ancillary: t.Any = (), flags: int = 0, *to: t.Any) -> int:
        first = buffers[0] if buffers else b""
        sent: int = self._call(
            "sendmsg",
            self._sock.sendmsg,
            (buffers, ancillary, flags, *to),
            lambda sent: _Done(sent, sent, first),
            asked=sum(map(_size, buffers)),
        )
        return sent

    def sendto(self, data: t.Any, *flags_and_address: t.Any) -> int:
        sent: int = self._call(
            "sendto",
            self._sock.sendto,
            (data, *flags_and_address),
            lambda sent: _Done(sent, sent, data),
            asked=_size(data),
            detail=self._other(flags_and_address[-1]),
        )
        return sent

    def shutdown(self, how: int, /) -> None:
        self._call("shutdown", self._sock.shutdown, (how,), detail=HOWS.get(how, str(how)))

    def close(self) -> None:
        if self._sock.fileno() >= 0:  # else it is closed already, or its owner is another one now
            self._call("close", self._sock.close, ())

    # --- reporting -----------------------------------------------------------------------------

    def _call(
        self,
        name: str,
        function: Callable[..., t.Any],
        arguments: tuple[t.Any, ...],
        judge: Callable[[t.Any], _Done] = lambda _nothing: _Done(0),
        *,
        asked: int = -1,
        detail: str = "",
    ) -> t.Any:
        """Do it and report it; ``judge`` says what came of it."""
        at, began = time.time(), time.perf_counter()
        try:
            result = function(*arguments)
        except OSError as exc:
            took = time.perf_counter() - began
            failed = _Done(-1, detail=detail)
            self._tell(name, failed, at=at, took=took, asked=asked, error=reason_of(exc))
            raise
        took = time.perf_counter() - began
        done = judge(result)
        done = done._replace(detail=done.detail or detail)
        self._tell(name, done, at=at, took=took, asked=asked)
        return result

    def _tell(
        self, name: str, done: _Done, *, at: float, took: float, asked: int, error: str = ""
    ) -> None:
        call = SocketCall(
            at=at,
            task=threading.get_native_id(),
            call=name,
            fd=self._fd,
            protocol=self._protocol,
            local=self._local,
            peer=self._peer,
            result=done.number,
            error=error,
            asked=asked,
            size=0 if name.endswith(")") else done.size,
            seconds=took,
            detail=done.detail,
            payload=self._shown(done),
        )
        for instrument in self._instruments:
            instrument.called(call)

    def _shown(self, done: _Done) -> str:
        """The first of the bytes that were moved, one character for each."""
        if not self._payload or not done.size:
            return ""
        first = bytes(memoryview(done.data).cast("B")[: min(self._payload, done.size)])
        return printable(first.decode("latin-1"), 4 * self._payload)

    def _other(self, name: t.Any) -> str:
        """A datagram's other end."""
        return format_sockaddr(self._sock.family, name) if name else ""


class _Done(t.NamedTuple):
    """What came of a call: the number that it returned, the bytes that it moved, and which."""

    number: int
    size: int = 0
    data: t.Any = b""
    detail: str = ""

    @classmethod
    def moved(cls, data: bytes, detail: str = "") -> _Done:
        """``data`` was received."""
        return cls(len(data), len(data), data, detail)


def _size(data: t.Any) -> int:
    return memoryview(data).nbytes


def _name_with(name: str, flags: int) -> str:
    """``recv(MSG_PEEK)``: a call that takes nothing is none of those that move bytes."""
    special = "|".join(text for value, text in _FLAGS if flags & value)
    return f"{name}({special})" if special else name
