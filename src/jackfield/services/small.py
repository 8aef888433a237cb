"""The inetd small services over TCP: discard, daytime, time and character generator.

Sans-I/O; the clock is handed in. Their datagram twins are in ``small_datagrams``.
"""

from __future__ import annotations

import struct
import time
import typing as t
from collections.abc import Callable

from jackfield.protocol import Protocol

SECONDS_1900_TO_1970: t.Final = 2_208_988_800
"""From the epoch of RFC 868 to Unix's: 70 years, 17 of them leap years."""

DAYS: t.Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS: t.Final = (
    *("January", "February", "March", "April", "May", "June", "July", "August", "September"),
    *("October", "November", "December"),
)
"""English names whatever the locale: a protocol is not translated."""

PRINTABLE: t.Final = bytes(range(32, 127))
"""The 95 printing characters that character generator rotates (RFC 864)."""

LINE_LENGTH: t.Final = 72
"""Characters of a generated line (RFC 864)."""

CYCLE: t.Final = b"".join(
    (PRINTABLE * 2)[start : start + LINE_LENGTH] + b"\r\n" for start in range(len(PRINTABLE))
)
"""All 95 lines: after them the pattern begins anew. One write is one cycle, about 7 KB."""

Clock: t.TypeAlias = Callable[[], float]
"""Seconds since 1970, as ``time.time`` gives them."""


def daytime(now: float) -> bytes:
    """The line of RFC 867: ``Saturday, November 21, 2026 12:22:37-UTC`` and CRLF."""
    at = time.gmtime(now)
    day = f"{DAYS[at.tm_wday]}, {MONTHS[at.tm_mon - 1]} {at.tm_mday}, {at.tm_year}"
    return f"{day} {at.tm_hour:02}:{at.tm_min:02}:{at.tm_sec:02}-UTC\r\n".encode("ascii")


def seconds_since_1900(now: float) -> bytes:
    """The four bytes of RFC 868, in network byte order. They wrap in 2036, as the RFC has it."""
    return struct.pack("!I", (int(now) + SECONDS_1900_TO_1970) & 0xFFFF_FFFF)


class Discard(Protocol):
    """Reads and throws away (RFC 863)."""

    __slots__ = ()


class _Teller(Protocol):
    """Says one thing and closes; what is received is discarded."""

    __slots__ = ("_clock",)

    def __init__(self, clock: Clock = time.time) -> None:
        self._clock = clock

    def tell(self, now: float) -> bytes:
        """What to say at ``now``."""
        raise NotImplementedError

    def connection_made(self, transport: t.Any) -> None:
        transport.write(self.tell(self._clock()))
        transport.close()


class Daytime(_Teller):
    """Tells the date and time in words, and closes (RFC 867)."""

    __slots__ = ()

    def tell(self, now: float) -> bytes:
        return daytime(now)


class Time(_Teller):
    """Tells the seconds since 1900 as a 32-bit number, and closes (RFC 868)."""

    __slots__ = ()

    def tell(self, now: float) -> bytes:
        return seconds_since_1900(now)


class Chargen(Protocol):
    """Sends characters as fast as they are read (RFC 864); what is received is discarded."""

    __slots__ = ("_paused", "_transport")

    def connection_made(self, transport: t.Any) -> None:
        self._transport = transport
        self._paused = False
        self._produce()

    def _produce(self) -> None:
        """One cycle a tick, so that a fast reader leaves time for the others."""
        if self._paused or self._transport.is_closing():
            return
        self._transport.write(CYCLE)
        if not self._paused:  # else resume_writing goes on: two would go on at twice the pace
            self._transport.engine.call_soon(self._produce)

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._transport.engine.call_soon(self._produce)
