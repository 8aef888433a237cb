"""A ring, what is under way in it, and readiness told by it.

Completions are taken off the queue whenever the kernel was entered, and noted with their owners;
what they mean is served once a tick, from ``ready``. So in the midst of a tick a message can be
sent to a thousand members, and it is known who took it.

An owner is referenced while anything of it is under way, and what the kernel reads or writes
belongs to its owner: nothing is freed that the kernel still uses. Must not know protocols or
engines.
"""

from cpython.exc cimport PyErr_CheckSignals
from cpython.ref cimport Py_DECREF, Py_INCREF, PyObject
from libc.errno cimport EAGAIN, EBUSY, EINTR, ETIME

from jackfield._native.system cimport os_error

from jackfield import limits

cdef extern from "ring_probe.h" nogil:
    int ring_probe(int *stage)
    enum: PROBE_OPENING, PROBE_BUFFERS, PROBE_RECEIVING

cdef extern from "<unistd.h>" nogil:
    int getpid()

cdef enum:
    SUBMISSIONS = 1024  # 64 KiB of entries: a fan-out to more is handed over in parts
    COMPLETIONS = 8192  # 128 KiB; what does not fit is kept by the kernel, at a cost
    BUFFERS = 64  # at most: 4 MiB for what arrives in one tick
    BUFFERS_AT_FIRST = 8  # 512 KiB, which a processor's cache holds
    # Since Linux 6.13 a call runs no more than some twenty completions (IO_LOCAL_TW_DEFAULT_MAX)
    # and leaves the rest for the next; who brought fewer has brought what there was.
    PORTION = 16
    MORE = 200  # calls in one tick: as many connections as an epoll_wait(2) of native reports
    MOST_SETTLING = 100  # rounds; one is enough unless the system is out of memory
    EVENTS_ALWAYS = 0x18  # POLLERR | POLLHUP

cdef unsigned BUFFER_SIZE = limits.RECEIVE_SIZE
cdef double LONGEST = 1e9  # seconds, which is for ever

STAGES = {
    PROBE_OPENING: "opening a ring",
    PROBE_BUFFERS: "offering buffers",
    PROBE_RECEIVING: "receiving repeatedly",
}


def probe():
    """Try io_uring as the engine uses it: ``(errno, what failed)``, or ``(0, "")``."""
    cdef int stage = 0
    cdef int result
    with nogil:
        result = ring_probe(&stage)
    return (-result, STAGES[stage]) if result < 0 else (0, "")


cdef class Poll:
    """One descriptor whose readiness somebody wants to know; asked for anew after each answer, so
    that it is told again while it lasts."""

    cdef int ask(self, Ring ring) except -1:
        cdef io_uring_sqe *sqe
        if self.wanted and not self.asked:
            sqe = ring.entry()
            self.asked = self.wanted
            ring_ask_poll(sqe, self.fd, self.wanted, ring.begin(self, POLL))
        return 0


    cdef int cancel(self, Ring ring) except -1:
        return ring.cancel(self, POLL)


cdef void polled(Ring ring, object owner, int result, unsigned flags) noexcept:
    cdef Poll poll = <Poll>owner
    poll.asked = 0
    if poll.wanted:
        if result > 0:
            poll.flags = <unsigned>result
            ring.ready.append(poll)
        else:  # cancelled since what is wanted has changed
            ring.unasked.append(poll)


