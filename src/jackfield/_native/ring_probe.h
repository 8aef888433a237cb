/* Can this process use io_uring as the engine does? Asked by trying, on a socket pair.
 *
 * Kernels differ by version, by configuration and by who may: a version number says little.
 */
#ifndef JACKFIELD_RING_PROBE_H
#define JACKFIELD_RING_PROBE_H

#include "ring_buffers.h"
#include "ring_ops.h"

/* How far the probe came. */
enum { PROBE_OPENING, PROBE_BUFFERS, PROBE_RECEIVING, PROBE_PASSED };

enum { PROBE_PATIENCE_NS = 1000000000 }; /* on loopback it takes microseconds */

/* A block that is there already has to come in a buffer, with more announced. */
static inline int ring_probe_receive(struct ring *ring, int ends[2])
{
    struct io_uring_sqe *sqe = ring_entry(ring);
    ring_ask_receive(sqe, ends[0], 0, 0, 1);
    if (send(ends[1], "x", 1, MSG_NOSIGNAL) != 1)
        return -errno;
    int result = ring_submit_and_wait(ring, 1, PROBE_PATIENCE_NS);
    struct io_uring_cqe *cqe = ring_completion(ring);
    if (cqe == NULL)
        return result < 0 ? result : -ETIME;
    if (cqe->res < 0)
        return cqe->res;
    return cqe->res == 1 && (cqe->flags & IORING_CQE_F_BUFFER) && (cqe->flags & IORING_CQE_F_MORE)
               ? 0
               : -EINVAL;
}

/* 0, or -errno and in `stage` what failed. */
static inline int ring_probe(int *stage)
{
    struct ring ring;
    struct ring_buffers buffers = {0};
    int ends[2] = {-1, -1};
    *stage = PROBE_OPENING;
    int result = ring_open(&ring, 8, 16, 0);
    if (result < 0)
        return result;
    result = ring_enable(&ring);
    if (result == 0) {
        *stage = PROBE_BUFFERS;
        result = ring_buffers_open(&buffers, &ring, 2, 2, 64, 0, 1);
    }
    if (result == 0) {
        *stage = PROBE_RECEIVING;
        result = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0
                     ? -errno
                     : ring_probe_receive(&ring, ends);
    }
    if (result == 0)
        *stage = PROBE_PASSED;
    if (ends[0] >= 0) {
        shutdown(ends[1], SHUT_RDWR); /* ends the receive, so that the kernel lets go of buffers */
        ring_submit(&ring, 1);
        close(ends[0]);
        close(ends[1]);
    }
    ring_close(&ring);
    ring_buffers_free(&buffers);
    return result;
}

#endif
