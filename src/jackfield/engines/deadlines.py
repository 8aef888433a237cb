"""Login and idle deadlines: one timer per connection and deadline, looked at only when due.

A busy connection pays one number per arrival; its timer, when it fires, is set anew to the last
progress plus the timeout, so twenty thousand connections cost no scan. Both are absolute: where a
protocol reports its own progress (complete lines), single bytes extend nothing.
"""

from __future__ import annotations

from jackfield import lazy_typing as t
from jackfield.engines.base import Options
from jackfield.engines.timers import Timer
from jackfield.errors import DeadlineError


class Clock(t.Protocol):
    """What the deadlines need of their engine."""

    now: float

    def call_later(self, delay: float, callback: t.Any, *args: t.Any) -> Timer: ...


class Deadlines:
    """The deadlines of one engine's connections."""

    __slots__ = ("_clock", "_idle", "_idle_timers", "_login", "_login_timers", "any")

    def __init__(self, options: Options, clock: Clock) -> None:
        self._idle = options.idle_timeout
        self._login = options.login_timeout
        self._clock = clock
        self._idle_timers: dict[t.Any, Timer] = {}
        self._login_timers: dict[t.Any, Timer] = {}
        self.any = bool(self._idle or self._login)

    def start(self, transport: t.Any) -> None:
        """The connection begins now."""
        later, now = self._clock.call_later, self._clock.now
        if self._login:
            self._login_timers[transport] = later(self._login, self._login_due, transport)
        if self._idle:
            self._idle_timers[transport] = later(self._idle, self._idle_due, transport, now)

    def stop(self, transport: t.Any) -> None:
        """The connection is over."""
        for timers in (self._login_timers, self._idle_timers):
            timer = timers.pop(transport, None)
            if timer is not None:
                timer.cancel()

    def _login_due(self, transport: t.Any) -> None:
        if not self._last(transport):
            message = f"nothing complete was received within {self._login:g} s"
            transport.evict(DeadlineError(message, "login-timeout"))

    def _idle_due(self, transport: t.Any, began: float) -> None:
        remaining = max(self._last(transport), began) + self._idle - self._clock.now
        if remaining <= 0:
            message = f"idle for {self._idle:g} s"
            transport.evict(DeadlineError(message, "idle-timeout"))
        else:
            timer = self._clock.call_later(remaining, self._idle_due, transport, began)
            self._idle_timers[transport] = timer

    @staticmethod
    def _last(transport: t.Any) -> float:
        """Engine time of the last progress; 0 if there was none."""
        last: float = transport.progress_at
        if not getattr(transport.protocol, "reports_progress", False):
            last = max(last, transport.read_at)
        return last
