"""Sockets made ready for an engine: listeners, datagram sockets, adopted and dialled ones.

Every socket returned is non-blocking and close-on-exec. What the system refuses becomes a
``SystemRefused`` with one line for people and the ``errno`` (``refusals``). One endpoint may
be several sockets: ``tcp://:8888`` is one for IPv4 and one for IPv6, with the same port.

This module must not know pollers, transports, engines or protocols.
"""

from __future__ import annotations

import errno
import os
import socket
import sys
from collections.abc import Callable

from jackfield import lazy_typing as t
from jackfield import limits
from jackfield.address import AF_UNIX, Address, Endpoint, resolve
from jackfield.errors import SystemRefused, UsageError
from jackfield.kernel.options import (
    INHERITS_OPTIONS,
    TRAFFIC_CLASS_SPACE,
    accepts,
    claim_port,
    clamped_backlog,
    descriptor_limit,
    one_family,
    pending_error,
    received_traffic_class,
    set_traffic_class,
    tune_stream,
)

if t.TYPE_CHECKING:
    from jackfield.kernel.unix_sockets import FileIdentity

__all__ = [
    "INHERITS_OPTIONS",
    "TRAFFIC_CLASS_SPACE",
    "Listener",
    "adopt",
    "bind_datagram",
    "bind_datagram_all",
    "connect_error",
    "descriptor_limit",
    "dial",
    "listen",
    "listen_all",
    "received_traffic_class",
    "set_traffic_class",
    "tune_stream",
]

PORT_TRIES: t.Final = 16
"""Ports tried until one is free in every family. The kernel picks among some 28,000; were half
of them taken in the other family, one start in 65,000 would fail."""

ABSENT: t.Final = frozenset(
    {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT, errno.EINVAL}
)
"""What bind(2) says of an address or family that this machine does not have (EINVAL: an IPv6
link-local address without its interface)."""

IN_PROGRESS: t.Final = frozenset(
    {0, errno.EINPROGRESS, errno.EINTR, *([errno.EWOULDBLOCK] if sys.platform == "win32" else [])}
)
"""A connect that is under way. Not EAGAIN: for a Unix socket it means "backlog full", for TCP
"no port left", and neither will change (connect(2))."""


class Listener:
    """A listening stream socket. ``address`` has the real port where 0 was asked for.

    ``backlog`` is the kernel's, ``backlog_asked`` the caller's. ``file`` is the Unix socket's
    file that ``close`` removes if it is still ours. ``uids``: the only users who may connect;
    None: whoever can. ``process`` opened it: in another one, forked from that, it is shared.
    """

    __slots__ = ("address", "backlog", "backlog_asked", "file", "process", "sock", "uids")

    def __init__(
        self,
        sock: socket.socket,
        address: Address,
        backlog: int,
        backlog_asked: int,
        *,
        file: FileIdentity | None = None,
        uids: frozenset[int] | None = None,
    ) -> None:
        self.sock = sock
        self.address = address
        self.backlog = backlog
        self.backlog_asked = backlog_asked
        self.file = file
        self.uids = uids
        self.process = os.getpid()

    def refusal(self, accepted: socket.socket) -> str | None:
        """Why a connection that was accepted here must be closed at once, as the word for logs
        ("uid"), or None. An engine asks it of every connection."""
        if self.uids is None:
            return None
        from jackfield.kernel.peercred import peer_credentials

        peer = peer_credentials(accepted)
        return None if peer is not None and peer.uid in self.uids else "uid"

    def fileno(self) -> int:
        """The descriptor; -1 once closed."""
        return self.sock.fileno()

    def close(self) -> None:
        """Stop listening; what waits in the backlog is refused. Safe to call twice."""
        if self.file is not None:
            from jackfield.kernel.unix_sockets import unlink_if_ours

            unlink_if_ours(self.file)
            self.file = None
        self.sock.close()


class _Closable(t.Protocol):
    def close(self) -> None: ...


if t.TYPE_CHECKING:
    Opened = t.TypeVar("Opened", bound=_Closable)


