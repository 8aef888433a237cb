"""The hot path of a datagram socket: receive a burst in one system call, answer it in another.

What ``transports.datagram.DatagramBase`` does in Python, for each datagram. What a protocol sends
while a burst is handed to it leaves when it has seen all of it; whatever is not plain (an address
that is no number, a full send buffer, an error) is that class's to handle, datagram by datagram.

On Linux datagrams of one size to one address leave as one send that the kernel cuts, and those that
came so are cut here (``coalesced``).
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Calloc, PyMem_Free
from libc.errno cimport EAGAIN, EINTR, EINVAL, EIO, EMSGSIZE, errno
from libc.string cimport memcmp, memcpy

from jackfield._native.addresses cimport from_python, jf_sockaddr, socklen_t, to_python
from jackfield._native.fields cimport Tick
from jackfield._native.system cimport os_error

from jackfield import limits

cdef extern from "datagrams.h" nogil:
    struct iovec:
        void *iov_base
        size_t iov_len
    struct msghdr:
        void *msg_name
        socklen_t msg_namelen
        iovec *msg_iov
        size_t msg_iovlen
        void *msg_control
        size_t msg_controllen
        int msg_flags
    struct jf_message:
        msghdr msg_hdr
        unsigned int msg_len
    int jf_receive_many(int fd, jf_message *messages, unsigned int count)
    int jf_send_many(int fd, jf_message *messages, unsigned int count)
    int jf_traffic_class(msghdr *message)
    size_t jf_segment_size(msghdr *message)
    void jf_cut(msghdr *message, char *space, size_t size)
    const int JF_ANCILLARY, JF_SEGMENTS, JF_SEGMENT_SIZE, JF_SEND_SIZE

# The flags of pollers.base, which are poll(2)'s.
cdef enum:
    WRITE = 0x4
    ERROR = 0x8

cdef enum:
    BURST = 64  # limits.DATAGRAM_BURST, which a C array needs as a constant
    SIZE = 65535  # limits.DATAGRAM_SIZE
    SLOTS = 16  # of one receive: several datagrams may come in each, and all of them are served
    KNOWN = 256  # senders whose address is kept as Python has it, 10 KiB: making it costs as much
    # as the rest of an arrival
assert BURST == limits.DATAGRAM_BURST and SIZE == limits.DATAGRAM_SIZE

cdef struct Arrival:
    jf_sockaddr name
    iovec vector
    char ancillary[64]  # JF_ANCILLARY
    char data[SIZE]  # touched only as far as datagrams fill it

cdef struct Arrivals:
    jf_message messages[SLOTS]
    Arrival slots[SLOTS]

cdef struct Departures:
    jf_sockaddr names[BURST]  # of each datagram
    socklen_t sizes[BURST]
    iovec vectors[BURST]
    jf_message messages[BURST]  # of each send, of which there may be fewer
    char ancillary[BURST][64]
    int counts[BURST]  # datagrams of each send


cdef class HotDatagrams:
    """Goes before ``DatagramBase`` among the bases of a transport, with the fields of both."""

    cdef public object engine
    cdef public object sock
    cdef public int fd
    cdef public object protocol
    cdef public Py_ssize_t dropped
    cdef public Py_ssize_t ignored
    cdef public dict failures
    cdef public bint _has_error_queue
    cdef public bint _waits_in_vain
    cdef public object _queue
    cdef public Py_ssize_t _queued
    cdef public unsigned int _interest
    cdef public int _mark
    cdef public bint _closing
    cdef public bint _pausing
    cdef public bint _released
    cdef public double _logged_at

    cdef Arrivals *arrivals
    cdef Departures *departures
    cdef public bint coalesced  # the socket hands over several as one, and takes them so
    cdef bint uncut  # the device refused several that were sent as one; they come so all the same
    cdef list leaving  # (data, addr) of the departures
    cdef bint in_burst
    cdef bint sending  # the departures: what is said meanwhile must not overwrite them
    cdef int family
    cdef list known_tuples
    cdef jf_sockaddr *known
    cdef object current  # the address of the datagram that the protocol has, and as C has it
    cdef const jf_sockaddr *current_name
    cdef socklen_t current_size

    def __cinit__(self):
        self.arrivals = <Arrivals *>PyMem_Calloc(1, sizeof(Arrivals))
        self.departures = <Departures *>PyMem_Calloc(1, sizeof(Departures))
        self.known = <jf_sockaddr *>PyMem_Calloc(KNOWN, sizeof(jf_sockaddr))
        if self.arrivals is NULL or self.departures is NULL or self.known is NULL:
            raise MemoryError
        self.leaving = []
        self.known_tuples = [None] * KNOWN

    def __dealloc__(self):
        PyMem_Free(self.arrivals)
        PyMem_Free(self.departures)
        PyMem_Free(self.known)

    def __init__(self, engine, sock, protocol):
        super().__init__(engine, sock, protocol)
        self.family = sock.family

    # --- receiving -------------------------------------------------------------------------

    def on_ready(self, unsigned int flags):
        """The poller says the socket is ready."""
        if self._queue:
            self._flush()
        if flags == WRITE:
            return
        if flags & ERROR:
            self._take_errors()
        if not self._closing:
            self.receive_burst()

    cdef int receive_burst(self) except -1:
        """Take BURST datagrams, or as many as there are."""
        cdef int taken = 0, count
        self.in_burst = True
        try:
            while taken < BURST and not self._closing:
                count = self.receive_some()
                if not count:
                    break
                taken += count
        finally:
            self.in_burst = False
            self.current = None
            self.current_name = NULL
        if self.leaving:
            self.send_leaving()
        return 0

    cdef int receive_some(self) except -1:
        """One system call; how many datagrams it gave, 0 when no more are to be had at once."""
        cdef Arrivals *arrivals = self.arrivals
        cdef int count, number, i, taken = 0
        for i in range(SLOTS):
            self.prepare(&arrivals.messages[i].msg_hdr, &arrivals.slots[i])
        with nogil:
            count = jf_receive_many(self.fd, arrivals.messages, SLOTS)
            number = errno
        if count < 0:
            if number != EAGAIN and number != EINTR:
                self._receive_failed(os_error(number))
            return 0
        for i in range(count):
            taken += self.hand_over(&arrivals.messages[i])
        return taken if count == SLOTS else 0

    cdef void prepare(self, msghdr *header, Arrival *slot) noexcept:
        cdef bint ancillary = self._mark != 0 or self.coalesced
        header.msg_name = &slot.name
        header.msg_namelen = sizeof(jf_sockaddr)
        header.msg_iov = &slot.vector
        header.msg_iovlen = 1
        header.msg_control = slot.ancillary if ancillary else NULL
        header.msg_controllen = JF_ANCILLARY if ancillary else 0
        header.msg_flags = 0
        slot.vector.iov_base = slot.data
        slot.vector.iov_len = SIZE

    cdef int hand_over(self, jf_message *message) except -1:
        """One arrival for the protocol: a datagram, or several of one sender. How many."""
        cdef msghdr *header = &message.msg_hdr
        cdef char *data = <char *>header.msg_iov.iov_base
        cdef size_t rest = message.msg_len, size = jf_segment_size(header) or rest
        cdef int count = 0
        cdef bint ignored = self._mark != 0 and jf_traffic_class(header) == self._mark
        self.current_name = <const jf_sockaddr *>header.msg_name
        self.current_size = header.msg_namelen
        self.current = self.address_of(self.current_name, self.current_size)
        while not self._closing:
            size = min(size, rest)
            count += 1
            if ignored:
                self.ignored += 1
            else:
                self.tell(PyBytes_FromStringAndSize(data, size))
            data += size
            rest -= size
            if not rest:
                break
        return count

    cdef int tell(self, bytes data) except -1:
        try:
            self.protocol.datagram_received(data, self.current)
        except Exception as exc:
            self._callback_failed(exc)
        return 0

    cdef object address_of(self, const jf_sockaddr *name, socklen_t size):
        """The sender's address as Python has it; the same object while its place is its own."""
        cdef size_t place, i
        cdef const unsigned char *octets = <const unsigned char *>name
        if size > sizeof(jf_sockaddr) or size < 8 or size > 28:  # neither IPv4 nor IPv6
            return to_python(name, size)
        place = 0
        for i in range(size):
            place = place * 31 + octets[i]
        place %= KNOWN
        address = self.known_tuples[place]
        if address is None or memcmp(&self.known[place], name, size):
            address = to_python(name, size)
            memcpy(&self.known[place], name, size)
            self.known_tuples[place] = address
        return address

    # --- sending ---------------------------------------------------------------------------

    def sendto(self, data, addr=None):
        if self.in_burst and not (self.sending or self._queue or self._closing) and (
            type(data) is bytes
        ):
            if self.add_departure(<bytes>data, addr):
                return
            if self.leaving:
                self.send_leaving()  # first what was said first
        super().sendto(data, addr)

    cdef int add_departure(self, bytes data, addr) except -1:
        """1 if it leaves with the burst, 0 if it has to go by itself."""
        cdef Departures *departures = self.departures
        cdef Py_ssize_t place = len(self.leaving)
        cdef socklen_t size
        if addr is self.current and addr is not None:
            size = self.current_size
            memcpy(&departures.names[place], self.current_name, size)
        else:
            size = from_python(self.family, addr, &departures.names[place])
            if not size:
                return 0
        departures.sizes[place] = size
        departures.vectors[place].iov_base = PyBytes_AS_STRING(data)
        departures.vectors[place].iov_len = PyBytes_GET_SIZE(data)
        self.leaving.append((data, addr))
        if place + 1 == BURST:
            self.send_leaving()
        return 1

    cdef int send_leaving(self) except -1:
        """Send the departures; what the kernel does not take goes the way of single ones."""
        cdef list leaving = self.leaving
        cdef jf_message *messages = self.departures.messages
        cdef int sends = self.pack(<int>len(leaving)), sent = 0, more, number, fd = self.fd
        cdef Py_ssize_t done = 0
        self.leaving = []
        self.sending = True
        try:
            while sent < sends and not self._queue and not self._released:
                with nogil:
                    more = jf_send_many(fd, messages + sent, sends - sent)
                    number = errno
                if more <= 0:
                    if self.departures.counts[sent] > 1 and number in (EINVAL, EIO, EMSGSIZE):
                        self.uncut = True
                    self.send_singly(leaving, done, self.departures.counts[sent])
                    more = 1
                while more:
                    done += self.departures.counts[sent]
                    sent += 1
                    more -= 1
            self.send_singly(leaving, done, len(leaving) - done)
        finally:
            self.sending = False
        return 0

    cdef int send_singly(self, list leaving, Py_ssize_t start, Py_ssize_t count) except -1:
        cdef Py_ssize_t i
        for i in range(start, start + count):
            data, addr = leaving[i]
            super(HotDatagrams, self).sendto(data, addr)  # a C method has no super() of its own
        return 0

    cdef int pack(self, int count) noexcept:
        """Make sends of the departures: one each, or one for several that can share it. How many
        sends that are."""
        cdef Departures *departures = self.departures
        cdef msghdr *header
        cdef int sends = 0, first = 0, shared
        while first < count:
            shared = self.share(first, count) if self.coalesced and not self.uncut else 1
            header = &departures.messages[sends].msg_hdr
            header.msg_name = &departures.names[first]
            header.msg_namelen = departures.sizes[first]
            header.msg_iov = &departures.vectors[first]
            header.msg_iovlen = shared
            header.msg_control = NULL
            header.msg_controllen = 0
            if shared > 1:
                jf_cut(header, departures.ancillary[sends], departures.vectors[first].iov_len)
            departures.counts[sends] = shared
            sends += 1
            first += shared
        return sends

    cdef int share(self, int first, int count) noexcept:
        """How many departures from ``first`` on can be one send: to one address, of one size, but
        that the last may be shorter."""
        cdef Departures *departures = self.departures
        cdef size_t size = departures.vectors[first].iov_len, total = size, next_size
        cdef int place = first + 1
        if not size or size > <size_t>JF_SEGMENT_SIZE:
            return 1
        while place < count and place - first < JF_SEGMENTS:
            next_size = departures.vectors[place].iov_len
            total += next_size
            if not next_size or next_size > size or total > <size_t>JF_SEND_SIZE:
                break
            if departures.sizes[place] != departures.sizes[first] or memcmp(
                &departures.names[place], &departures.names[first], departures.sizes[first]
            ):
                break
            place += 1
            if next_size < size:
                break
        return place - first

    # --- closing ---------------------------------------------------------------------------

    def close(self):
        if self.leaving:
            self.send_leaving()
        super().close()

    def abort(self):
        if self.leaving:
            self.send_leaving()
        super().abort()
