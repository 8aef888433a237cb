"""What one tick and one connection consist of, as C sees them."""

cdef class Tick:
    cdef public double now
    cdef public Py_ssize_t ticks
    cdef bint real_time
    cdef list held  # connections that have `sending`, while such are gathered; else None
    cdef public object _clock
    cdef public object _timers
    cdef public dict _watchers
    cdef public object _soon
    cdef public list _ends
    cdef public list _graves
    cdef int know_clock(self) except -1
    cdef int begin(self) except -1
    cdef double patience(self) except? -2
    cdef int report_again(self, int fd) except -1


# What an arrival touches stands together at the beginning: with a thousand connections each line of
# memory is fetched anew.
cdef class StreamFields:
    cdef readonly int fd
    cdef public unsigned int _interest
    cdef public bint filling
    cdef public bint write_closed
    cdef public object receiver
    cdef public object outbox
    cdef public tuple _gatherers
    cdef object sending  # bytes that were written and are not yet offered to the kernel
    cdef Tick tick
    cdef public double read_at
    cdef public object engine
    cdef public object sock
    cdef public object protocol
    cdef public object peername
    cdef public int state
    cdef public double progress_at
    cdef public Py_ssize_t _low
    cdef public Py_ssize_t _high
    cdef public int _ends
    cdef public object _error
    cdef public object _timer
    cdef public int _paused
    cdef public bint _pausing