def listen(
    address: Address,
    backlog: int = limits.BACKLOG,
    *,
    reuse_port: bool = False,
    nodelay: bool = True,
    keepalive: bool = True,
) -> Listener:
    """Listen on one address (tcp, unix, or an inherited fd).

    ``backlog``: connections the kernel completes before they are accepted. ``reuse_port``:
    share a TCP port with other listeners. ``nodelay``, ``keepalive``: see ``tune_stream``.
    Raises ``SystemRefused`` or ``UsageError``.
    """
    if address.scheme == "fd":
        _require(address, address.type == socket.SOCK_STREAM, "is no stream socket")
        return t.cast(Listener, adopt(address, backlog, nodelay=nodelay, keepalive=keepalive))
    _require(address, address.type == socket.SOCK_STREAM, "cannot listen; write tcp:// or unix:")
    asked = max(0, min(backlog, 2**31 - 1))  # listen(2) takes an int
    file = None
    uids = _uids(address)
    try:
        if address.family == AF_UNIX:
            from jackfield.kernel.unix_sockets import listen_unix, mode_of

            sock, file = listen_unix(address, asked, mode_of(address))
        else:
            options = {"nodelay": nodelay, "keepalive": keepalive}
            sock = _listen_tcp(address, asked, reuse_port, options)
    except OSError as exc:
        raise _refusal(address, exc) from exc
    sock.setblocking(False)
    here = address if file else address.bound(sock)
    return Listener(sock, here, clamped_backlog(asked), backlog, file=file, uids=uids)


def _refusal(address: Address, exc: OSError) -> SystemRefused:
    from jackfield.kernel.refusals import refusal

    return refusal(address, exc)


def _uids(address: Address) -> frozenset[int] | None:
    """The users of the address's ``uid`` option."""
    text = address.option("uid")
    if text is None:
        return None
    from jackfield.kernel.peercred import can_tell

    _require(address, can_tell(), "option uid: this system does not tell who connects")
    return frozenset(int(uid) for uid in text.split(","))


def _listen_tcp(
    address: Address, backlog: int, reuse_port: bool, options: dict[str, bool]
) -> socket.socket:
    sock = socket.socket(address.family, address.type)
    try:
        tune_stream(sock, **options)  # before listen: a connection accepted at once has them too
        claim_port(sock, reuse_port=reuse_port)
        one_family(sock)
        sock.bind(address.sockaddr)
        sock.listen(backlog)
    except BaseException:
        sock.close()
        raise
    return sock


def listen_all(
    endpoint: Endpoint,
    backlog: int = limits.BACKLOG,
    *,
    reuse_port: bool = False,
    nodelay: bool = True,
    keepalive: bool = True,
) -> list[Listener]:
    """Listen on every address of ``endpoint``, all with the same port; arguments as ``listen``.

    Addresses this machine does not have (no IPv6) are left out if there is another. When one
    is refused, all are closed. Raises ``AddressError``, ``SystemRefused`` or ``UsageError``.
    """

    def open_one(address: Address) -> Listener:
        return listen(address, backlog, reuse_port=reuse_port, nodelay=nodelay, keepalive=keepalive)

    return _open_all(resolve(endpoint, passive=True), open_one, lambda one: one.address.port)


def bind_datagram(address: Address) -> socket.socket:
    """A datagram socket bound to ``address`` (udp, unixgram), or the one inherited as an fd.

    Raises ``SystemRefused`` or ``UsageError``.
    """
    wanted = "is no datagram socket; write udp:// or unixgram:"
    _require(address, address.type == socket.SOCK_DGRAM, wanted)
    if address.scheme == "fd":
        return t.cast(socket.socket, adopt(address))
    from jackfield.kernel.datagram_sockets import open_bound

    try:
        sock = open_bound(address)
    except OSError as exc:
        raise _refusal(address, exc) from exc
    sock.setblocking(False)
    return sock


def bind_datagram_all(endpoint: Endpoint) -> list[socket.socket]:
    """A datagram socket for every address of ``endpoint``, all with the same port; as
    ``listen_all``."""
    return _open_all(
        resolve(endpoint, passive=True), bind_datagram, lambda sock: Address.of(sock).port
    )


def _open_all(
    addresses: list[Address], open_one: Callable[[Address], Opened], port: Callable[[Opened], int]
) -> list[Opened]:
    """Open every address, again with another port while the one the kernel chose is taken."""
    any_port = len(addresses) > 1 and addresses[0].port == 0
    for tries_left in range(PORT_TRIES - 1, -1, -1):
        try:
            return _open_once(addresses, open_one, port if any_port else None)
        except SystemRefused as exc:
            if not (any_port and tries_left and exc.errno == errno.EADDRINUSE):
                raise
    raise AssertionError("the last try returns or raises")


