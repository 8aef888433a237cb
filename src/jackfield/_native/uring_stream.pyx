"""The hot path of a connection on a ring: what arrived, in C; what is to be sent: ``uring_send``.

Receiving is asked for once and answered again and again. A completion only notes what came
(``received``); ``serve`` then tells the protocol, once a tick: one call of Python code, the
protocol's.
What is received lies in a buffer of the ring's until then, and for who has paused in a copy: nobody
keeps the buffers from the others.

Everything rarer is ``transports.stream.StreamBase``'s; a transport is made of both.
"""

from cpython.buffer cimport PyBUF_READ
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.memoryview cimport PyMemoryView_FromMemory
from libc.errno cimport EAGAIN, EINTR, EINVAL, ENOBUFS, errno
from libc.string cimport memcpy

from jackfield._native.fields cimport StreamFields
from jackfield._native.system cimport os_error
from jackfield._native.uring cimport IORING_CQE_F_BUFFER, IORING_CQE_F_MORE
from jackfield._native.uring cimport RECEIVE, SEND, Ring, io_uring_sqe
from jackfield._native.uring cimport ring_ask_receive, ring_block, ring_block_taken
from jackfield._native.uring cimport ring_buffers_grow
from jackfield._native.uring_send cimport Sending

from jackfield import limits

cdef extern from "<errno.h>" nogil:
    const int ECANCELED

cdef extern from "<sys/socket.h>" nogil:
    const int MSG_DONTWAIT
    Py_ssize_t c_recv "recv" (int fd, void *buffer, size_t size, int flags)

cdef enum:
    READ = 0x1
    SHARE = 65536  # limits.RECEIVE_SIZE: what one connection may receive in a tick
    BY_RING = 8192  # of it, in the ring's buffers; the rest is received as it is served, into one
    # buffer for all: that stays in a processor's cache, which many large ones would not
    NONEMPTY = 4  # IORING_CQE_F_SOCK_NONEMPTY
    BUFFER_SHIFT = 16  # IORING_CQE_BUFFER_SHIFT
    CLOSED = 3  # transports.base
    TOLD = 2  # of RingStream.end: the protocol knows of it
assert SHARE == limits.RECEIVE_SIZE

cdef char rest[SHARE]


