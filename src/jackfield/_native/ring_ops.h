/* What can be asked of a ring: one function fills one entry. See io_uring_enter(2) for each.
 *
 * `tag` comes back in the completion's user_data. What an entry points to (data, message headers)
 * must stay until the completion has come; the entry itself is read when it is submitted.
 */
#ifndef JACKFIELD_RING_OPS_H
#define JACKFIELD_RING_OPS_H

#include "ring.h"

#include <sys/socket.h>

static inline void ring_ask(struct io_uring_sqe *sqe, int operation, int fd, const void *address,
                            unsigned length, uint64_t tag)
{
    sqe->opcode = (uint8_t)operation;
    sqe->fd = fd;
    sqe->addr = (uint64_t)(uintptr_t)address;
    sqe->len = length;
    sqe->user_data = tag;
}

/* A completion for each connection that comes in, with its descriptor, until one without
 * IORING_CQE_F_MORE. `flags`: SOCK_NONBLOCK, SOCK_CLOEXEC. */
static inline void ring_ask_accept(struct io_uring_sqe *sqe, int fd, int flags, uint64_t tag)
{
    ring_ask(sqe, IORING_OP_ACCEPT, fd, NULL, 0, tag);
    sqe->ioprio = IORING_ACCEPT_MULTISHOT;
    sqe->accept_flags = (uint32_t)flags;
}

/* A completion for each block that arrives, in a buffer of the group, until one without
 * IORING_CQE_F_MORE: the end of the stream (0), an error, -ENOBUFS, -ECANCELED, or `most` bytes
 * have come, in blocks of no more (0: any number; a kernel before 6.17 says -EINVAL to another). */
static inline void ring_ask_receive(struct io_uring_sqe *sqe, int fd, unsigned most, int group,
                                    uint64_t tag)
{
    ring_ask(sqe, IORING_OP_RECV, fd, NULL, 0, tag);
    sqe->len = most;
    sqe->splice_fd_in = (int32_t)most; /* which newer headers call optlen */
    sqe->ioprio = IORING_RECV_MULTISHOT;
    sqe->flags = IOSQE_BUFFER_SELECT;
    sqe->buf_group = (uint16_t)group;
}

/* The same for datagrams, where an empty one ends it, too: a buffer holds a struct
 * io_uring_recvmsg_out, the sender's address, control messages and payload, as `header` leaves room
 * for (only its lengths are read). */
static inline void ring_ask_receive_message(struct io_uring_sqe *sqe, int fd,
                                            const struct msghdr *header, int group, uint64_t tag)
{
    ring_ask(sqe, IORING_OP_RECVMSG, fd, header, 0, tag);
    sqe->ioprio = IORING_RECV_MULTISHOT;
    sqe->flags = IOSQE_BUFFER_SELECT;
    sqe->buf_group = (uint16_t)group;
}

/* The completion says how many bytes were taken: as many as there was room for, once there was
 * any. With MSG_WAITALL in `flags`: all, or fewer and an error that the next one will tell. */
static inline void ring_ask_send(struct io_uring_sqe *sqe, int fd, const void *data, size_t size,
                                 int flags, uint64_t tag)
{
    ring_ask(sqe, IORING_OP_SEND, fd, data, size > INT32_MAX ? INT32_MAX : (unsigned)size, tag);
    sqe->msg_flags = (uint32_t)flags;
}

static inline void ring_ask_send_message(struct io_uring_sqe *sqe, int fd,
                                         const struct msghdr *message, int flags, uint64_t tag)
{
    ring_ask(sqe, IORING_OP_SENDMSG, fd, message, 1, tag);
    sqe->msg_flags = (uint32_t)flags;
}

/* Once: when `events` (POLLIN, ...) are, or become, true. */
static inline void ring_ask_poll(struct io_uring_sqe *sqe, int fd, unsigned events, uint64_t tag)
{
    ring_ask(sqe, IORING_OP_POLL_ADD, fd, NULL, 0, tag);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    events = events << 16 | events >> 16;
#endif
    sqe->poll32_events = events;
}

/* At each change of `events`, until a completion without IORING_CQE_F_MORE. */
static inline void ring_ask_polls(struct io_uring_sqe *sqe, int fd, unsigned events, uint64_t tag)
{
    ring_ask_poll(sqe, fd, events, tag);
    sqe->len = IORING_POLL_ADD_MULTI;
}

/* End what was asked with `target` as its tag; its own completion then says -ECANCELED. */
static inline void ring_ask_cancel(struct io_uring_sqe *sqe, uint64_t target, uint64_t tag)
{
    ring_ask(sqe, IORING_OP_ASYNC_CANCEL, -1, (const void *)(uintptr_t)target, 0, tag);
}

/* End everything that was asked of `fd`. */
static inline void ring_ask_cancel_fd(struct io_uring_sqe *sqe, int fd, uint64_t tag)
{
    ring_ask(sqe, IORING_OP_ASYNC_CANCEL, fd, NULL, 0, tag);
    sqe->cancel_flags = IORING_ASYNC_CANCEL_FD | IORING_ASYNC_CANCEL_ALL;
}

/* End everything. */
static inline void ring_ask_cancel_all(struct io_uring_sqe *sqe, uint64_t tag)
{
    ring_ask(sqe, IORING_OP_ASYNC_CANCEL, -1, NULL, 0, tag);
    sqe->cancel_flags = IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL;
}

static inline void ring_ask_shutdown(struct io_uring_sqe *sqe, int fd, int how, uint64_t tag)
{
    ring_ask(sqe, IORING_OP_SHUTDOWN, fd, NULL, (unsigned)how, tag);
}

static inline void ring_ask_close(struct io_uring_sqe *sqe, int fd, uint64_t tag)
{
    ring_ask(sqe, IORING_OP_CLOSE, fd, NULL, 0, tag);
}

#endif
