r"""The output of strace(1) as socket calls: bytes in, ``SocketCall``\ s out.

    4711 1795275448.407389 sendto(4<TCP:[127.0.0.1:39590->127.0.0.1:38611]>, "hi\n", 3, ...) = 3 <0.000067>
    4711 1795275448.407930 recvfrom(4<TCP:[...]>,  <unfinished ...>
    4711 1795275448.408321 <... recvfrom resumed>"hi\n", 100, 0, NULL, NULL) = 3 <0.000391>

That is what ``strace -f -ttt -T -yy`` writes. Calls on what is no socket are left out, as are signals
and exits. A line that is none of these is counted in ``unknown`` and passed over.

Paths and payloads in it come from strangers. strace escapes them as C does, in quotes, so that a
quote, a line end or an angle bracket of theirs is never taken for one of strace's own; what
``strace_words`` cuts a line into respects that. Must not know processes or how strace is run.
"""  # noqa: E501

from __future__ import annotations

import re
import typing as t
from collections.abc import Iterator

from jackfield.endpoint import printable
from jackfield.instrument import SocketCall
from jackfield.tools import strace_words as words

LINE_LIMIT: t.Final = 1024 * 1024
"""Longest line: a sendmmsg of 1,024 messages (UIO_MAXIOV) takes some 300 bytes for each."""

UNFINISHED: t.Final = 65536
"""Threads that may be in a call at the same time; a thread's entry ends with it."""

_HEAD: t.Final = re.compile(r"(\d{1,10})\s+(\d{1,12}\.\d{1,9}) (.*)", re.DOTALL)
_RESUMED: t.Final = re.compile(r"<\.\.\. (\w+) resumed>(.*)", re.DOTALL)
_END: t.Final = re.compile(
    r"=\s+(-?\d{1,20}|0x[0-9a-f]{1,16}|\?)"  # what it returned
    r"(.*)",  # of a descriptor what it is, or the errno's name and text
    re.DOTALL,
)
_SPENT: t.Final = re.compile(r"\d{1,9}\.\d{1,9}>")
_ERRNO: t.Final = re.compile(r"\s*(E[A-Z0-9]{1,30})\b")

RECEIVING: t.Final = frozenset({"read", "readv", "recv", "recvfrom", "recvmsg", "recvmmsg"})
SENDING: t.Final = frozenset({"write", "writev", "send", "sendto", "sendmsg", "sendmmsg"})
MOVING: t.Final = RECEIVING | SENDING | {"sendfile", "sendfile64", "splice"}
"""Calls that return how many bytes they moved, but for the two with "mm": they return messages."""

PLAIN: t.Final = frozenset({"read", "recv", "recvfrom", "write", "send", "sendto"})
"""Those whose arguments are descriptor, bytes, how many."""

TRACED: t.Final = ("%network", *sorted({*MOVING, "close"} - {"recv", "send", "sendfile64"}))
"""What to have strace trace: %network are all calls that make or use sockets alone."""


class StraceLines:
    """Feed it what strace wrote, in pieces of any size. ``unknown`` counts what was no line of
    strace's, ``first`` is the process of the first line (0: none came yet)."""

    def __init__(self) -> None:
        self._rest = b""
        self._skipping = False  # the rest of a line that was too long
        self._unfinished: dict[int, tuple[float, str]] = {}
        self.unknown = 0
        self.first = 0

    def feed(self, data: bytes) -> Iterator[SocketCall]:
        """The calls that ``data`` completes. Bytes after the last line end are kept."""
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()
        for line in lines:
            if self._skipping:
                self._skipping = False
            elif len(line) > LINE_LIMIT:
                self.unknown += 1
            else:
                yield from self._line(line.decode("ascii", "backslashreplace"))
        if len(self._rest) > LINE_LIMIT:
            self.unknown += not self._skipping
            self._rest, self._skipping = b"", True

    def _line(self, line: str) -> Iterator[SocketCall]:
        head = _HEAD.fullmatch(line)
        if head is None:
            self.unknown += bool(line)
            return
        task, at, text = int(head[1]), float(head[2]), head[3]
        self.first = self.first or task
        if text.startswith(("+++", "---")):
            if text.startswith("+++"):
                self._unfinished.pop(task, None)
            return
        if text.endswith("<unfinished ...>"):
            if len(self._unfinished) < UNFINISHED or task in self._unfinished:
                self._unfinished[task] = (at, text.removesuffix("<unfinished ...>"))
            return
        resumed = _RESUMED.fullmatch(text)
        if resumed is not None:
            began = self._unfinished.pop(task, None)
            if began is None or not began[1].startswith(resumed[1] + "("):
                return  # it was in this call already when strace came
            at, text = began[0], began[1] + resumed[2]
        try:
            call = parse(task, at, text)
        except ValueError:
            self.unknown += 1
            return
        if call is not None:
            yield call