cdef class Ring:
    """The ring of one engine: made in any thread, used by the first that waits. To a ``Loop`` it is
    a poller, see ``pollers.base.Poller`` for the contract. ``shared``, ``limited``: use what Linux
    6.12 and 6.17 brought, where it is there."""

    def __cinit__(self, bint shared=True, bint limited=True):
        cdef int result = ring_open(&self.queues, SUBMISSIONS, COMPLETIONS, 0)
        if result < 0:
            raise os_error(-result)
        result = ring_buffers_open(
            &self.buffers, &self.queues, BUFFERS, BUFFERS_AT_FIRST, BUFFER_SIZE, 0, shared
        )
        if result < 0:
            ring_close(&self.queues)
            raise os_error(-result)
        self.is_open = True
        self.process = getpid()
        self.limited = limited
        self.ready = []
        self.later = []
        self.unasked = []
        self.polls = {}
        self.listeners = {}
        self.handlers[POLL] = polled

    def __dealloc__(self):
        if self.is_open and self.process == getpid():  # else something under way keeps us
            ring_close(&self.queues)
            ring_buffers_free(&self.buffers)

    # --- what is asked -----------------------------------------------------------------------

    cdef unsigned long long begin(self, object owner, int kind) noexcept:
        """The tag of an operation that is under way from now on."""
        Py_INCREF(owner)
        self.under_way += 1
        return <unsigned long long><size_t><PyObject *>owner | kind

    cdef io_uring_sqe *entry(self) except NULL:
        """An entry to fill."""
        cdef io_uring_sqe *sqe = ring_entry(&self.queues)
        while sqe is NULL:
            self.settle()
            sqe = ring_entry(&self.queues)
        return sqe

    cdef int cancel(self, object owner, int kind) except -1:
        """End an operation; its completion follows when the kernel is entered."""
        cdef unsigned long long tag = <unsigned long long><size_t><PyObject *>owner | kind
        if not self.runs:
            return 0
        ring_ask_cancel(self.entry(), tag, ANSWER)
        return 0

    # --- entering the kernel -----------------------------------------------------------------

    cdef int wait(self, double seconds) except -1:
        """Hand over what is asked, and wait for something to complete (negative: for ever)."""
        cdef int result, count, i
        cdef long long nanoseconds = -1
        if 0 <= seconds < LONGEST:
            nanoseconds = <long long>(seconds * 1e9)
        with nogil:
            result = ring_submit_and_wait(&self.queues, seconds != 0, nanoseconds)
        self.check(result)
        count = self.reap()
        for i in range(MORE):
            if count < PORTION or not ring_has_more(&self.queues):
                break
            count = self.settle()
        return 0

    cdef int run(self) except -1:
        """From now on the ring is this thread's."""
        self.check(ring_enable(&self.queues))
        self.runs = True
        return 0

    cdef int check(self, int result) except -1:
        if result == -EINTR:
            PyErr_CheckSignals()
        elif result < 0 and result not in (-ETIME, -EBUSY, -EAGAIN):
            raise os_error(-result)
        return 0

    cdef int hand_over(self) except -1:
        """Submit without waiting; what was done at once is noted."""
        cdef int result
        if not self.runs:
            return 0
        with nogil:
            result = ring_submit(&self.queues, False)
        self.check(result)
        return self.reap()

    cdef int settle(self) except -1:
        """Hand over, and run what became ready: what was cancelled is over then. How many
        completions there were."""
        cdef int result
        if not self.runs:
            return 0
        with nogil:
            result = ring_submit(&self.queues, True)
        self.check(result)
        return self.reap()

    cdef int reap(self) except -1:
        """Note every completion with its owner; how many there were."""
        cdef io_uring_cqe *cqe
        cdef PyObject *owner
        cdef unsigned long long tag
        cdef int result, count = 0
        cdef unsigned flags
        while True:
            cqe = ring_completion(&self.queues)
            if cqe is NULL:
                if not ring_overflown(&self.queues):
                    return count
                ring_submit(&self.queues, True)
                continue
            tag, result, flags = cqe.user_data, cqe.res, cqe.flags
            ring_seen(&self.queues)
            count += 1
            if tag == ANSWER:
                continue
            owner = <PyObject *><size_t>(tag & ~<unsigned long long>(KINDS - 1))
            self.handlers[tag & (KINDS - 1)](self, <object>owner, result, flags)
            if not flags & IORING_CQE_F_MORE:
                self.under_way -= 1
                Py_DECREF(<object>owner)

    # --- a poller ----------------------------------------------------------------------------

    def register(self, int fd, unsigned interest):
        cdef Poll poll
        if fd in self.polls:
            raise ValueError(f"descriptor {fd} is registered already")
        poll = self.listeners.get(fd)
        if poll is None:
            poll = Poll.__new__(Poll)
            poll.fd = fd
        poll.wanted = interest
        self.polls[fd] = poll
        self.unasked.append(poll)

    def modify(self, int fd, unsigned interest):
        cdef Poll poll = self.polls[fd]
        poll.wanted = interest
        if poll.asked and poll.asked != interest:
            poll.cancel(self)

    def unregister(self, int fd):
        cdef Poll poll = self.polls.pop(fd)
        poll.wanted = 0
        if poll.asked:
            poll.cancel(self)
            self.settle()  # the descriptor may be closed, and its number taken anew, any moment

    def close(self):
        """End everything that is under way, then the ring."""
        cdef int rounds = 0
        if not self.is_open:
            return
        self.is_open = False
        try:
            while self.under_way and self.runs and rounds < MOST_SETTLING:
                ring_ask_cancel_all(self.entry(), ANSWER)
                self.settle()
                rounds += 1
        finally:
            self.runs = False
            ring_close(&self.queues)
        self.polls.clear()
        self.listeners.clear()
        self.ready.clear()
        self.later.clear()
        self.unasked.clear()
        if not self.under_way:  # else the kernel may still write there
            ring_buffers_free(&self.buffers)

    def abandon(self):
        """In a process forked from the ring's: it is the parent's."""
        if self.is_open:
            self.is_open = self.runs = False
            ring_forget(&self.queues)
