"""One connection on a ring, for the loop to call without Python between."""

from jackfield._native.uring cimport Ring
from jackfield._native.uring_send cimport Sending


cdef class RingStream(Sending):
    cdef bytes kept  # came before the block
    cdef char *block
    cdef unsigned block_size, block_buffer
    cdef int end  # 0: none yet, 1: of the stream, 2: which is told, else -errno
    cdef bint receives  # the kernel may receive for us
    cdef bint more  # lies in the kernel, behind the block
    cdef bint stops  # it was told not to any more

    cdef int serve(self) except -1
    cdef int ask(self) except -1
    cdef int keep(self) except -1
    cdef int go_on(self) except -1
    cdef int stop_receiving(self) except -1
    cdef int fill(self) except -1
    cdef int drop(self) except -1
    cdef void release_block(self) noexcept
    cdef bytes take(self)
    cdef bytes take_more(self)
    cdef int tell_end(self) except -1


cdef void received(Ring ring, object owner, int result, unsigned flags) noexcept
