"""The client behind ``jackfield connect``: dial an endpoint, then let a session talk.

    Endpoint --resolve--> addresses --dial each in turn--> socket --> Session.run()

Of jackfield's pollers it takes poll(2), else select(2), since it watches whatever standard
input and output are: epoll refuses regular files (EPERM), so that ``< file`` would not work,
and kqueue refuses some terminals. With three descriptors none is faster than another.
Windows' select watches sockets only, so that there is no client there.

Whatever goes wrong is a ``ConnectError`` with one line that names the address. This module
must not know the command line.
"""

from __future__ import annotations

import errno
import os
import socket
import time
import typing as t

from jackfield import limits, pollers
from jackfield.address import AF_UNIX, Address, Endpoint, resolve
from jackfield.errors import ConnectError, UsageError
from jackfield.kernel.datagram_sockets import answers_from_elsewhere, target
from jackfield.kernel.sockets import connect_error, dial
from jackfield.pollers import WRITE, Poller
from jackfield.tools.datagram_session import DatagramSession
from jackfield.tools.session import Session
from jackfield.tools.stream_session import StreamSession

if t.TYPE_CHECKING:  # they load OpenSSL
    from jackfield.tools.tls_session import Expected, TlsClient

PEERS: t.Final = {
    errno.ECONNREFUSED: "connection refused; nobody listens there",
    errno.ECONNRESET: "the peer reset the connection",
    errno.EPIPE: "the peer closed the connection before it had taken all of the input",
    errno.ETIMEDOUT: "timed out; the peer does not answer",
}
"""What the other end did, or left undone."""

SYSTEMS: t.Final = {
    errno.ENETUNREACH: "the network is unreachable; this machine has no route there",
    errno.EHOSTUNREACH: "the host is unreachable",
    errno.EADDRNOTAVAIL: "not an address that can be reached from here, or no local port is left",
    errno.EACCES: "no permission to connect",
    errno.EPERM: "no permission to connect",
    errno.EAFNOSUPPORT: "this system has no such address family",
    errno.EMSGSIZE: "a datagram is longer than the way there or this system allows",
    errno.EMFILE: "this process has no descriptor left; raise its limit (ulimit -n)",
}
"""What the system says instead."""

UNIX: t.Final = {
    errno.ENOENT: "there is no such socket",
    errno.ECONNREFUSED: "connection refused; no server listens on it",
    errno.EAGAIN: "the server's backlog is full; try again later",
    errno.EPROTOTYPE: "it is a socket of the other kind; unix: is for streams, unixgram: for "
    "datagrams",
}
"""What means something else for a Unix socket."""

ONCE_CONNECTED: t.Final = frozenset({errno.ECONNRESET, errno.EPIPE, errno.ENOTCONN})
"""Errors of a connect that succeeded and was reset before we looked, as a full server does it:
a SYN that is answered with a reset is ECONNREFUSED instead (tcp(7), RFC 9293, 3.10.7.3)."""


def converse(
    endpoint: Endpoint, input_fd: int, output_fd: int, tls: Expected | None = None
) -> None:
    """Connect to ``endpoint``; send it what ``input_fd`` gives, write to ``output_fd`` what it
    says, until it ends the connection or nobody reads the output. ``tls``: whom to expect on
    ``tls://`` (by default the host, as an authority of the system's says).

    Raises ``ConnectError`` when it cannot be reached or breaks the connection, ``UsageError``
    for an endpoint that cannot be dialled.
    """
    poller = make_poller()
    encrypted = _encrypted(endpoint, tls) if endpoint.scheme == "tls" else None
    try:
        sock, address, broken = connect(endpoint, poller)
        with sock:
            try:
                session: Session
                if encrypted is not None:
                    encrypted.shake_hands(sock, poller)
                    session = encrypted.session(sock, input_fd, output_fd, poller)
                else:
                    session = _session(sock, address, input_fd, output_fd, poller)
                if broken is not None:
                    session.fail(broken)
                session.run()
            except OSError as exc:
                raise failure(str(address), address.family, exc) from exc
    finally:
        poller.close()


