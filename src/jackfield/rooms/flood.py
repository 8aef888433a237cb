"""Flood control: how fast one peer may speak. The time is given, never asked for.

A token bucket (as in RFC 2697, with one rate) holds ``burst`` tokens and gains ``rate`` a
second; what it does not hold cannot be spent. It is kept as the tokens *used* and not yet
regained, so that a new bucket is full whatever the clock shows.

FloodControl is the line bucket and, beside it, a byte bucket that is ``bytes_per_line`` times
as large and as fast: short lines are bounded by the first, long ones by the second. A line
needs both; one that is refused costs nothing, so that waiting always helps. Refusals are
counted as strikes, and the strikes are forgiven when both buckets are full again: an episode
is over.

This module must not know connections, clocks or what a line says.
"""

from __future__ import annotations

from enum import Enum

from jackfield import limits
from jackfield.errors import UsageError


class TokenBucket:
    """``burst`` tokens at once, ``rate`` tokens a second lastingly.

    Raises ``UsageError`` unless both are positive.
    """

    __slots__ = ("_at", "_used", "burst", "rate")

    def __init__(self, rate: float, burst: float) -> None:
        if rate <= 0 or burst <= 0:
            raise UsageError(f"rate {rate} and burst {burst}: both must be more than 0")
        self.rate = rate
        self.burst = burst
        self._used = 0.0
        self._at = 0.0

    def take(self, cost: float, now: float) -> bool:
        """Spend ``cost`` tokens at ``now`` (seconds of a monotonic clock). False, and nothing
        is spent, if the bucket does not hold them."""
        self._regain(now)
        if self._used + cost > self.burst:
            return False
        self._used += cost
        return True

    def _regain(self, now: float) -> float:
        """Bring the bucket to ``now``. Returns the tokens gained since, had it had room."""
        if now <= self._at:
            return 0.0
        gained = (now - self._at) * self.rate
        self._at = now
        self._used = self._used - gained if self._used > gained else 0.0
        return gained


class Verdict(Enum):
    """What becomes of a line."""

    ADMIT = "admit"
    WARN = "warn"
    """Refused: tell the sender, and how many ``strikes_left``."""
    KICK = "kick"
    """Refused, and the sender was told often enough: end its connection."""


class FloodControl(TokenBucket):
    """The flood control of one connection: ``rate`` lines a second, ``burst`` at once.

    ``strikes`` refused lines are warned about; the next one is the kick. A line larger than the
    whole byte bucket passes when that is full, so that no burst setting silences long lines for
    good. Raises ``UsageError`` unless ``rate`` > 0, ``burst`` >= 1 and ``bytes_per_line`` > 0.
    """

    __slots__ = ("_bytes_per_line", "_strikes", "_used_bytes", "strikes_left")

    def __init__(
        self,
        rate: float = limits.FLOOD_RATE,
        burst: float = limits.FLOOD_BURST,
        bytes_per_line: int = limits.FLOOD_BYTES_PER_LINE,
        strikes: int = limits.FLOOD_STRIKES,
    ) -> None:
        super().__init__(rate, burst)
        if burst < 1 or bytes_per_line < 1:
            raise UsageError(f"burst {burst} and {bytes_per_line} bytes per line: at least 1 each")
        self._bytes_per_line = bytes_per_line
        self._used_bytes = 0.0
        self._strikes = strikes
        self.strikes_left = strikes

    def admit(self, size: int, now: float) -> Verdict:
        """Judge a line of ``size`` bytes that came at ``now`` (monotonic seconds)."""
        gained = self._regain(now) * self._bytes_per_line
        used = self._used_bytes - gained if self._used_bytes > gained else 0.0
        if not self._used and not used:
            self.strikes_left = self._strikes
        room = self.burst * self._bytes_per_line
        cost = size if size < room else room
        if used + cost <= room and self._used + 1 <= self.burst:
            self._used += 1
            self._used_bytes = used + cost
            return Verdict.ADMIT
        self._used_bytes = used
        return self._refuse()

    def _refuse(self) -> Verdict:
        if not self.strikes_left:
            return Verdict.KICK
        self.strikes_left -= 1
        return Verdict.WARN
