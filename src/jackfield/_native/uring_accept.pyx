"""A listener on a ring: asked once, each connection is a completion that bears its descriptor.

To an acceptor it looks like a listening socket that does not block, and to the loop like one that
is readable while somebody came whom the acceptor has not taken. Must not know limits or protocols.
"""

from collections import deque

from jackfield._native.system cimport os_error
from jackfield._native.uring cimport ACCEPT, IORING_CQE_F_MORE, Poll, Ring, io_uring_sqe
from jackfield._native.uring cimport ring_ask_accept

from jackfield._native.accept import accept, adopt

import errno
import os
import socket

cdef int FLAGS = socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC

cdef enum:
    READ = 0x1


cdef class Accepting(Poll):
    """One listening descriptor; ``accept`` is what ``socket.accept`` is to others. The loop watches
    it as any descriptor, once it is among the ring's ``listeners``."""

    cdef Ring ring
    cdef object came  # descriptors, and -errno where accepting failed

    def __init__(self, Ring ring not None, int fd):
        self.ring = ring
        self.fd = fd
        self.came = deque()
        ring.handlers[ACCEPT] = accepted
        ring.listeners[fd] = self

    cdef int ask(self, Ring ring) except -1:
        cdef io_uring_sqe *sqe
        if self.wanted and not self.asked:
            sqe = ring.entry()
            self.asked = self.wanted
            ring_ask_accept(sqe, self.fd, FLAGS, ring.begin(self, ACCEPT))
        if self.wanted and self.came and not self.flags:  # more than the acceptor took in a tick
            self.flags = READ
            ring.ready.append(self)
        return 0

    cdef int cancel(self, Ring ring) except -1:
        return ring.cancel(self, ACCEPT)

    def accept(self):
        """``(LazySocket, peername)``, or None when nobody waits; raises ``OSError`` as
        ``socket.accept`` does for anything else."""
        if not self.came:
            if self.asked or self.ring.is_open and self.ring.runs:
                return None
            return accept(self.fd)
        number = self.came.popleft()
        if number < 0:
            raise os_error(-number)
        return adopt(number)

    def settle(self):
        """Have those come who have connected already."""
        if self.asked:
            self.ring.settle()

    def close(self):
        """Nobody wants those who came since."""
        self.ring.listeners.pop(self.fd, None)
        for number in self.came:
            if number >= 0:
                os.close(number)
        self.came.clear()


cdef void accepted(Ring ring, object owner, int result, unsigned flags) noexcept:
    cdef Accepting listener = <Accepting>owner
    if not flags & IORING_CQE_F_MORE:
        listener.asked = 0
        if listener.wanted:
            ring.unasked.append(listener)
    if result == -errno.ECANCELED:
        return
    listener.came.append(result)
    if listener.wanted and not listener.flags:
        listener.flags = READ
        ring.ready.append(listener)
