"""The end of ``jackfield top`` that nobody typed: a signal, or a terminal that is gone.

The screen's own way out writes to the terminal and waits until that is done. A terminal that is
gone takes nothing any more, and one that stands still (a stopped ``ssh``, a debugged emulator)
takes nothing for now: the way out may then last for ever, with the event loop standing as well.
So what waits to be written is dropped then, and the process ends in any case. Must not know what
the screen shows.

Signals are caught by ``signal.signal``, not by the loop, because a loop that stands calls nobody.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import termios
import threading
import typing as t
from collections.abc import Callable, Iterator
from types import FrameType

GRACE: t.Final = 1.0
"""Seconds for the screen's own way out, which takes some tenths."""

GONE: t.Final = 128 + signal.SIGHUP
"""Exit status, whether the kernel told by SIGHUP (the controlling terminal) or not."""

SIGNALS: t.Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

DROPS: t.Final = 2
"""How often what waits to be written is dropped, which makes room for the screen's own way out. A
terminal takes 64 KiB (TTYB_DEFAULT_MEM_LIMIT), and all that the screen has in hand is less."""

KEYS: t.Final = 0
SCREEN: t.Final = 2
"""File descriptors: where textual reads, and where it draws."""


@contextlib.contextmanager
def guarded(leave: Callable[[int], None]) -> Iterator[None]:
    """While in here a signal calls ``leave`` with the exit status; the process ends so in any case,
    if need be without what waits to be written. It ends at once when the terminal is gone.
    For the main thread."""
    ending = _Ending(leave)
    before = {number: signal.signal(number, ending.by_signal) for number in SIGNALS}
    before[signal.SIGALRM] = signal.signal(signal.SIGALRM, ending.by_alarm)
    threading.Thread(target=_end_when_gone, name="terminal", daemon=True).start()
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)


class _Ending:
    def __init__(self, leave: Callable[[int], None]) -> None:
        self._leave = leave
        self._status: int | None = None
        self._alarms = 0
        self._modes = termios.tcgetattr(KEYS)

    def by_signal(self, number: int, frame: FrameType | None) -> None:
        if self._status is None:  # another one does not put the end off
            signal.setitimer(signal.ITIMER_REAL, GRACE, GRACE)
            self._status = 128 + number
        self._leave(self._status)

    def by_alarm(self, number: int, frame: FrameType | None) -> None:
        self._alarms += 1
        with contextlib.suppress(OSError, termios.error):
            termios.tcflush(SCREEN, termios.TCOFLUSH)
            termios.tcsetattr(KEYS, termios.TCSANOW, self._modes)  # wakes who waits to write, too
        if self._alarms > DROPS:
            os._exit(self._status or GONE)


def _end_when_gone() -> None:
    """At once and without a way out: nothing is left to give back, and the threads of the screen
    would read and write in vain without end."""
    terminal = select.poll()
    for fd in (KEYS, SCREEN):
        terminal.register(fd, 0)  # a hangup is reported unasked
    if any(event & select.POLLHUP for _, event in terminal.poll()):
        os._exit(GONE)
