"""The hot path of one connection, for the loop to call without Python between."""

from jackfield._native.fields cimport StreamFields


cdef enum:
    HELD = 16  # writes that are sent together: eight show most of what is to be gained


cdef struct Send:
    int fd
    const char *start
    Py_ssize_t size
    Py_ssize_t sent  # bytes, or -errno


cdef class HotStream(StreamFields):
    cdef bint may_hold(self, bytes data)
    cdef int push(self) except -1
    cdef int send_now(self, bytes data) except -1
    cdef int serve(self, unsigned int flags) except -1
    cdef int send_rest(self, bytes data, Py_ssize_t sent) except -1


cdef void send_each(Send *sends, Py_ssize_t count) noexcept nogil
cdef int send_held(list streams) except -1
