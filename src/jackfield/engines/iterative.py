"""One client at a time: accept, serve until it has left, accept the next.

The first server of every textbook, with its one flaw on purpose: who does not leave keeps all
others waiting, in the kernel's backlog, where ``jackfield serve --status`` shows them. What is
not a stream client is served meanwhile: datagrams, timers, signals and dialled connections, since
the loop is the reactor's. Must not know what protocols say.
"""

from __future__ import annotations

from collections.abc import Sequence

from jackfield import pollers
from jackfield.engines.base import Options
from jackfield.engines.bounded import BoundedReactor
from jackfield.instrument import Instrument


class Iterative(BoundedReactor):
    """A reactor that accepts when nobody is connected."""

    def __init__(
        self, options: Options | None = None, instruments: Sequence[Instrument] = ()
    ) -> None:
        super().__init__(pollers.make(pollers.best()), options, instruments, most=1)
