"""A ring as Cython sees it, and what is asked of it."""

cdef extern from "ring_buffers.h" nogil:
    struct io_uring_sqe:
        unsigned char flags
    struct io_uring_cqe:
        unsigned long long user_data
        int res
        unsigned flags
    const unsigned IORING_CQE_F_BUFFER, IORING_CQE_F_MORE
    struct c_ring "ring":
        unsigned sq_entries
    struct ring_buffers:
        unsigned offering, count
        bint shared
    int ring_open(c_ring *ring, unsigned sq_entries, unsigned cq_entries, unsigned needed)
    int ring_enable(const c_ring *ring)
    void ring_close(c_ring *ring)
    void ring_forget(c_ring *ring)
    unsigned ring_waiting(const c_ring *ring)
    bint ring_overflown(const c_ring *ring)
    int ring_submit(c_ring *ring, bint reap)
    bint ring_has_more(const c_ring *ring)
    int ring_submit_and_wait(c_ring *ring, unsigned wait, long long nanoseconds)
    io_uring_sqe *ring_entry(c_ring *ring)
    io_uring_cqe *ring_completion(const c_ring *ring)
    void ring_seen(c_ring *ring)
    int ring_buffers_open(ring_buffers *buffers, const c_ring *ring, unsigned count,
                          unsigned offered, unsigned size, unsigned group, bint shared)
    void ring_buffers_free(ring_buffers *buffers)
    void ring_buffers_grow(ring_buffers *buffers)
    char *ring_block(ring_buffers *buffers, unsigned number, unsigned size, unsigned flags)
    void ring_block_taken(ring_buffers *buffers, unsigned number)
    unsigned ring_buffer_of(const io_uring_cqe *cqe)

cdef extern from "ring_ops.h" nogil:
    struct iovec:
        void *iov_base
        size_t iov_len
    struct msghdr:
        iovec *msg_iov
        size_t msg_iovlen
    void ring_ask_accept(io_uring_sqe *sqe, int fd, int flags, unsigned long long tag)
    void ring_ask_receive(io_uring_sqe *sqe, int fd, unsigned most, int group,
                          unsigned long long tag)
    void ring_ask_send(io_uring_sqe *sqe, int fd, const void *data, size_t size, int flags,
                       unsigned long long tag)
    void ring_ask_send_message(io_uring_sqe *sqe, int fd, const msghdr *message, int flags,
                               unsigned long long tag)
    void ring_ask_poll(io_uring_sqe *sqe, int fd, unsigned events, unsigned long long tag)
    void ring_ask_cancel(io_uring_sqe *sqe, unsigned long long target, unsigned long long tag)
    void ring_ask_cancel_all(io_uring_sqe *sqe, unsigned long long tag)

# What an operation is: the low bits of its tag. The others are its owner's address.
cdef enum:
    ANSWER = 0  # to a cancellation: nobody's
    POLL = 1
    RECEIVE = 2
    SEND = 3
    ACCEPT = 4
    KINDS = 8

cdef class Ring

ctypedef void (*Handler)(Ring ring, object owner, int result, unsigned flags) noexcept


cdef class Ring:
    cdef c_ring queues
    cdef ring_buffers buffers
    cdef Handler handlers[KINDS]
    cdef bint is_open, runs
    cdef int process
    cdef public bint limited
    cdef readonly Py_ssize_t under_way
    cdef list ready
    cdef list later
    cdef list unasked
    cdef dict polls
    cdef dict listeners

    cdef unsigned long long begin(self, object owner, int kind) noexcept
    cdef io_uring_sqe *entry(self) except NULL
    cdef int cancel(self, object owner, int kind) except -1
    cdef int run(self) except -1
    cdef int check(self, int result) except -1
    cdef int wait(self, double seconds) except -1
    cdef int hand_over(self) except -1
    cdef int settle(self) except -1
    cdef int reap(self) except -1


cdef class Poll:
    cdef int fd
    cdef unsigned wanted, asked, flags
    cdef int ask(self, Ring ring) except -1
    cdef int cancel(self, Ring ring) except -1


