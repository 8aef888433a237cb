"""One call at a time, whichever thread makes it: what keeps a connection's callbacks apart.

Calls are posted to a queue, and run by whoever holds the lock. Nobody but the owner's thread
ever waits for that lock: others try it, and where it is taken the holder looks at the queue
again after letting go. So a call that is posted is always run, and no two threads can wait for
each other here. Must not know transports or engines.
"""

from __future__ import annotations

import threading
import typing as t
from collections import deque
from collections.abc import Callable

from jackfield.log import log


class _Here(threading.local):
    """Whose callback this thread is running, innermost."""

    owner: t.Any = None


_here = _Here()


def serving() -> t.Any:
    """The owner of the serialiser whose call this thread is in; None outside of all."""
    return _here.owner


class Serialiser:
    """The calls of one ``owner``. Made locked: the first thread to run something is the one that
    calls ``begin``."""

    __slots__ = ("_calls", "_lock", "_owner", "_runner")

    def __init__(self, owner: t.Any) -> None:
        self._owner = owner
        self._calls: deque[tuple[Callable[..., object], tuple[t.Any, ...]]] = deque()
        self._lock = threading.Lock()
        self._lock.acquire()
        self._runner = 0

    @property
    def mine(self) -> bool:
        """Is this thread in one of the calls?"""
        return self._runner == threading.get_ident()

    @property
    def pending(self) -> bool:
        """Is something posted that has not begun?"""
        return bool(self._calls)

    def post(self, callback: Callable[..., object], *args: t.Any) -> None:
        """Have it called after what was posted before. See to it that somebody runs it."""
        self._calls.append((callback, args))

    def begin(self, callback: Callable[..., object], *args: t.Any) -> None:
        """The very first call."""
        self._run(callback, args)

    def run(self, callback: Callable[..., object], *args: t.Any) -> None:
        """Wait for the lock, and call. For the owner's own thread, which holds no other lock."""
        self._lock.acquire()
        self._run(callback, args)

    def try_run(self, callback: Callable[..., object], *args: t.Any) -> bool:
        """Call, unless somebody holds the lock. True: it was called; see whether something is
        ``pending`` now."""
        if not self._lock.acquire(blocking=False):
            return False
        self._run(callback, args)
        return True

    def run_posted(self) -> bool:
        """Run what is posted now, unless somebody holds the lock, who will. True: more was posted
        meanwhile, and this thread has to see to it."""
        if not self._calls or not self._lock.acquire(blocking=False):
            return False
        self._run(self._run_round, ())
        return bool(self._calls)

    def _run(self, callback: Callable[..., object], args: tuple[t.Any, ...]) -> None:
        """With the lock, which is let go of at the end."""
        before, _here.owner = _here.owner, self._owner
        self._runner = threading.get_ident()
        try:
            callback(*args)
        finally:
            self._runner = 0
            _here.owner = before
            self._lock.release()

    def run_round(self) -> None:
        """As ``run_posted``, but wait for the lock: for the owner's own thread."""
        self.run(self._run_round)

    def _run_round(self) -> None:
        for _ in range(len(self._calls)):
            callback, args = self._calls.popleft()
            try:
                callback(*args)
            except Exception:  # the transport's own calls raise nothing: somebody's call_soon
                log().exception("exception in %r", callback)
