"""Accepting in C: a descriptor, its peer's address, and a socket object only for who asks.

Must not know listeners' options, limits or protocols.
"""

cimport cython
from libc.errno cimport EAGAIN, errno

from jackfield._native.addresses cimport jf_accept, jf_peer, jf_sockaddr, socklen_t, to_python
from jackfield._native.system cimport os_error

import socket

cdef extern from "<sys/socket.h>" nogil:
    int c_shutdown "shutdown" (int fd, int how)

cdef int STREAM = int(socket.SOCK_STREAM)


@cython.no_gc  # a socket leads back to nobody; and clearing `real` would close twice
cdef class LazySocket:
    """A connected stream socket that costs 32 bytes until somebody needs a ``socket.socket``.

    It owns the descriptor. Everything a socket can do is done by a real one, made at that moment.
    """

    cdef int number
    cdef readonly int family
    cdef object real

    def fileno(self):
        """The descriptor; -1 when it is closed."""
        return self.number

    @property
    def type(self):
        return socket.SOCK_STREAM

    def setblocking(self, flag):
        """It does not block; anything else is the real socket's to do."""
        if flag or self.real is not None:
            self.socket().setblocking(flag)

    def shutdown(self, int how):
        """shutdown(2)."""
        if self.real is not None:
            self.real.shutdown(how)
        elif c_shutdown(self.number, how) < 0:
            raise os_error(errno)

    def socket(self):
        """The real one. It owns the descriptor from now on; ``close`` closes it."""
        if self.real is None:
            if self.number < 0:
                return closed_socket(self.family)
            self.real = socket.socket(self.family, STREAM, 0, fileno=self.number)
            self.real.setblocking(False)  # it does not; a new one believes otherwise
        return self.real

    def __getattr__(self, name):
        return getattr(self.socket(), name)

    def close(self):
        """Close the descriptor. May be called twice."""
        number, self.number = self.number, -1
        if self.real is not None:
            self.real.close()
        elif number >= 0:
            socket.close(number)

    def __dealloc__(self):
        if self.number >= 0 and self.real is None:
            socket.close(self.number)


cdef object closed_socket(int family):
    """For who asks a socket that is closed already: its calls fail with EBADF, as they should."""
    sock = socket.socket(family, STREAM)
    sock.close()
    return sock


def accept(int listener):
    """Accept one connection of the listening descriptor: ``(LazySocket, peername)``, or None when
    nobody waits.

    Raises ``OSError`` as ``socket.accept`` does for anything else (accept(2)). The socket does not
    block, and is closed in programs that are started.
    """
    cdef jf_sockaddr peer
    cdef socklen_t size
    cdef LazySocket accepted
    cdef int fd = jf_accept(listener, &peer, &size)
    if fd < 0:
        if errno == EAGAIN:  # not worth an exception: it ends every burst
            return None
        raise os_error(errno)
    accepted = LazySocket.__new__(LazySocket)
    accepted.number = fd
    accepted.family = peer.any.sa_family
    return accepted, to_python(&peer, size)


def adopt(int fd):
    """The same for a descriptor that was accepted already, without blocking."""
    cdef jf_sockaddr peer
    cdef socklen_t size
    cdef LazySocket accepted = LazySocket.__new__(LazySocket)
    accepted.number = fd
    if jf_peer(fd, &peer, &size) < 0:
        raise os_error(errno)
    accepted.family = peer.any.sa_family
    return accepted, to_python(&peer, size)
