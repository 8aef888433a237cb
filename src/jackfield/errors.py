"""Every error jackfield raises or closes a connection with, and whose fault each is.

This module imports nothing of jackfield. The tree::

    JackfieldError                fault
    |-- UsageError                "ours"    a wrong argument, option or name: exit status 2
    |   |-- AddressError          text that is no endpoint, or one that does not resolve
    |   `-- DescriptorTooLarge    select(2) was asked to watch a descriptor beyond FD_SETSIZE
    |-- PeerError                 "peer"    the other end broke a rule; its connection alone ends
    |   |-- ProtocolViolation     bytes that are not the protocol
    |   |   |-- TooLong           a line or frame over its bound
    |   |   `-- ProxyHeaderError  a listed proxy did not begin with a PROXY header
    |   |-- TlsError              a handshake that failed, a TLS stream broken or cut short
    |   |-- NotAdmitted           it may not come in: not listed, or too many of its host
    |   |-- FloodError            it sent faster than it may, after a warning
    |   |-- LagError              it read so slowly that its outbox passed the hard limit
    |   `-- DeadlineError         it was idle, or did not log in, for too long
    |-- CaptureError              "peer"    a capture file that is none, is broken or cut short
    |   `-- PacketError             a packet that is; the next one may be read all the same
    |-- ConnectError              either    a connection we asked for failed, or broke under way
    |-- SystemRefused             "system"  the operating system said no (port in use, permission)
    `-- ServerStopping            "ours"    not a failure: this server is shutting down

An error's text is one line for a person: what happened, to which address or option, what to do.
``reason`` is the short word that logs print after ``reason=``.
"""

from __future__ import annotations

import errno


class JackfieldError(Exception):
    """Base of all: ``fault`` is "ours", "peer" or "system"; ``reason`` is a word for logs."""

    fault = "ours"
    reason = "error"


class UsageError(JackfieldError, ValueError):
    """An argument, option or name is wrong; the text shows which and what would be right."""

    reason = "usage"


class AddressError(UsageError):
    """Text that is no endpoint, or a name that does not resolve."""

    reason = "address"


class DescriptorTooLarge(UsageError):
    """A descriptor number that select(2) cannot hold in its fixed-size set."""

    reason = "descriptor-too-large"


class PeerError(JackfieldError):
    """The other end broke a rule. Only its own connection ends."""

    fault = "peer"


class ProtocolViolation(PeerError):
    """The bytes received are not the protocol that is spoken here."""

    reason = "protocol-violation"


class TooLong(ProtocolViolation):
    """A line or frame longer than its bound."""

    reason = "too-long"


class ProxyHeaderError(ProtocolViolation):
    """What a proxy sent first is no header of the PROXY protocol, or a broken one."""

    reason = "proxy-header"


class TlsError(PeerError):
    """TLS with the peer failed: in its handshake, by a broken record, or by an end of the stream
    that the peer did not announce (RFC 8446, 6.1).

    ``reason`` is set for each error: "not-tls", "tls-truncated", "tls-alert-unknown-ca", ...
    """

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class NotAdmitted(PeerError):
    """The peer was connected before it was known that it may not come in.

    ``reason`` is set for each error: "not-a-proxy" or "max-per-host".
    """

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class FloodError(PeerError):
    """The peer kept sending faster than allowed after it was warned."""

    reason = "flood"


class LagError(PeerError):
    """The peer read so slowly that what waits for it passed the hard limit."""

    reason = "lag"


class DeadlineError(PeerError):
    """The peer was idle, or did not log in, for longer than allowed.

    ``reason`` is set for each error: "idle-timeout", "login-timeout", "proxy-timeout"
    or "tls-handshake-timeout".
    """

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class CaptureError(JackfieldError):
    """A capture file that is none, is broken or ends too early: whoever wrote it is at fault."""

    fault = "peer"
    reason = "capture"


class PacketError(CaptureError):
    """A packet whose headers are broken or cut short. The next one may be read all the same."""

    reason = "packet"


class ConnectError(JackfieldError):
    """A connection that we asked for failed, or broke before both sides were done with it.

    ``fault`` is "peer" where the other end refused, reset or fell silent, else "system".
    ``reason`` is the errno's name where there is one.
    """

    reason = "connect"

    def __init__(self, message: str, fault: str = "system", reason: str = "connect") -> None:
        super().__init__(message)
        self.fault = fault
        self.reason = reason


class SystemRefused(JackfieldError):
    """The operating system refused: port in use, no permission, no descriptors left.

    ``errno`` is the system's number, or None where there is none.
    """

    fault = "system"
    reason = "system"

    def __init__(self, message: str, errno: int | None = None) -> None:
        super().__init__(message)
        self.errno = errno


class ServerStopping(JackfieldError):
    """This server is shutting down; handed to ``Protocol.closing`` so that it can say so."""

    reason = "server-stopping"


def reason_of(exc: BaseException) -> str:
    """The short word for logs: an errno's name, a ``JackfieldError``'s reason, or the type.

    >>> reason_of(ConnectionResetError(104, "Connection reset by peer"))
    'ECONNRESET'
    """
    if isinstance(exc, JackfieldError):
        return exc.reason
    if isinstance(exc, OSError) and exc.errno is not None and exc.errno in errno.errorcode:
        return errno.errorcode[exc.errno]
    return type(exc).__name__
