"""The sending half of a connection on a ring, in C.

What is written is asked to be sent when the tick ends, all of it in one entry, and one entry at a
time, which keeps it in order. What is much is offered to the kernel at once: so who is told to
pause is really behind. A completion only notes what came (``sent``).

The bytes belong to the connection until the kernel is done with them. Must not receive or close.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.errno cimport EAGAIN, EINTR, errno
from libc.string cimport memset

from jackfield._native.fields cimport StreamFields
from jackfield._native.system cimport os_error
from jackfield._native.uring cimport SEND, Ring, io_uring_sqe
from jackfield._native.uring cimport ring_ask_send, ring_ask_send_message

from jackfield import limits

cdef extern from "<errno.h>" nogil:
    const int ECANCELED

cdef extern from "<sys/socket.h>" nogil:
    const int MSG_NOSIGNAL, MSG_DONTWAIT
    Py_ssize_t c_send "send" (int fd, const void *buffer, size_t size, int flags)
    Py_ssize_t c_sendmsg "sendmsg" (int fd, const msghdr *message, int flags)

cdef enum:
    # Bytes that are sent at once: a call for so many costs little, and to keep them until the tick
    # ends costs page faults (measured at 16 KiB, 50 connections: 18 us an echo instead of 11).
    MUCH = 4096
    GATHER_BYTES = 131072  # what is under way cannot be dropped: no more than a kernel's buffer
    # The states and flags of transports.closing and .stream that the hot path asks for.
    OPEN = 0
    CLOSED = 3
    EOF_WANTED = 2
    BY_OUTBOX = 2
assert GATHER == limits.GATHER_BUFFERS


cdef class Sending(StreamFields):
    """The half of ``uring_stream.RingStream`` that sends."""

    def __dealloc__(self):
        PyMem_Free(self.gathered)

    cdef int note_for_asking(self) except -1:
        if not self.listed:
            self.listed = True
            self.ring.unasked.append(self)
        return 0

    cdef int note_for_serving(self) except -1:
        if not self.noted:
            self.noted = True
            self.ring.ready.append(self)
        return 0

    def write(self, data):
        if self._gatherers:
            self._catch_up()
        if type(data) is not bytes:
            data = bytes(memoryview(data))
        if self.write_closed:
            self._written_too_late()
            return
        if self.accept(<bytes>data):
            self._tell_to_pause()

    def deliver(self, bytes data not None):
        if self.write_closed:
            return False
        self.queue_rest(data, 0)
        return self.left > 0

    def queue_rest(self, bytes data not None, Py_ssize_t sent):
        """Keep ``data`` from offset ``sent`` on, by reference, until the kernel takes it."""
        self.accept(data[sent:] if sent else data)

    cdef int accept(self, bytes data) except -1:
        """Send ``data`` when the tick ends, or now if that makes much; 1: too much waits."""
        self.add(data)
        self.note_for_asking()
        if self.left > MUCH or self.left > self._high:
            self.push()
        if self.left <= self._high:
            return 0
        self.overfull()
        return 1

    cdef int overfull(self) except -1:
        """More waits than should, and the kernel takes no more now."""
        self._bound(self.left)
        if not self._paused & BY_OUTBOX:
            self._stop_producer()
            self._update_interest()
        return 0

    cdef int add(self, bytes data) except -1:
        """``data`` is to be sent, behind what waits."""
        cdef Py_ssize_t size = PyBytes_GET_SIZE(data)
        if not size:
            return 0
        if self.sending is None:
            self.sending = data
            self.sent = 0
        else:
            if self.outbox is None:
                self.outbox = self._new_outbox()
            self.outbox.append(data)
        self.left += size
        return 0

    cdef int gather(self) except -1:
        """If there is more than one piece to send: make a message of the first."""
        cdef Gathered *gathered
        cdef bytes piece
        cdef Py_ssize_t weight
        cdef list pieces
        if self.outbox is None or self.gathered is not NULL:
            return 0
        gathered = <Gathered *>PyMem_Malloc(sizeof(Gathered))
        if gathered is NULL:
            raise MemoryError
        memset(&gathered.header, 0, sizeof(msghdr))
        piece = self.sending
        gathered.parts[0].iov_base = PyBytes_AS_STRING(piece) + self.sent
        gathered.parts[0].iov_len = weight = PyBytes_GET_SIZE(piece) - self.sent
        gathered.first, gathered.count = 0, 1
        pieces = [piece]
        weight = 0
        for piece in self.outbox.buffers(GATHER - 1):
            if weight and weight + PyBytes_GET_SIZE(piece) > GATHER_BYTES:
                break
            weight += PyBytes_GET_SIZE(piece)
            gathered.parts[gathered.count].iov_base = PyBytes_AS_STRING(piece)
            gathered.parts[gathered.count].iov_len = PyBytes_GET_SIZE(piece)
            gathered.count += 1
            pieces.append(piece)
        self.outbox.advance(weight)
        if not self.outbox:
            self.outbox = None
        self.sending, self.gathered = pieces, gathered
        return 0

    cdef int hand_over(self) except -1:
        """Ask the kernel to send what is next."""
        cdef io_uring_sqe *sqe = self.ring.entry()
        cdef unsigned long long tag
        cdef bytes data
        self.gather()
        tag = self.ring.begin(self, SEND)
        self.handed = True
        if self.gathered is not NULL:
            ring_ask_send_message(sqe, self.fd, self.message(), MSG_NOSIGNAL, tag)
        else:
            data = <bytes>self.sending
            ring_ask_send(sqe, self.fd, PyBytes_AS_STRING(data) + self.sent,
                          PyBytes_GET_SIZE(data) - self.sent, MSG_NOSIGNAL, tag)
        return 0

    cdef msghdr *message(self) noexcept:
        cdef Gathered *gathered = self.gathered
        gathered.header.msg_iov = &gathered.parts[gathered.first]
        gathered.header.msg_iovlen = gathered.count - gathered.first
        return &gathered.header

    cdef void advance(self, Py_ssize_t count) noexcept:
        """The kernel took ``count`` bytes."""
        cdef Gathered *gathered = self.gathered
        cdef iovec *part
        self.left -= count
        if gathered is NULL:
            self.sent += count
            if self.sent < PyBytes_GET_SIZE(<bytes>self.sending):
                return
        else:
            while gathered.first < gathered.count:
                part = &gathered.parts[gathered.first]
                if <size_t>count < part.iov_len:
                    part.iov_base = <char *>part.iov_base + count
                    part.iov_len -= count
                    self.sent += count
                    return
                count -= part.iov_len
                self.sent = 0
                gathered.first += 1
        self.next_piece()

    cdef void next_piece(self) noexcept:
        """What was next is sent: the first in the outbox is next now."""
        PyMem_Free(self.gathered)
        self.gathered = NULL
        self.sending = None
        self.sent = 0
        if self.outbox is not None:
            self.sending = self.outbox.buffers(1)[0]
            self.outbox.advance(PyBytes_GET_SIZE(<bytes>self.sending))
            if not self.outbox:
                self.outbox = None

    cdef int push(self) except -1:
        """Send now what waits, as much as the kernel takes, unless it is taking some already."""
        cdef int number = self.try_push()
        return self.give_up(number) if number else 0

    cdef int try_push(self) except -1:
        """The same; the errno of a failure is returned."""
        cdef Py_ssize_t count
        cdef bytes data
        while self.left and not self.handed and not self.refused:
            self.gather()
            if self.gathered is not NULL:
                count = c_sendmsg(self.fd, self.message(), MSG_NOSIGNAL | MSG_DONTWAIT)
            else:
                data = <bytes>self.sending
                count = c_send(self.fd, PyBytes_AS_STRING(data) + self.sent,
                               PyBytes_GET_SIZE(data) - self.sent, MSG_NOSIGNAL | MSG_DONTWAIT)
            if count >= 0:
                self.advance(count)
            elif errno == EAGAIN:
                self.refused = True
            elif errno != EINTR:
                return errno
        return 0

    cdef int give_up(self, int number) except -1:
        """Sending has failed."""
        self.failure = 0
        self.drop_unsent()
        self.write_failed(os_error(number))
        return 0

    cdef void drop_unsent(self) noexcept:
        """What the kernel has not is forgotten."""
        if self.handed:
            if self.outbox is not None:
                self.left -= self.outbox.size
                self.outbox = None
            return
        self.outbox = None
        PyMem_Free(self.gathered)
        self.gathered = NULL
        self.sending = None
        self.sent = self.left = 0

    def _push(self):
        """Before the stream ends: nothing that was written waits for the tick's end."""
        self.push()

    def _push_blindly(self):
        """The same at its very end, when a failure interests nobody any more."""
        self.try_push()

    def get_write_buffer_size(self):
        return self.left

    def _truncate(self):
        """See ``wire.outbox.Outbox.truncate``: what is under way is finished."""
        cdef Py_ssize_t before = self.left, i
        if self.outbox is not None:
            self.left -= self.outbox.size
            self.outbox = None
        if self.gathered is not NULL and not self.handed:
            for i in range(self.gathered.first + (self.sent > 0), self.gathered.count):
                self.left -= self.gathered.parts[i].iov_len
            self.gathered.count = self.gathered.first + (self.sent > 0)
            if not self.left:
                self.next_piece()
        elif not self.handed and not self.sent:
            self.drop_unsent()
        return before - self.left

    def _forget_unsent(self):
        self.drop_unsent()


cdef void sent(Ring ring, object owner, int result, unsigned flags) noexcept:
    """A completion of sending: what is left follows when the tick ends."""
    cdef Sending stream = <Sending>owner
    stream.handed = False
    if stream.state == CLOSED:
        stream.drop_unsent()
        return
    if result < 0:
        if result != -ECANCELED and result != -EAGAIN and result != -EINTR:
            stream.failure = -result
            stream.drop_unsent()
            stream.note_for_serving()
            return
        result = 0
    stream.advance(result)
    stream.refused = False
    if stream.left:
        stream.note_for_asking()
    if stream._paused & BY_OUTBOX or (
        not stream.left and (stream.state != OPEN or stream._ends & EOF_WANTED)
    ):
        stream.moved = True
        stream.note_for_serving()