def _open_once(
    addresses: list[Address],
    open_one: Callable[[Address], Opened],
    port: Callable[[Opened], int] | None,
) -> list[Opened]:
    """Open every address; with ``port``, those after the first on the first one's port."""
    opened: list[Opened] = []
    absent: SystemRefused | None = None
    try:
        for wanted in addresses:
            address = wanted.with_port(port(opened[0])) if port and opened else wanted
            try:
                opened.append(open_one(address))
            except SystemRefused as exc:
                if exc.errno not in ABSENT:
                    raise
                absent = absent or exc
        if absent and not opened:
            raise absent
    except BaseException:
        for one in opened:
            one.close()
        raise
    return opened


def adopt(
    address: Address,
    backlog: int = limits.BACKLOG,
    *,
    nodelay: bool = True,
    keepalive: bool = True,
) -> Listener | socket.socket:
    """Take over the inherited socket of an ``fd://`` address: a ``Listener`` for a listening
    stream socket, whose backlog is set anew, or a bound datagram socket.

    Its Unix file belongs to who made it and is never unlinked. The descriptor is closed with
    what is returned. Raises ``UsageError``, leaving it open, when it is neither of the two.
    """
    sock = socket.socket(fileno=address.fd)
    try:
        here = _inherited(sock, address)
        if sock.type == socket.SOCK_DGRAM:
            _require(address, not address.tls, "is a datagram socket, and TLS is for streams")
            bound = here.port != 0 if sock.family != AF_UNIX else bool(here.sockaddr)
            _require(address, bound, "is a datagram socket that is not bound")
        else:
            _require(address, sock.type == socket.SOCK_STREAM, "is no stream or datagram socket")
            _require(address, accepts(sock), "is a stream socket that does not listen")
    except BaseException:
        sock.detach()
        raise
    sock.setblocking(False)
    os.set_inheritable(sock.fileno(), False)
    if sock.type == socket.SOCK_DGRAM:
        return sock
    sock.listen(max(0, min(backlog, 2**31 - 1)))
    tune_stream(sock, nodelay=nodelay, keepalive=keepalive)
    return Listener(sock, here, clamped_backlog(backlog), backlog)


def _inherited(sock: socket.socket, address: Address) -> Address:
    """Where ``sock`` is bound, with the options that were given to it as ``address``."""
    here = Address.of(sock)
    scheme = "tls" if address.tls and here.scheme == "tcp" else here.scheme
    return here._replace(scheme=scheme, options=address.options)


def _require(address: Address, condition: bool, otherwise: str) -> None:
    if not condition:
        raise UsageError(f"{address}: {otherwise}")


def dial(address: Address, *, nodelay: bool = True, keepalive: bool = True) -> socket.socket:
    """Begin to connect to ``address``; the socket is writable when that has succeeded or failed,
    which ``connect_error`` tells. Raises ``OSError`` for a failure that is known at once.

    Where ``answers_from_elsewhere`` (multicast, broadcast) the socket stays unconnected."""
    _require(address, address.scheme != "fd", "is inherited; there is nothing to connect to")
    sock = socket.socket(address.family, address.type)
    try:
        sock.setblocking(False)
        tune_stream(sock, nodelay=nodelay, keepalive=keepalive)
        from jackfield.kernel.datagram_sockets import answers_from_elsewhere, prepare_dial

        prepare_dial(sock, address)
        if answers_from_elsewhere(address):
            return sock
        code = sock.connect_ex(address.sockaddr)
        if code not in IN_PROGRESS:
            raise OSError(code, os.strerror(code))
    except BaseException:
        sock.close()
        raise
    return sock


def connect_error(sock: socket.socket) -> OSError | None:
    """Why the connect that ``dial`` began failed, once the socket is writable; None: it stands.

    A TCP socket can connect to itself when nobody listens on a port of the ephemeral range and
    the kernel happens to choose that port as its own. That is a refusal, not a connection.
    """
    code = pending_error(sock)
    if not code and sock.type == socket.SOCK_STREAM and sock.family != AF_UNIX:
        try:
            code = errno.ECONNREFUSED if sock.getsockname() == sock.getpeername() else 0
        except OSError as exc:  # reset since
            code = exc.errno or errno.ENOTCONN
    return OSError(code, os.strerror(code)) if code else None
