"""The hot path of a connection under a readiness loop: receive, send, flush, in C.

What ``transports.stream.StreamBase`` does in Python, for the calls that are made for each arrival.
Everything rarer is that class's: a transport is made of both. An arrival costs one call of Python
code, the protocol's. The GIL stays held in a single call: one that does not wait takes a
microsecond, and to let go of the lock and take it again costs a tenth of that, when nobody wants it.

While the loop serves arrivals, the first small write of each connection is held back, and some of
them are sent together (``send_held``): the kernel's code for one thing then stays in the processor's
caches, which takes a twentieth off an echo. Nothing overtakes what is held: who writes again,
closes or asks what waits, sends it first.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.errno cimport EAGAIN, EINTR, errno
from libc.string cimport memset

from jackfield._native.fields cimport StreamFields
from jackfield._native.system cimport os_error

from jackfield import limits

cdef extern from "<sys/types.h>" nogil:
    ctypedef long ssize_t

cdef extern from "<sys/uio.h>" nogil:
    struct iovec:
        void *iov_base
        size_t iov_len

cdef extern from "<sys/socket.h>" nogil:
    struct msghdr:
        iovec *msg_iov
        size_t msg_iovlen
    ssize_t recv(int fd, void *buffer, size_t size, int flags)
    ssize_t send(int fd, const void *buffer, size_t size, int flags)
    ssize_t sendmsg(int fd, const msghdr *message, int flags)

cdef extern from *:
    """
    #include <sys/socket.h>
    #ifndef MSG_NOSIGNAL
    #define MSG_NOSIGNAL 0  /* macOS: Python ignores SIGPIPE by itself */
    #endif
    """
    const int MSG_NOSIGNAL

# The flags of pollers.base, which are poll(2)'s.
cdef enum:
    READ = 0x1
    WRITE = 0x4
    ERROR = 0x8
    HANGUP = 0x10
    URGENT = 0x2  # POLLPRI: a receive stops before urgent data, though more is there
    PEER_DONE = 0x2000  # POLLRDHUP: the end of the stream is there, behind what is unread

cdef enum:
    RECEIVE = 65536  # limits.RECEIVE_SIZE, which a C array needs as a constant
    GATHER = 64  # limits.GATHER_BUFFERS
    # Bytes: what is more is sent at once, since to keep it costs page faults (uring_send).
    SMALL = 4096
assert RECEIVE == limits.RECEIVE_SIZE and GATHER == limits.GATHER_BUFFERS

# One for all connections: what is received is copied out of it before anybody else receives.
cdef char received[RECEIVE]


cdef inline bint not_now(int number) noexcept:
    return number == EAGAIN or number == EINTR


cdef class HotStream(StreamFields):
    """Goes before ``StreamBase`` among the bases of a transport."""

    def on_ready(self, unsigned int flags):
        """The poller says the descriptor is ready."""
        self.serve(flags)

    cdef int serve(self, unsigned int flags) except -1:
        cdef ssize_t count
        cdef int number
        cdef bint more = flags & (PEER_DONE | URGENT | ERROR | HANGUP) != 0
        flags &= ~<unsigned int>(PEER_DONE | URGENT)
        if flags != READ:
            if self.outbox is not None:
                self._flush()
            if flags == WRITE:
                return 0
        if not self._interest & READ:  # paused earlier in this tick
            if flags & (ERROR | HANGUP) and self._interest:
                self._fail(self._socket_error())
            return 0
        if self.filling:
            self._receive_into()
            self.tick.report_again(self.fd)
            return 0
        count = recv(self.fd, received, RECEIVE, 0)
        if count < 0:
            number = errno
            if not not_now(number):
                self._fail(self._error or os_error(number))
            return 0
        self.read_at = self.tick.now
        if more or count == RECEIVE:
            self.tick.report_again(self.fd)  # what is left is no news, and would not be reported
        try:
            if count:
                self.receiver.data_received(PyBytes_FromStringAndSize(received, count))
            else:
                self._end_of_stream()
        except Exception as exc:
            self.callback_failed(exc)
        return 0

    def write(self, data):
        if self._gatherers:
            self._catch_up()
        if type(data) is not bytes:
            data = bytes(memoryview(data))
        if self.sending is not None:
            self.push()
        elif self.tick.held is not None and self.may_hold(<bytes>data):
            self.sending = data
            self.tick.held.append(self)
            if len(self.tick.held) == HELD:
                send_held(self.tick.held)
            return
        if self.write_closed:
            self._written_too_late()
        elif self.outbox:  # there may be one that has just been emptied
            self.queue_rest(data, 0)
            self._tell_to_pause()
        elif self.send_now(<bytes>data):
            self._tell_to_pause()

    cdef inline bint may_hold(self, bytes data):
        return PyBytes_GET_SIZE(data) <= SMALL and not self.write_closed and not self.outbox

    def deliver(self, bytes data not None):
        self.push()
        if self.write_closed:
            return False
        if self.outbox:
            self.queue_rest(data, 0)
        else:
            self.send_now(data)
        return self.outbox is not None

    cdef int push(self) except -1:
        """Send what is held back."""
        cdef bytes data = <bytes>self.sending
        if data is None:
            return 0
        self.sending = None
        return self.send_now(data)

    def _push(self):
        self.push()

    def _push_blindly(self):
        """The same at the very end, when neither a failure nor a rest interests any more."""
        cdef bytes data = <bytes>self.sending
        if data is not None:
            self.sending = None
            send(self.fd, PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data), MSG_NOSIGNAL)

    def get_write_buffer_size(self):
        self.push()
        return self.outbox.size if self.outbox else 0

    cdef int send_now(self, bytes data) except -1:
        """Send; 1 if something is left, and queued."""
        cdef Py_ssize_t size = PyBytes_GET_SIZE(data)
        cdef Py_ssize_t sent = send(self.fd, PyBytes_AS_STRING(data), size, MSG_NOSIGNAL)
        if sent == size:
            return 0
        return self.send_rest(data, sent if sent >= 0 else -errno)

    cdef int send_rest(self, bytes data, Py_ssize_t sent) except -1:
        """Queue what one send left, which took ``sent`` bytes or failed with -errno; 1 if
        something is queued now."""
        if sent < 0:
            if not not_now(<int>-sent):
                self.write_failed(os_error(<int>-sent))
                return 0
            sent = 0
        self.queue_rest(data, sent)
        return 1

    def _flush(self):
        """Send what waits until the kernel takes no more: only then it reports that it does."""
        cdef Py_ssize_t sent
        cdef int number
        outbox = self.outbox
        while True:
            sent = send_buffers(self.fd, outbox.buffers())
            if sent < 0:
                number = <int>-sent
                if not_now(number):
                    break
                self.write_failed(os_error(number))
                return
            outbox.advance(sent)
            if not outbox:
                break
        self._flushed()


cdef void send_each(Send *sends, Py_ssize_t count) noexcept nogil:
    """One send(2) for each, and what came of it."""
    cdef Py_ssize_t i
    for i in range(count):
        sends[i].sent = send(sends[i].fd, sends[i].start, sends[i].size, MSG_NOSIGNAL)
        if sends[i].sent < 0:
            sends[i].sent = -errno


cdef int send_held(list streams) except -1:
    """Send what each of ``streams``, at most HELD, holds back if it still does; empties the list."""
    cdef Send sends[HELD]
    cdef list owners = [], held = []
    cdef HotStream stream
    cdef bytes data
    cdef Py_ssize_t count = 0, i
    if not streams:
        return 0
    for stream in streams:
        data = <bytes>stream.sending
        if data is None:  # pushed since
            continue
        stream.sending = None
        sends[count].fd = stream.fd
        sends[count].start = PyBytes_AS_STRING(data)
        sends[count].size = PyBytes_GET_SIZE(data)
        owners.append(stream)
        held.append(data)
        count += 1
    streams.clear()
    with nogil:
        send_each(sends, count)
    for i in range(count):
        if sends[i].sent != sends[i].size:
            stream = <HotStream>owners[i]
            stream.send_rest(<bytes>held[i], sends[i].sent)
    return 0


cdef Py_ssize_t send_buffers(int fd, list buffers) except? -1:
    """One sendmsg(2) of up to GATHER buffers: bytes sent, or -errno."""
    cdef Py_buffer views[GATHER]
    cdef iovec vectors[GATHER]
    cdef msghdr message
    cdef Py_ssize_t sent
    cdef int held = 0
    try:
        for buffer in buffers[:GATHER]:
            PyObject_GetBuffer(buffer, &views[held], PyBUF_SIMPLE)
            vectors[held].iov_base = views[held].buf
            vectors[held].iov_len = views[held].len
            held += 1
        memset(&message, 0, sizeof(message))
        message.msg_iov = vectors
        message.msg_iovlen = held
        sent = sendmsg(fd, &message, MSG_NOSIGNAL)
        return sent if sent >= 0 else -errno
    finally:
        while held:
            held -= 1
            PyBuffer_Release(&views[held])
