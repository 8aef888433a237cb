"""The sending half of a connection on a ring, for the loop to call without Python between."""

from jackfield._native.fields cimport StreamFields
from jackfield._native.uring cimport Ring, io_uring_sqe, iovec, msghdr

cdef enum:
    GATHER = 64  # limits.GATHER_BUFFERS

cdef struct Gathered:
    msghdr header
    int first, count  # parts[first:count] are still to be sent
    iovec parts[GATHER]


cdef class Sending(StreamFields):
    cdef Ring ring
    # Of `left` bytes in all, `sending` is next or under way, `outbox` comes behind it.
    # `sending` is bytes, from `sent` on; or with `gathered` a list of them.
    cdef Py_ssize_t sent
    cdef Gathered *gathered
    cdef Py_ssize_t left
    cdef int failure  # errno of a send
    cdef bint handed  # the kernel has `sending`
    cdef bint refused  # it took nothing more: its completion tells when it does
    cdef bint moved  # the kernel took something, and that may let something else go on
    cdef bint listed  # among those who ask for something when the tick ends
    cdef bint noted  # among those to be served

    cdef int add(self, bytes data) except -1
    cdef int hand_over(self) except -1
    cdef int accept(self, bytes data) except -1
    cdef int overfull(self) except -1
    cdef int note_for_asking(self) except -1
    cdef int note_for_serving(self) except -1
    cdef int gather(self) except -1
    cdef msghdr *message(self) noexcept
    cdef void advance(self, Py_ssize_t count) noexcept
    cdef void next_piece(self) noexcept
    cdef int push(self) except -1
    cdef int try_push(self) except -1
    cdef int give_up(self, int number) except -1
    cdef void drop_unsent(self) noexcept


cdef void sent(Ring ring, object owner, int result, unsigned flags) noexcept