def _session(
    sock: socket.socket, address: Address, input_fd: int, output_fd: int, poller: Poller
) -> Session:
    if sock.type != socket.SOCK_DGRAM:
        return StreamSession(sock, input_fd, output_fd, poller)
    to = target(address) if answers_from_elsewhere(address) else None
    return DatagramSession(sock, input_fd, output_fd, poller, to=to)


def _encrypted(endpoint: Endpoint, expected: Expected | None) -> TlsClient:
    from jackfield.tools.tls_session import Expected

    return (expected or Expected()).client(endpoint)


def make_poller() -> Poller:
    """A poller that takes any descriptor: see the top of this file."""
    return pollers.make("select" if pollers.missing("poll") else "poll")


class Connection(t.NamedTuple):
    """A non-blocking socket that was connected to ``address``. ``broken``: how it broke right
    after; what the peer had said before can still be received."""

    sock: socket.socket
    address: Address
    broken: OSError | None


def connect(
    endpoint: Endpoint, poller: Poller, timeout: float = limits.CONNECT_TIMEOUT
) -> Connection:
    """Connect to the first of the endpoint's addresses that answers within ``timeout`` seconds
    of its own.

    Raises ``ConnectError`` when none does, ``AddressError`` when the name does not resolve,
    ``UsageError`` for an endpoint that nobody can dial.
    """
    _require_dialable(endpoint)
    failures: dict[Address, OSError] = {}
    for address in resolve(endpoint):
        try:
            return _connect_one(address, poller, timeout)
        except OSError as exc:
            failures[address] = exc
    raise _none_answered(endpoint, failures)


def _require_dialable(endpoint: Endpoint) -> None:
    if endpoint.scheme == "fd":
        raise UsageError(f"{endpoint}: is inherited, not dialled; write tcp://, udp:// or unix:")
    if endpoint.scheme in ("tcp", "tls", "udp") and endpoint.port == 0:
        raise UsageError(f"{endpoint}: port 0 is any free port to a server; write its real one")


def _connect_one(address: Address, poller: Poller, timeout: float) -> Connection:
    sock = dial(address)
    try:
        _wait_writable(sock.fileno(), poller, timeout)
        exc = connect_error(sock)
        if exc is not None and exc.errno not in ONCE_CONNECTED:
            raise exc
    except BaseException:
        sock.close()
        raise
    reset = OSError(errno.ECONNRESET, os.strerror(errno.ECONNRESET)) if exc else None
    return Connection(sock, address, reset)


def _wait_writable(fd: int, poller: Poller, timeout: float) -> None:
    deadline = time.monotonic() + timeout
    poller.register(fd, WRITE)
    try:
        while not list(poller.poll(max(0.0, deadline - time.monotonic()))):
            if time.monotonic() >= deadline:
                raise OSError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
    finally:
        poller.unregister(fd)


def _none_answered(endpoint: Endpoint, failures: dict[Address, OSError]) -> ConnectError:
    """One line for all: the reason they share, or each address with its own."""
    last_address, last = list(failures.items())[-1]
    if len({exc.errno for exc in failures.values()}) == 1:
        return failure(str(endpoint), last_address.family, last)
    each = "; ".join(
        f"{address} {_meaning(address.family, exc)[1]}" for address, exc in failures.items()
    )
    return ConnectError(f"{endpoint}: no address of it answers: {each}")


def failure(name: str, family: int, exc: OSError) -> ConnectError:
    """What ``exc`` means for the connection to ``name``, in one line for a person."""
    fault, text = _meaning(family, exc)
    return ConnectError(f"{name}: {text}", fault, errno.errorcode.get(exc.errno or 0, "connect"))


def _meaning(family: int, exc: OSError) -> tuple[str, str]:
    """Whose fault it is, and what happened."""
    number = exc.errno or 0
    special = UNIX.get(number) if family == AF_UNIX else None
    if number in PEERS:
        return "peer", special or PEERS[number]
    return "system", special or SYSTEMS.get(number) or exc.strerror or str(exc)


def fill_standard_descriptors() -> tuple[int, int]:
    """The numbers of standard input and output, opened on the null device where the caller had
    closed them (``<&-``). Otherwise the socket would get their number and talk to itself."""
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number, which is fd
    return 0, 1
