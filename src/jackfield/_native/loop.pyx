"""The hot path of a readiness loop: wait, dispatch, fan out, in C.

What ``engines.loop.Loop`` and ``engines.reactor.Reactor`` do in Python, for what is done in each
tick; timers, calls and the rest are theirs. The GIL is released while the loop waits and while a
message goes to the members of a room.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.exc cimport PyErr_CheckSignals
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.object cimport PyObject
from libc.errno cimport EBADF, EEXIST, EINTR, ENOENT, errno

from jackfield._native.fields cimport Tick
from jackfield._native.stream cimport HELD, HotStream, Send, send_each, send_held
from jackfield._native.system cimport os_error

cdef extern from "<unistd.h>" nogil:
    int close(int fd)

cdef extern from "Python.h":
    PyObject *PyDict_GetItemWithError(object mapping, object key) except? NULL

cdef extern from "readiness.h" nogil:
    struct jf_event:
        int fd
        unsigned int flags
    const int JF_EVENTS
    const char *JF_READINESS
    const unsigned int JF_NEWS
    int jf_poller_open()
    int jf_poller_watch(int poller, int fd, unsigned int old, unsigned int wanted)
    int jf_poller_wait(int poller, jf_event *ready, double timeout)
    double jf_monotonic()

READINESS = JF_READINESS.decode()
"""What the system offers to wait with: epoll or kqueue."""

cdef class NativePoller:
    """See ``pollers.base.Poller`` for the contract."""

    cdef int poller
    cdef dict interests  # what kqueue has to be told to forget, and epoll to keep
    cdef jf_event *ready

    def __cinit__(self):
        self.poller = -1
        self.interests = {}
        self.ready = <jf_event *>PyMem_Malloc(JF_EVENTS * sizeof(jf_event))
        if self.ready is NULL:
            raise MemoryError
        self.poller = jf_poller_open()
        if self.poller < 0:
            raise os_error(errno)

    def __dealloc__(self):
        self.close()
        PyMem_Free(self.ready)

    def register(self, int fd, unsigned int interest):
        if fd in self.interests:
            raise ValueError(f"descriptor {fd} is registered already")
        if jf_poller_watch(self.poller, fd, 0, interest):
            raise os_error(errno)
        self.interests[fd] = interest

    def register_stream(self, int fd, unsigned int interest):
        """For who reads until nothing is left, or asks ``report_again``: ``fd`` is reported once
        for what is new."""
        self.register(fd, interest | JF_NEWS)

    def modify(self, int fd, unsigned int interest):
        cdef unsigned int old = self.interests[fd]
        interest |= old & JF_NEWS
        if old != interest and jf_poller_watch(self.poller, fd, old, interest):
            raise os_error(errno)
        self.interests[fd] = interest

    def unregister(self, int fd):
        cdef unsigned int old = self.interests.pop(fd)
        if jf_poller_watch(self.poller, fd, old, 0) and errno not in (ENOENT, EBADF):
            raise os_error(errno)

    cdef int report_again(self, int fd) except -1:
        interest = self.interests.get(fd)
        if interest is not None and jf_poller_watch(self.poller, fd, interest, interest):
            raise os_error(errno)
        return 0

    def poll(self, timeout):
        cdef int count = self.wait(-1 if timeout is None else timeout)
        return [(self.ready[i].fd, self.ready[i].flags) for i in range(count)]

    cdef int wait(self, double timeout) except -1:
        """Wait at most ``timeout`` seconds (negative: for ever); how many are in ``ready``."""
        cdef int count
        cdef double until = jf_monotonic() + timeout
        while True:
            with nogil:
                count = jf_poller_wait(self.poller, self.ready, timeout)
            if count >= 0:
                return count
            if errno != EINTR:
                raise os_error(errno)
            PyErr_CheckSignals()  # PEP 475: go on waiting, unless the handler raises
            if timeout > 0:
                timeout = max(0.0, until - jf_monotonic())

    def fileno(self):
        """The descriptor: readable while ``poll`` has something to say."""
        return self.poller

    def close(self):
        if self.poller >= 0:
            close(self.poller)
            self.poller = -1


cdef class HotLoop(Tick):
    """Goes before ``Reactor`` among the bases of an engine."""

    cdef NativePoller poller
    cdef list streams  # by descriptor: a dictionary is slow to look into for each arrival

    def __init__(self, NativePoller poller not None, *args, **options):
        self.poller = poller
        self.streams = []
        super().__init__(poller, *args, **options)
        self.know_clock()

    def _tick(self):
        """One turn of the loop; ``engines.loop`` says what happens in which order."""
        cdef int count = self.poller.wait(self.patience())
        self.begin()
        self.held = []
        try:
            self.dispatch(count)
        finally:
            held, self.held = self.held, None
            send_held(held)
        if self._timers.next_at() is not None:
            self._call_timers()
        if self._soon or self._graves:
            self._call_soon_and_bury()
        if self._ends:
            self._end_tick()

    cdef int dispatch(self, int count) except -1:
        """Serve those who are ready; send what they hold back, when it is some, and often."""
        cdef int i
        cdef jf_event *event
        cdef PyObject *watcher
        cdef HotStream stream
        cdef list streams = self.streams
        for i in range(count):
            event = &self.poller.ready[i]
            if event.fd < len(streams) and streams[event.fd] is not None:
                stream = <HotStream>streams[event.fd]  # held: it may end meanwhile
                stream.serve(event.flags)
            else:
                watcher = PyDict_GetItemWithError(self._watchers, event.fd)
                if watcher is not NULL:  # else it ended earlier in this tick
                    (<object>watcher).on_ready(event.flags)
            if i % HELD == HELD - 1:
                send_held(self.held)
        return 0

    def _enter(self, transport):
        if isinstance(transport, HotStream):
            while len(self.streams) <= transport.fd:
                self.streams.append(None)
            self.streams[transport.fd] = transport
        super()._enter(transport)

    def gone(self, transport):
        """A transport has ended: forget it."""
        if isinstance(transport, HotStream):
            self.streams[transport.fd] = None
        super().gone(transport)

    def close(self):
        """Release the descriptors. May be called twice."""
        super().close()
        self.streams.clear()

    cdef int report_again(self, int fd) except -1:
        return self.poller.report_again(fd)

    def fan_out(self, bytes data not None, transports):
        """One ``send`` of the same ``bytes`` for each; returns those whose outbox is not empty."""
        cdef list behind = [], sending = []
        cdef HotStream stream
        for transport in transports:
            if isinstance(transport, HotStream):
                stream = <HotStream>transport
                stream.push()
                if stream.write_closed:
                    continue
                if stream.outbox is None:
                    sending.append(stream)
                    continue
            if transport.deliver(data):
                behind.append(transport)
        if sending:
            self.send_all(data, sending, behind)
        return behind

    cdef int send_all(self, bytes data, list sending, list behind) except -1:
        cdef Py_ssize_t count = len(sending), size = PyBytes_GET_SIZE(data), i
        cdef const char *start = PyBytes_AS_STRING(data)
        cdef Send *sends = <Send *>PyMem_Malloc(count * sizeof(Send))
        cdef HotStream stream
        if sends is NULL:
            raise MemoryError
        try:
            for i in range(count):
                sends[i].fd = (<HotStream>sending[i]).fd
                sends[i].start = start
                sends[i].size = size
            with nogil:
                send_each(sends, count)
            for i in range(count):
                if sends[i].sent != size:
                    stream = <HotStream>sending[i]
                    if stream.send_rest(data, sends[i].sent):
                        behind.append(stream)
        finally:
            PyMem_Free(sends)
        return 0
