"""What one tick and one connection consist of, as C sees them."""

cdef class Tick:
    cdef public double now
    cdef public Py_ssize_t ticks


cdef class StreamFields:
    cdef public object engine
    cdef public object sock
    cdef readonly int fd
    cdef public object protocol
    cdef public object receiver
    cdef public bint filling
    cdef public object peername
    cdef public int state
    cdef public double read_at
    cdef public double progress_at
    cdef public tuple _gatherers
    cdef public Py_ssize_t _low
    cdef public Py_ssize_t _high
    cdef public object outbox
    cdef public bint write_closed
    cdef public int _ends
    cdef public object _error
    cdef public object _timer
    cdef public unsigned int _interest
    cdef public int _paused
    cdef public bint _pausing
    cdef Tick tick
