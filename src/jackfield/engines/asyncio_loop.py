"""The reactor as a guest of asyncio's loop, or uvloop's: there coroutines run beside protocols.

An epoll instance or a kernel queue is a descriptor itself, readable while one of those that it
watches is ready. The loop watches that one descriptor; whenever it is ready, or a timer of ours is
due, a tick of the reactor runs as one callback of the loop::

    loop: wait -> [ our tick: poll -> dispatch -> timers -> call_soon -> fan out ] -> coroutines ...

So transports, rooms, limits and deadlines are the reactor's own, and behave as on its pollers.
asyncio's transports would not do: they drop what the peer sent before it vanished, do not linger,
and cannot share or truncate what waits.

A coroutine acts between two ticks. What it asks of the engine (a room's fan-out, a timer, the
closing of a descriptor) arms another tick, which begins when all coroutines that can run have run:
what they publish is gathered and fanned out once.

Must not know what protocols say, nor streams.
"""

from __future__ import annotations

import asyncio
import math
import threading
import typing as t
from collections.abc import Callable, Coroutine, Sequence

from jackfield import limits, pollers
from jackfield.engines.base import Options
from jackfield.engines.loop import LONGEST_WAIT
from jackfield.engines.reactor import Reactor
from jackfield.engines.timers import Timer
from jackfield.errors import JackfieldError, UsageError
from jackfield.instrument import Instrument
from jackfield.log import log


def new_loop(name: str) -> asyncio.AbstractEventLoop:
    """A loop of the kind that ``name`` says: "asyncio" or "uvloop"."""
    if name == "uvloop":
        import uvloop

        return t.cast(asyncio.AbstractEventLoop, uvloop.new_event_loop())
    return asyncio.SelectorEventLoop()


def _inside_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


class AsyncioEngine(Reactor):
    """The reactor on a loop of its own, called ``name``. In its thread that loop is the running
    one, as ``asyncio.get_running_loop`` finds it."""

    def __init__(
        self, name: str, options: Options | None = None, instruments: Sequence[Instrument] = ()
    ) -> None:
        self._in_tick = False
        self._tick_time = 0.0
        poller = pollers.make_nested()
        super().__init__(poller, options, instruments)
        self._fd = poller.fileno()
        self._serving = False
        self._armed = False  # a tick comes in the loop's next turn
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_at: float | None = None  # of the timer it is for
        self._failure: BaseException | None = None
        self._tasks: set[asyncio.Task[t.Any]] = set()
        self._farewell: JackfieldError | None = None  # for who is left when they have ended
        self._loop = new_loop(name)

    @property
    def now(self) -> float:
        """The tick's time; between two ticks, when coroutines run, the time."""
        return self._tick_time if self._in_tick else self._clock()

    @now.setter
    def now(self, time: float) -> None:
        self._tick_time = time

    # --- ticks -----------------------------------------------------------------------------

    def run(self) -> None:
        """Serve until ``stop``. Afterwards every descriptor is closed, and every task has ended.

        Raises ``UsageError`` inside of a coroutine, whose own loop would stand still.
        """
        if _inside_a_loop():
            self.close()
            raise UsageError(
                "a server cannot run in a thread whose asyncio loop runs already; give it one of "
                "its own: with Server(...) as server"
            )
        self._thread = threading.get_ident()
        self._loop.add_reader(self._fd, self._turn)
        self._arm()
        self._serving = True
        try:
            self._loop.run_forever()
        finally:
            self._serving = False
            self._loop.remove_reader(self._fd)
            self.close()
        if self._failure is not None:
            raise self._failure

    def _turn(self) -> None:
        """A tick, as a callback of the loop."""
        self._armed = False
        if not self._stopped:
            self._in_tick = True
            try:
                self._tick()
            except BaseException as exc:  # which the loop would log, and go on
                self._failure = exc
                self._stopped = True
            # First: a signal's handler that calls call_soon from here on wakes the poller.
            self._in_tick = False
        self._plan()

    def _patience(self) -> float:
        return 0  # the loop has waited

    def _plan(self) -> None:
        """When is the next tick, if no descriptor is ready before?"""
        if self._stopped:
            if self._serving:
                self._loop.stop()
        elif super()._patience() == 0:
            self._arm()
        else:
            self._set_alarm(self._timers.next_at())

    def _arm(self) -> None:
        """Have a tick in the loop's next turn, unless this is one."""
        if not self._in_tick and not self._armed:
            self._armed = True
            self._loop.call_soon(self._turn)

    def _set_alarm(self, when: float | None) -> None:
        if when == self._alarm_at:
            return
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        self._alarm_at = when
        if when is not None:
            delay = min(when - self._clock(), LONGEST_WAIT)
            # Up to whole milliseconds: uvloop rounds, and half of them would be too early.
            self._alarm = self._loop.call_later(math.ceil(delay * 1000) / 1000, self._ring)

    def _ring(self) -> None:
        self._alarm = self._alarm_at = None
        self._turn()

    # --- what may be asked between two ticks -----------------------------------------------

    def call_soon(self, callback: Callable[..., object], *args: t.Any) -> None:
        """Call in the engine's thread, in this or the next tick. Safe from any thread."""
        self._soon.append((callback, args))
        if not self._in_tick or self._thread != threading.get_ident():
            self._wakeup.set()  # and not the loop's call_soon: this may be a signal's handler

    def call_later(self, delay: float, callback: Callable[..., object], *args: t.Any) -> Timer:
        """Call ``delay`` seconds after this tick began, or from now."""
        self._arm()
        return super().call_later(delay, callback, *args)

    def at_tick_end(self, callback: Callable[[], object]) -> None:
        """Call once, at the end of this tick or the next."""
        self._arm()
        super().at_tick_end(callback)

    def gone(self, transport: t.Any) -> None:
        """A transport has ended."""
        self._arm()
        super().gone(transport)

    # --- tasks -----------------------------------------------------------------------------

    def start_task(self, coroutine: Coroutine[t.Any, t.Any, t.Any]) -> asyncio.Task[t.Any]:
        """Run ``coroutine`` on the loop. It is cancelled when the server stops."""
        task = self._loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._task_ended)
        return task

    def _task_ended(self, task: asyncio.Task[t.Any]) -> None:
        self._tasks.discard(task)
        if self._farewell is not None and not self._tasks:
            self.call_soon(super()._drain, self._farewell)

    def _drain(self, reason: JackfieldError) -> None:
        """Cancel the tasks first. What they say then is the last, and flushed with the rest."""
        if self._tasks:
            # Behind those whom what was just received has woken: it is still answered.
            self._loop.call_soon(self._cancel_tasks, reason)
        else:
            super()._drain(reason)

    def _cancel_tasks(self, reason: JackfieldError) -> None:
        if not self._tasks:
            self.call_soon(super()._drain, reason)
            return
        self._farewell = reason
        for task in self._tasks:
            task.cancel()

    # --- the end ---------------------------------------------------------------------------

    def close(self) -> None:
        """End every task of the loop, tell who is left, and close every descriptor. A task that
        does not heed its cancellation for TASK_END seconds is left behind."""
        self._stopped = True
        try:
            if self._thread is not None and not self._loop.is_closed():
                self._end_tasks()
        finally:
            super().close()  # not before: uvloop puts the wakeup descriptor back as it returns
            self._loop.close()

    def _end_tasks(self) -> None:
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        if tasks:
            patience = asyncio.wait(tasks, timeout=limits.TASK_END)
            _, left = self._loop.run_until_complete(patience)
            if left:
                log().warning(
                    "tasks left behind, as they do not heed their cancellation: %d", len(left)
                )
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
