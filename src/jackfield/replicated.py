"""State that every process of a server holds alike: operations, applied in one order everywhere.

Imports nothing of jackfield. A server of one process has no bus, and an operation is applied at
once. With several processes (``--workers``, the fork engine) ``submit`` hands it to the bus
instead, whose hub puts the operations of all processes in one order; then every process, the
submitting one included, applies it. What is applied may depend on nothing but the operations
before it (state machine replication, Schneider 1990), so all copies stay alike, and a process that
is forked from the hub's has the state of that moment.
"""

from __future__ import annotations

import itertools
import threading
import typing as t
import weakref

from jackfield.log import log


class Bus(t.Protocol):
    """What carries operations between processes."""

    def publish(self, topic: int, operation: bytes) -> None:
        """Have ``operation`` applied by object number ``topic``, in every process."""


class Replicated:
    """Base of what is replicated. Objects are numbered in the order in which they are made, so
    those made before the processes part have the same number in all of them; one that is made
    later belongs to its process alone."""

    def __init__(self, *, shared: bool = True) -> None:
        """``shared=False``: an object of this process alone."""
        self.bus: Bus | None = None
        self.topic = _register(self) if shared else -1
        self._lock = threading.RLock()

    def submit(self, operation: bytes) -> None:
        """Apply ``operation``: now, or everywhere when its turn comes. Safe from any thread of
        an engine that has several: one operation at a time."""
        if self.bus is not None:
            self.bus.publish(self.topic, operation)
            return
        with self._lock:
            self.apply(operation)

    def apply(self, operation: bytes) -> None:
        """Change the state as ``operation`` says."""
        raise NotImplementedError

    def process_lost(self, process: int) -> None:
        """Process number ``process`` is gone, with every client it had. Part of the order, like
        an operation."""


_objects: weakref.WeakValueDictionary[int, Replicated] = weakref.WeakValueDictionary()
_numbers = itertools.count()
_process = 0
_connected = False


def _register(made: Replicated) -> int:
    if _connected:
        return -1
    number = next(_numbers)
    _objects[number] = made
    return number


def process_number() -> int:
    """The number of this process: 0 for the first (and only) one, no two alike ever after."""
    return _process


def connected() -> bool:
    """Has this process a bus?"""
    return _connected


def connect(bus: Bus, process: int) -> None:
    """From now on the objects made so far submit to ``bus``, as process number ``process``."""
    global _process, _connected
    _process, _connected = process, True
    for made in living():
        made.bus = bus
        made._lock = threading.RLock()  # a thread that did not come along may have held it


def disconnect() -> None:
    """The bus has ended: objects apply their own operations again."""
    global _process, _connected
    _process, _connected = 0, False
    for made in living():
        made.bus = None


def living() -> list[Replicated]:
    """The objects that are still in use, by number."""
    return list(_objects.values())


def deliver(topic: int, operation: bytes) -> None:
    """The next operation in the order. One for an object that nobody uses any more is nothing."""
    made = _objects.get(topic)
    if made is not None:
        _guarded(made.apply, operation)


def deliver_loss(process: int) -> None:
    """The next thing in the order is the loss of a process."""
    for made in living():
        _guarded(made.process_lost, process)


def _guarded(step: t.Callable[[t.Any], object], what: t.Any) -> None:
    """A step that fails, fails alike in every process: to end over it would end them all."""
    try:
        step(what)
    except Exception:
        log().exception("exception in %r", step)
