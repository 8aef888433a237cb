"""The hot path of an engine on a ring: one entry of the kernel a tick, dispatch and fan-out in C.

What ``engines.loop.Loop`` and ``engines.reactor.Reactor`` do in Python, for what is done in each
tick; timers, calls and the rest are theirs. The GIL is released while the kernel is entered.
"""

from cpython.object cimport PyObject

from jackfield._native.fields cimport Tick
from jackfield._native.uring cimport RECEIVE, SEND, Poll, Ring
from jackfield._native.uring_send cimport sent
from jackfield._native.uring_stream cimport RingStream, received

cdef extern from "Python.h":
    PyObject *PyDict_GetItemWithError(object mapping, object key) except? NULL

cdef unsigned EVENTS_ALWAYS = 0x18  # POLLERR | POLLHUP: told whatever is wanted


cdef class RingLoop(Tick):
    """Goes before ``Reactor`` among the bases of an engine."""

    cdef readonly Ring ring

    def __init__(self, Ring ring not None, *args, **options):
        self.ring = ring
        ring.handlers[RECEIVE] = received
        ring.handlers[SEND] = sent
        super().__init__(ring, *args, **options)
        self.know_clock()

    def _tick(self):
        """One turn of the loop; ``engines.loop`` says what happens in which order."""
        if not self.ring.runs:
            self.ring.run()
        self.ask()
        self.ring.wait(self.patience())
        self.begin()
        if self.ring.ready or self.ring.later:
            self.serve()
        if self._timers.next_at() is not None:
            self._call_timers()
        if self._soon or self._graves:
            if self._graves:
                self.ring.settle()
            self._call_soon_and_bury()
        if self._ends:
            self._end_tick()

    cdef double patience(self) except? -2:
        return 0 if self.ring.ready or self.ring.later else Tick.patience(self)

    cdef int ask(self) except -1:
        """Fill the entries of what is wanted since the last tick."""
        cdef list unasked = self.ring.unasked
        if not unasked:
            return 0
        self.ring.unasked = []
        for one in unasked:
            if isinstance(one, RingStream):
                (<RingStream>one).ask()
            else:
                (<Poll>one).ask(self.ring)
        return 0

    cdef int serve(self) except -1:
        """Serve once each of those for whom something was noted."""
        cdef list ready = self.ring.ready + self.ring.later
        cdef Poll poll
        cdef unsigned flags
        cdef PyObject *watcher
        self.ring.ready = []
        self.ring.later = []
        for one in ready:
            if isinstance(one, RingStream):
                (<RingStream>one).serve()
                continue
            poll = <Poll>one
            flags = poll.flags & (poll.wanted | EVENTS_ALWAYS)
            poll.flags = 0
            if not poll.wanted:
                continue
            self.ring.unasked.append(poll)
            watcher = PyDict_GetItemWithError(self._watchers, poll.fd)
            if flags and watcher is not NULL:
                (<object>watcher).on_ready(flags)
        return 0

    def _bury(self):
        """What is under way with those who ended has to end before they are closed."""
        self.ring.settle()
        super()._bury()

    def fan_out(self, bytes data not None, transports):
        """The same ``bytes`` to each, handed over together; returns those who did not take them."""
        cdef list behind = [], asked = []
        cdef RingStream stream
        for transport in transports:
            if not isinstance(transport, RingStream):
                if transport.deliver(data):
                    behind.append(transport)
                continue
            stream = <RingStream>transport
            if stream.write_closed:
                continue
            stream.add(data)
            if stream.left:
                if not stream.handed and not stream.refused:
                    stream.hand_over()
                asked.append(stream)
        self.ring.hand_over()
        for stream in asked:
            if stream.left and not stream.failure:
                if stream.left > stream._high:
                    stream.overfull()
                behind.append(stream)
        return behind
