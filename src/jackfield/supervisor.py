"""Workers: one process per core, each with a one-thread engine, and a parent that keeps them alive.

The parent binds, forks, and holds every listener open as long as it lives: so a worker may die or
be replaced and nobody who connects is refused, they wait in a backlog that is not the worker's own.
It serves no client; it is the hub of the workers' rooms, and adds up on a scoreboard what they
count: its statistics are theirs, and limits hold for all together. Must not know any protocol.

    SIGHUP            each worker in turn: a new one starts; when it serves, the old one accepts
                      nobody any more, and ends when its last client has left
    SIGTERM, SIGINT   every worker drains; a second one kills what is left
    a worker dies     it is replaced, the sooner it died the later
"""

from __future__ import annotations

import logging
import os
import signal
import time
import typing as t
from collections import deque
from collections.abc import Callable

from jackfield import limits
from jackfield.engines.base import Options, Statistics
from jackfield.engines.family import KILL_AFTER, Child, Parent
from jackfield.engines.reactor import Reactor
from jackfield.engines.scoreboard import Scoreboard
from jackfield.kernel.processes import Ended
from jackfield.log import log

SETTLED: t.Final = 5.0
"""Seconds a worker must have lived for its death to count as the first one again."""

BACK_OFF: t.Final = 0.1
"""Seconds before the second start in a row; each further one waits twice as long."""

LONGEST_BACK_OFF: t.Final = 30.0
"""Seconds: a cause outside (a full disk, say) is found to have passed within half a minute."""

MOST_DOUBLINGS: t.Final = 16
"""More than enough to reach the longest; a worker that dies for days must not overflow a float."""


class Worker:
    """What is to be kept alive: a place, whoever is in it."""

    __slots__ = ("child", "deaths", "number", "old", "slot", "started", "timer")

    def __init__(self, number: int) -> None:
        self.number = number
        self.child: Child | None = None
        self.old: Child | None = None  # to be retired when its successor serves
        self.slot = 0  # on the scoreboard, of who was forked last
        self.deaths = 0  # in a row, each soon after its start
        self.started = 0.0
        self.timer: t.Any = None  # for the next start, while nobody is in the place


class Count(t.NamedTuple):
    """What one process has counted: worker ``number`` (``retired``: it accepts nobody more)."""

    number: int
    pid: int
    retired: bool
    statistics: Statistics


class Supervisor(Parent):
    """Runs ``count`` workers; to its server it is an engine.

    ``make_engine(number, options)`` is called in worker ``number`` (0, 1, ...) and returns an
    engine with these options that listens. ``release()`` is called when it begins to stop: the
    parent is to hold no listener any more, or who connects now would wait for nobody.
    """

    def __init__(
        self,
        count: int,
        make_engine: Callable[[int, Options], Reactor],
        options: Options,
        release: Callable[[], object] = lambda: None,
    ) -> None:
        super().__init__(options)
        self._make_engine = make_engine
        self._release = release
        self._workers = [Worker(number) for number in range(count)]
        self._to_replace: deque[Worker] = deque()
        self._board = Scoreboard(options, count + limits.WORKER_SLOTS, count)
        self._slots: dict[Child, int] = {}

    def begin(self) -> None:
        """Start the workers."""
        for worker in self._workers:
            self.call_soon(self._start, worker)

    def make_engine(self, worker: Worker) -> Reactor:
        """A worker's, which counts where all do."""
        return self._make_engine(worker.number, self._board.options_for(worker.slot))

    def statistics(self) -> Statistics:
        """Of all workers together, those that have ended included."""
        return self._board.totals()

    def counts(self) -> list[Count]:
        """Of each worker, by its number; of those that retire too."""
        counts = [
            Count(child.what.number, child.pid, self._retired(child), self._board.of(slot))
            for child, slot in self._slots.items()
        ]
        return sorted(counts, key=lambda one: (one.number, not one.retired))

    @staticmethod
    def _retired(child: Child) -> bool:
        return child is not child.what.child and child is not child.what.old

    def close(self) -> None:
        """Close every descriptor; ``run`` does it at its end."""
        super().close()
        self._board.close()

    # --- starting and replacing ------------------------------------------------------------

    def _start(self, worker: Worker) -> None:
        if worker.timer is not None:  # whoever starts it now, one start is enough
            worker.timer.cancel()
            worker.timer = None
        if self._stopping or worker.child is not None:
            return
        worker.started = time.monotonic()
        try:
            worker.child = self._fork(worker)
        except OSError as exc:
            log().warning("worker %d could not be forked: %s", worker.number, exc)
            self._start_later(worker)
            return
        log().info("worker %d started pid=%d", worker.number, worker.child.pid)

    def _fork(self, worker: Worker) -> Child:
        worker.slot = self._board.take()
        try:
            child = self.family.bear(worker)
        except OSError:
            self._board.give_back(worker.slot)
            raise
        self._slots[child] = worker.slot
        return child

    def _start_later(self, worker: Worker) -> None:
        doublings = min(worker.deaths, MOST_DOUBLINGS)
        worker.deaths += 1
        delay = min(BACK_OFF * 2**doublings, LONGEST_BACK_OFF)
        worker.timer = self.call_later(delay, self._start, worker)

    def replace_all(self) -> None:
        """Replace every worker, one after the other, without refusing or cutting anybody."""
        idle = not self._to_replace
        # The one whose turn it is has been forked already, before whatever is to be taken up now.
        waiting = list(self._to_replace)[1:]
        self._to_replace.extend(w for w in self._workers if w not in waiting)
        if idle:
            self._replace_next()

    def _replace_next(self) -> None:
        if self._to_replace and not self._stopping:
            worker = self._to_replace[0]
            worker.old, worker.child = worker.child, None
            self._start(worker)

    def child_ready(self, child: Child) -> None:
        """Whom it replaces may go, and the next one's turn comes."""
        worker = child.what
        if child is not worker.child:  # its successor has been started already
            return
        old, worker.old = worker.old, None
        if old is not None:
            log().info("worker %d retires pid=%d", worker.number, old.pid)
            self.family.retire(old)
        if self._to_replace and self._to_replace[0] is worker:
            self._to_replace.popleft()
            self._replace_next()

    # --- ending ----------------------------------------------------------------------------

    def child_ended(self, child: Child, how: Ended) -> None:
        """Unless it was to end, another one is started in its place."""
        worker = child.what
        self._board.give_back(self._slots.pop(child))
        orderly = how == Ended(0, 0)
        log().log(
            logging.INFO if orderly else logging.WARNING,
            "worker %d ended pid=%d %s",
            worker.number,
            child.pid,
            how,
        )
        if child is worker.old:
            worker.old = None
        elif child is worker.child and not self._stopping:
            worker.child = None
            if time.monotonic() - worker.started > SETTLED:
                worker.deaths = 0
            self._start_later(worker)
        self._stop_when_empty()

    def _begin_stop(self, drain_seconds: float) -> None:
        if self._stopping:
            self.family.signal_all(signal.SIGKILL)
            return
        self._stopping = True
        self.family.signal_all(signal.SIGTERM)
        self._release()
        self.call_later(drain_seconds + KILL_AFTER, self.family.signal_all, signal.SIGKILL)
        self._stop_when_empty()


def cores() -> int:
    """Cores this process may use: a reasonable number of workers."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
