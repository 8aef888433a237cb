"""What the system said, as Python says it: compiled into each module that asks."""

from libc.string cimport strerror


cdef inline object os_error(int number):
    return OSError(number, strerror(number).decode())
