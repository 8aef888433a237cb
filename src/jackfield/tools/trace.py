"""Socket calls for people: a line each, a JSON object each, or counted by descriptor.

    12:30:48.407507  4711 sendto     4  7/7      67us  tcp 127.0.0.1:39590->127.0.0.1:38611

They come from strace (``tools.strace``) or from our own server (``CallTrace``), and are alike.
Must not know where the text goes.
"""

from __future__ import annotations

import dataclasses
import json
import time
import typing as t
from collections import Counter
from collections.abc import Callable

from jackfield.instrument import Instrument, SocketCall
from jackfield.log import log
from jackfield.tools.strace_lines import RECEIVING

ROWS: t.Final = 10_000
"""Descriptors that a summary counts one by one; a server may have seen millions. The rest are
counted together."""

WIDE: t.Final = 100
"""Columns from which on a line has all there is."""

HEADER: t.Final = "TIME               PID CALL         FD  RESULT           SPENT  SOCKET"
NARROW_HEADER: t.Final = "TIME   CALL         FD RESULT      SOCKET"


def line(call: SocketCall) -> str:
    """The call in one line: when, thread, call, descriptor, bytes moved of those asked for or
    what it returned or the error, time spent, and the 5-tuple."""
    second, micro = divmod(round(call.at * 1e6), 10**6)
    clock = time.strftime("%H:%M:%S", time.localtime(second))
    return (
        f"{clock}.{micro:06} {call.task:>6} {call.call:<11} {_fd(call):>3}  "
        f"{outcome(call):<14} {spent(call.seconds):>7}  {_where(call)}"
    ).rstrip()


def narrow_line(call: SocketCall) -> str:
    """The same for fewer columns: time within the minute, no thread, no time spent, the other
    end alone."""
    second, milli = divmod(round(call.at * 1e3), 10**3)
    clock = time.strftime("%S", time.localtime(second))
    return (
        f"{clock}.{milli:03} {call.call:<11} {_fd(call):>3} {outcome(call):<11} "
        f"{_other_end(call)}{_shown(call)}"
    ).rstrip()


def _fd(call: SocketCall) -> str:
    return str(call.fd) if call.fd >= 0 else "-"


def outcome(call: SocketCall) -> str:
    """``12/100`` bytes, ``fd 5`` accepted, ``EAGAIN``, or ``0``; ``?`` for a call whose process
    ended in it."""
    if call.error or call.result < 0:
        return call.error or "?"
    if call.asked >= 0:
        return f"{call.result}/{call.asked}"
    return f"fd {call.result}" if call.call in ("accept", "accept4", "socket") else str(call.result)


def spent(seconds: float) -> str:
    """``67us``, ``1.2ms``, ``3.4s``; "" where it is not known."""
    if seconds < 0:
        return ""
    for scale, unit in ((1e6, "us"), (1e3, "ms")):
        if seconds * scale < 1000:
            return f"{seconds * scale:.3g}{unit}"
    return f"{seconds:.4g}s"


def place(protocol: str, local: str, peer: str) -> str:
    """``tcp 127.0.0.1:8888->127.0.0.1:63062``, as much as is known of it."""
    arrow = "->" if peer else ""
    name = "" if local.startswith("unix") else f"{protocol} "
    return f"{name}{local}{arrow}{peer}".rstrip()


TO_SOMEBODY: t.Final = frozenset(
    {"accept", "accept4", "connect", "recvfrom", "recvmsg", "sendmsg", "sendto"}
)
"""Calls whose detail is the address of the other end."""


def _other_end(call: SocketCall) -> str:
    other = call.peer or (call.detail if call.call in TO_SOMEBODY else "")
    return f"->{other}" if other else call.local or call.detail or call.protocol


def _where(call: SocketCall) -> str:
    if call.call in TO_SOMEBODY:
        return place(call.protocol, call.local, call.peer or call.detail) + _shown(call)
    detail = f"  {call.detail}" if call.detail else ""
    return place(call.protocol, call.local, call.peer) + detail + _shown(call)


def _shown(call: SocketCall) -> str:
    return f'  "{call.payload}"' if call.payload else ""


def as_json(call: SocketCall) -> str:
    """The call as a JSON object in one line, with the fields of ``SocketCall``."""
    return json.dumps(call._asdict())