def parse(task: int, at: float, text: str) -> SocketCall | None:
    """A whole call; None where it is none on a socket, ``ValueError`` where it is no call."""
    name, arguments, rest = words.split_call(text)
    returned, about, seconds = _result(rest.strip())
    which = _descriptor(name, arguments, returned, about)
    if which is None:
        return None
    result = _number(returned)
    error = _ERRNO.match(about) if result < 0 else None
    special = _special(arguments)
    return SocketCall(
        at=at,
        task=task,
        call=name + special,
        fd=which.fd,
        protocol=printable(which.protocol),
        local=printable(which.local),
        peer=printable(which.peer),
        result=result,
        error=error[1] if error else "",
        asked=_asked(name, arguments),
        size=0 if special else _size(name, result, arguments),
        seconds=seconds,
        detail=printable(_detail(name, arguments, about)),
        payload=printable(words.payload(name, arguments), LINE_LIMIT),
    )


def _result(text: str) -> tuple[str, str, float]:
    """``= 5<TCP:[...]> <0.000391>``: what it returned, what that is, and the time spent."""
    before, found, spent = text.rpartition(" <")
    seconds = -1.0
    if found and _SPENT.fullmatch(spent):
        text, seconds = before, float(spent[:-1])
    end = _END.fullmatch(text)
    if end is None:
        raise ValueError("no result")
    return end[1], end[2].rstrip(), seconds


def _number(returned: str) -> int:
    """ "?" is what a call returned that did not return: its process ended."""
    return -1 if returned == "?" else int(returned, 0)


def _descriptor(
    name: str, arguments: list[str], returned: str, about: str
) -> words.Descriptor | None:
    """The first socket among the arguments, or what the call made."""
    for argument in arguments:
        found = words.descriptor(argument)
        if found is not None:
            return found
    if name == "socketpair" and arguments:
        return words.pair(arguments[-1])
    if name == "socket":
        return words.descriptor(returned + about) or words.Descriptor(-1, "", "", "")
    return None


SPECIAL: t.Final = ("MSG_PEEK", "MSG_ERRQUEUE")
"""Flags of calls that take nothing, or not from the stream."""


def _special(arguments: list[str]) -> str:
    """``(MSG_PEEK)``, as in ``kernel.traced_socket``; flags are never in quotes or brackets."""
    flags = [flag for argument in arguments[2:] for flag in argument.split("|") if flag in SPECIAL]
    return f"({'|'.join(flags)})" if flags else ""


def _asked(name: str, arguments: list[str]) -> int:
    if name in PLAIN and len(arguments) > 2 and arguments[2].isdecimal():
        return int(arguments[2][:20])
    return -1


def _size(name: str, result: int, arguments: list[str]) -> int:
    if name not in MOVING or result < 0:
        return 0
    return words.messages_size(arguments) if "mmsg" in name else result


def _detail(name: str, arguments: list[str], about: str) -> str:
    """What else is worth a word: an address, an option, how a connection was shut down."""
    if name.startswith("accept"):
        made = words.descriptor("0" + about)
        return (made.peer or made.local) if made else ""
    if name in ("bind", "connect", "sendto", "recvfrom", "sendmsg", "recvmsg"):
        return words.address(arguments)
    if name in ("setsockopt", "getsockopt"):
        return " ".join(arguments[2:4])
    return arguments[1] if name in ("listen", "shutdown") and len(arguments) > 1 else ""