cdef class RingStream(Sending):
    """Goes before ``StreamBase`` among the bases of a transport."""

    def __init__(self, engine, sock, peer, protocol):
        StreamFields.__init__(self, engine, sock, peer, protocol)
        self.ring = engine.ring
        self.note_for_asking()  # to receive

    cdef int ask(self) except -1:
        """At the end of a tick: ask the kernel for what is wanted now."""
        cdef io_uring_sqe *sqe
        self.listed = False
        if self.left and not self.handed:
            self.hand_over()
        if self._interest & READ and not self.receives and not self.end and self.kept is None:
            sqe = self.ring.entry()
            self.receives = True
            self.stops = False
            ring_ask_receive(sqe, self.fd, BY_RING if self.ring.limited else 0, 0,
                             self.ring.begin(self, RECEIVE))
        return 0

    cdef int keep(self) except -1:
        """Copy the block, so that its buffer is free for others."""
        cdef bytes kept
        cdef Py_ssize_t before = 0 if self.kept is None else PyBytes_GET_SIZE(self.kept)
        if self.block is NULL:
            return 0
        if not self.ring.is_open:  # the buffers are gone
            return self.drop()
        self.more = False
        kept = PyBytes_FromStringAndSize(NULL, before + self.block_size)
        if before:
            memcpy(PyBytes_AS_STRING(kept), PyBytes_AS_STRING(self.kept), before)
        memcpy(PyBytes_AS_STRING(kept) + before, self.block, self.block_size)
        self.release_block()
        self.kept = kept
        return 0

    cdef void release_block(self) noexcept:
        if self.block is not NULL:
            self.block = NULL
            if self.ring.is_open:
                ring_block_taken(&self.ring.buffers, self.block_buffer)

    cdef bytes take(self):
        """What came, at most a fair share of it."""
        cdef bytes data
        if self.more:
            return self.take_more()
        if self.kept is None and self.block_size <= SHARE:
            data = PyBytes_FromStringAndSize(self.block, self.block_size)
            self.release_block()
            return data
        self.keep()
        data = self.kept
        if PyBytes_GET_SIZE(data) <= SHARE:
            self.kept = None
            return data
        self.kept = data[SHARE:]
        return data[:SHARE]

    cdef bytes take_more(self):
        """The block and what has come behind it."""
        cdef bytes data
        cdef Py_ssize_t before = self.block_size, count
        self.more = False
        if self.kept is not None or before >= SHARE or self.receives:
            return self.take()
        count = c_recv(self.fd, rest, SHARE - before, MSG_DONTWAIT)
        if count <= 0:
            if not count:
                self.end = 1
            elif errno != EAGAIN and errno != EINTR:
                self.end = -errno
            return self.take()
        data = PyBytes_FromStringAndSize(NULL, before + count)
        memcpy(PyBytes_AS_STRING(data), self.block, before)
        memcpy(PyBytes_AS_STRING(data) + before, rest, count)
        self.release_block()
        return data

    cdef int serve(self) except -1:
        """Tell what was noted: that the kernel took something, then what arrived."""
        self.noted = False
        if self.state == CLOSED:
            self.release_block()
            return 0
        if self.failure:
            self.give_up(self.failure)
        elif self.moved:
            self.moved = False
            self._flushed()
        if self.state == CLOSED:
            return 0
        if not self._interest & READ:
            return self.keep()
        try:
            if self.block is not NULL or self.kept is not None:
                self.read_at = self.tick.now
                if self.filling and self.kept is None:
                    self.fill()
                else:
                    self.receiver.data_received(self.take())
            if self.end and self.end != TOLD and self.kept is None and self._interest & READ:
                self.tell_end()
        except Exception as exc:
            self.callback_failed(exc)
        if self._interest & READ:
            self.go_on()
        return 0

    cdef int go_on(self) except -1:
        """Behind those who were not served in this tick, if there is more; else receive."""
        if self.kept is None:
            return 0 if self.receives else self.note_for_asking()
        if not self.noted:
            self.noted = True
            self.ring.later.append(self)
        return self.stop_receiving()

    cdef int stop_receiving(self) except -1:
        if not self.receives or self.stops:
            return 0
        self.stops = True
        return self.ring.cancel(self, RECEIVE)

    cdef int fill(self) except -1:
        """What came goes into the buffer of a protocol that brings its own, straight from ours."""
        cdef char *block = self.block
        cdef unsigned buffer = self.block_buffer
        self.block = NULL  # the protocol may pause or close us
        try:
            self.receiver.data_received(
                PyMemoryView_FromMemory(block, self.block_size, PyBUF_READ)
            )
        finally:
            ring_block_taken(&self.ring.buffers, buffer)
        return 0

    cdef int drop(self) except -1:
        self.release_block()
        self.kept = None
        return 0

    cdef int tell_end(self) except -1:
        cdef int end = self.end
        self.end = TOLD
        if end < 0:
            self._fail(self._error or os_error(-end))
            return 0
        self.read_at = self.tick.now
        self._end_of_stream()
        return 0

    def _watch(self, unsigned interest):
        """Begin or cease to receive; whether what waits can be written the kernel tells anyway."""
        cdef unsigned old = self._interest
        self._interest = interest
        if not (old ^ interest) & READ:
            return
        if not interest & READ:
            self.stop_receiving()
            self.keep()
        elif self.kept is not None or self.end:
            self.note_for_serving()
        else:
            self.note_for_asking()

    def _unwatch(self):
        """The connection is over: end what is under way. Its descriptor is closed after that."""
        self._interest = 0
        self.drop()
        self.stop_receiving()
        if self.handed:
            self.ring.cancel(self, SEND)


cdef void received(Ring ring, object owner, int result, unsigned flags) noexcept:
    """A completion of receiving: note the block, or the end."""
    cdef RingStream stream = <RingStream>owner
    cdef unsigned buffer
    if not flags & IORING_CQE_F_MORE:
        stream.receives = False
    if result <= 0 and flags & IORING_CQE_F_BUFFER:  # no kernel is known to do that
        ring_block(&ring.buffers, flags >> BUFFER_SHIFT, 0, flags)
        ring_block_taken(&ring.buffers, flags >> BUFFER_SHIFT)
    if result > 0:
        buffer = flags >> BUFFER_SHIFT
        if stream.block is not NULL:
            stream.keep()
        stream.block = ring_block(&ring.buffers, buffer, result, flags)
        stream.block_size = result
        stream.block_buffer = buffer
        stream.more = flags & (NONEMPTY | IORING_CQE_F_MORE) == NONEMPTY
        if stream.state == CLOSED:
            stream.release_block()
        elif stream.kept is not None or not stream._interest & READ:
            stream.keep()
    elif result == 0 or not is_passing(ring, -result):
        stream.end = 1 if result == 0 else result
    elif stream._interest & READ and stream.kept is None and stream.block is NULL:
        stream.note_for_asking()
        return
    stream.note_for_serving()


cdef bint is_passing(Ring ring, int number) noexcept:
    """Receiving ended with this, and can be asked for anew."""
    if number == ENOBUFS:
        ring_buffers_grow(&ring.buffers)
        return True
    if number == EINVAL and ring.limited:  # a kernel before 6.17
        ring.limited = False
        return True
    return number == ECANCELED or number == EINTR or number == EAGAIN
