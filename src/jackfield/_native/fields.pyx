"""The fields of a loop and of a connection in C, in the place of Python's slots and dictionary.

They have the names that ``transports.base`` and its like use, so that the behaviour written there
works on them unchanged. Must not read, write or wait.
"""

from jackfield import limits

import time

cdef extern from "readiness.h" nogil:
    double jf_monotonic()


cdef class Tick:
    """What a loop has: ``now`` in seconds on the monotonic clock, ``ticks`` so far, and the other
    fields of ``engines.loop.Loop``."""

    cdef int know_clock(self) except -1:
        """``_clock`` is set: whether C may read it."""
        self.real_time = self._clock is time.monotonic
        return 0

    cdef int begin(self) except -1:
        """The wait of another tick is over."""
        self.now = jf_monotonic() if self.real_time else self._clock()
        self.ticks += 1
        return 0

    cdef double patience(self) except? -2:
        """How long to wait, in seconds; negative: for ever."""
        if self._soon or self._ends or self._graves:
            return 0
        when = self._timers.next_at()
        return -1 if when is None else self._patience()

    cdef int report_again(self, int fd) except -1:
        """Have the next wait report ``fd`` if it is ready, though it was reported already."""
        return 0


cdef class StreamFields:
    """One connection, as ``BaseTransport``, ``ClosingTransport`` and ``StreamBase`` describe it."""

    def __init__(self, Tick engine not None, sock, peer, protocol):
        self.engine = self.tick = engine
        self.sock = sock
        self.fd = sock.fileno()
        self.protocol = protocol
        self._receive_with(protocol)
        self.peername = peer
        self._gatherers = ()
        self._low = LOW_WATER
        self._high = HIGH_WATER
        self._interest = READ


cdef Py_ssize_t LOW_WATER = limits.LOW_WATER
cdef Py_ssize_t HIGH_WATER = limits.HIGH_WATER
cdef unsigned int READ = 1  # POLLIN: the engine has registered us
