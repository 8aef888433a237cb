"""The hot path of one connection, for the loop to call without Python between."""

from jackfield._native.fields cimport StreamFields


cdef class HotStream(StreamFields):
    cdef int send_now(self, bytes data) except -1
    cdef int serve(self, unsigned int flags) except -1
    cdef int send_rest(self, bytes data, Py_ssize_t sent) except -1