# --- counted -----------------------------------------------------------------------------------


@dataclasses.dataclass(slots=True)
class Row:
    """What was counted of one descriptor while it was one socket."""

    fd: int
    protocol: str
    local: str
    peer: str
    calls: int = 0
    errors: int = 0
    received: int = 0
    sent: int = 0

    def add(self, call: SocketCall) -> None:
        """One more call on it."""
        self.calls += 1
        self.errors += bool(call.error)
        if call.call in RECEIVING:
            self.received += call.size
        else:
            self.sent += call.size


class Summary:
    """Counts calls, errors and bytes: by descriptor, by errno's name and by call."""

    def __init__(self, rows: int = ROWS) -> None:
        self._most = rows
        self._rows: dict[tuple[int, str, str, str], Row] = {}
        self.others = Row(-1, "others", "", "")
        self.errors: Counter[str] = Counter()
        self.calls: Counter[str] = Counter()

    def add(self, call: SocketCall) -> None:
        """Count it."""
        self.calls[call.call] += 1
        if call.error:
            self.errors[call.error] += 1
        key = (call.fd, call.protocol, call.local, call.peer)
        row = self._rows.get(key)
        if row is None:
            row = self.others
            if len(self._rows) < self._most:
                row = self._rows[key] = Row(*key)
        row.add(call)

    def rows(self) -> list[Row]:
        """One for each descriptor, in the order of their first calls; then all others, if any."""
        return [*self._rows.values(), *([self.others] if self.others.calls else [])]

    def lines(self, wide: bool = True) -> list[str]:
        """The table, and below it the errors and calls."""
        lines = ["  FD   CALLS ERRORS   BYTES IN  BYTES OUT  SOCKET"]
        for row in self.rows():
            fd = "-" if row.fd < 0 else str(row.fd)
            narrow = row.peer or row.local or row.protocol
            lines.append(
                f"{fd:>4} {row.calls:>7} {row.errors:>6} {row.received:>10} {row.sent:>10}  "
                f"{place(row.protocol, row.local, row.peer) if wide else narrow}"
            )
        lines.append("calls: " + _counted(self.calls))
        lines.append("errors: " + _counted(self.errors))
        return lines

    def as_json(self) -> str:
        """All of it as one JSON object in one line."""
        return json.dumps(
            {
                "descriptors": [dataclasses.asdict(row) for row in self.rows()],
                "calls": dict(self.calls.most_common()),
                "errors": dict(self.errors.most_common()),
            }
        )


def _counted(counter: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counter.most_common()) or "none"


# --- shown as they come ------------------------------------------------------------------------


class Report:
    """Says each call to ``say``, a line at a time, or with ``summary`` what was counted when
    ``end`` is called. ``width``: of the terminal."""

    def __init__(
        self,
        say: Callable[[str], object],
        *,
        json: bool = False,
        summary: bool = False,
        width: int = WIDE,
    ) -> None:
        self._say = say
        self._json = json
        self._wide = width >= WIDE
        self.summary = Summary() if summary else None
        self._line = as_json if json else line if self._wide else narrow_line
        self._header = "" if json or summary else HEADER if self._wide else NARROW_HEADER

    def add(self, call: SocketCall) -> None:
        """A call has returned."""
        if self.summary is not None:
            self.summary.add(call)
            return
        header, self._header = self._header, ""
        if header:  # only now: nothing may come at all
            self._say(header)
        self._say(self._line(call))

    def end(self) -> None:
        """No more calls come."""
        if self.summary is not None:
            lines = [self.summary.as_json()] if self._json else self.summary.lines(self._wide)
            for text in lines:
                self._say(text)


class CallTrace(Instrument):
    """Reports every call that a server of ours makes on its sockets, ``payload`` bytes of each.

    When the reader of the report has gone (``BrokenPipeError``), the server goes on without."""

    wants_calls = True

    def __init__(self, report: Report, payload: int = 0) -> None:
        self._report = report
        self.payload = payload
        self._read = True

    def called(self, call: SocketCall) -> None:
        if not self._read:
            return
        try:
            self._report.add(call)
        except OSError:
            self._read = False
            log().warning("nobody reads the trace any more; serving on without it")
