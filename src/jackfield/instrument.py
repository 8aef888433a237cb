"""What tools hang on an engine to see connections come and go. Imports nothing of jackfield.

An engine without instruments pays nothing for them: the hooks are called once per connection,
never per message. The one exception is ``called``, for which an instrument has to ask. Must not
know any engine's insides.
"""

from __future__ import annotations

from jackfield import lazy_typing as t


class SocketCall(t.NamedTuple):
    """One system call on a socket, when it has returned.

    ``at``: when it began, in seconds since 1970. ``task``: the thread's number (gettid(2)).
    ``fd``: the descriptor; ``protocol`` ("tcp", "udp", "unix", ...), ``local`` and ``peer`` say
    what it is, "" where that is not known. ``result``: what it returned, -1 with ``error``, the
    errno's name. ``asked``: how many bytes were to be moved, -1 where it moves none. ``size``: how
    many were. ``seconds``: how long it took, -1 where that is not known. ``detail``: what else it
    was told, an address or an option. ``payload``: the first bytes moved, if they were asked for.
    All texts are safe to print."""

    at: float
    task: int
    call: str
    fd: int
    protocol: str
    local: str
    peer: str
    result: int
    error: str = ""
    asked: int = -1
    size: int = 0
    seconds: float = -1.0
    detail: str = ""
    payload: str = ""


class Instrument:
    """Base of instruments: override what you need. Called in the engine's thread; must not
    block, and must not raise."""

    wants_calls: t.ClassVar[bool] = False
    """True for one that has ``called`` called for every call on every socket. Each then costs some
    microseconds more; without it, nothing. Compiled engines cannot do it, and refuse."""

    payload: int = 0
    """How many of the bytes that were moved ``called`` is to be shown."""

    def called(self, call: SocketCall) -> None:
        """A call on a socket has returned. In the thread that made it; see ``wants_calls``."""

    def connected(self, transport: t.Any) -> None:
        """A connection was accepted or made; ``transport`` is its ``Transport``."""

    def proxied(self, transport: t.Any, via: str) -> None:
        """A proxy said whom it speaks for: ``transport`` has the client's address now, ``via``
        is the proxy's, as text."""

    def disconnected(self, transport: t.Any, exc: BaseException | None, reason: str) -> None:
        """It is over. ``exc`` as for ``connection_lost``; ``reason`` is a word for people:
        "eof", "closed", "aborted", an errno's name, or a ``JackfieldError``'s reason."""

    def refused(self, peer: str, reason: str) -> None:
        """A connection was accepted and closed at once: "max-connections", "max-per-host",
        "max-per-second", "uid" (not in the listener's list) or "descriptor-too-large"."""

    def accept_failed(self, listener: str, exc: OSError) -> None:
        """Accepting failed and pauses for a moment: no descriptors, no memory."""
