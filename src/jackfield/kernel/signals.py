"""Signals as calls into a loop: handlers installed for a while, and the wait they must end.

Python runs a handler between two bytecodes of the main thread, which may be asleep in a poller: the
wakeup descriptor (``signal.set_wakeup_fd``) is what ends that sleep without a race. Must not
know engines.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator, Mapping


@contextlib.contextmanager
def handling(
    handlers: Mapping[signal.Signals, Callable[[], object]], wakeup_fd: int
) -> Iterator[None]:
    """Call ``handlers[number]()`` on each signal while the block runs, then restore.

    Outside of the main thread nothing is installed, as Python allows it only there.
    """
    before = {number: signal.getsignal(number) for number in handlers}
    old_fd = _set_wakeup(wakeup_fd)
    if old_fd is None:
        yield
        return
    try:
        for number, handler in handlers.items():
            signal.signal(number, _adapter(handler))
        yield
    finally:
        for number, previous in before.items():
            # None: installed by something other than Python, which cannot be put back.
            signal.signal(number, signal.SIG_DFL if previous is None else previous)
        signal.set_wakeup_fd(old_fd)


def _set_wakeup(fd: int) -> int | None:
    """The descriptor before this one, or None outside of the main thread."""
    try:
        return signal.set_wakeup_fd(fd, warn_on_full_buffer=False)
    except ValueError:
        return None


def _adapter(handler: Callable[[], object]) -> Callable[[int, object], None]:
    def call(_number: int, _frame: object) -> None:
        handler()

    return call
