/* An io_uring: set up by the kernel's ABI, without liburing.
 *
 * Two queues shared with the kernel. What is asked for is an entry (SQE) in the first;
 * io_uring_enter hands them over, many at a time, and waits; what came of each is an entry (CQE) in
 * the second.
 * Who writes an index publishes it with release, who reads it acquires it: that is the whole
 * protocol (io_uring(7), "The submission and completion queues").
 *
 * One thread makes, fills and reaps a ring (IORING_SETUP_SINGLE_ISSUER). Completions are made
 * only inside of our own ring_submit* calls (IORING_SETUP_DEFER_TASKRUN), so nothing interrupts us.
 *
 * Must not know sockets, connections or Python. Every function that fails returns -errno.
 */
#ifndef JACKFIELD_RING_H
#define JACKFIELD_RING_H

#include <errno.h>
#include <linux/io_uring.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

struct ring {
    int fd;
    unsigned setup_flags; /* what the kernel granted of what was asked */
    unsigned features;

    struct io_uring_sqe *sqes;
    _Atomic unsigned *sq_head; /* the kernel's: entries up to here were taken */
    _Atomic unsigned *sq_tail; /* ours: entries up to here may be taken */
    _Atomic unsigned *sq_flags;
    unsigned sq_entries, sq_mask;
    unsigned sq_filled; /* our tail, before it is published */

    struct io_uring_cqe *cqes;
    _Atomic unsigned *cq_head; /* ours */
    _Atomic unsigned *cq_tail; /* the kernel's */
    unsigned cq_entries, cq_mask;

    void *queues;
    size_t queues_size, sqes_size;
};

static inline int ring_enter(const struct ring *ring, unsigned submit, unsigned wait,
                             unsigned flags, const void *argument, size_t size)
{
    long result = syscall(__NR_io_uring_enter, ring->fd, submit, wait, flags, argument, size);
    return result < 0 ? -errno : (int)result;
}

static inline int ring_register(const struct ring *ring, unsigned what, void *argument,
                                unsigned count)
{
    long result = syscall(__NR_io_uring_register, ring->fd, what, argument, count);
    return result < 0 ? -errno : (int)result;
}

/* Give back the queues and the descriptor. Whatever is under way is cancelled by the kernel, but
 * later: who must know that it is over cancels and reaps it before. */
static inline void ring_close(struct ring *ring)
{
    if (ring->sqes != NULL)
        munmap(ring->sqes, ring->sqes_size);
    if (ring->queues != NULL)
        munmap(ring->queues, ring->queues_size);
    if (ring->fd >= 0)
        close(ring->fd);
    ring->sqes = NULL;
    ring->queues = NULL;
    ring->fd = -1;
}

/* In a process forked from the ring's: its queues are not mapped there. */
static inline void ring_forget(struct ring *ring)
{
    close(ring->fd);
    ring->sqes = NULL;
    ring->queues = NULL;
    ring->fd = -1;
}

static inline int ring_map(struct ring *ring, const struct io_uring_params *made)
{
    const int protection = PROT_READ | PROT_WRITE, kind = MAP_SHARED | MAP_POPULATE;
    size_t sq = made->sq_off.array + made->sq_entries * sizeof(unsigned);
    size_t cq = made->cq_off.cqes + made->cq_entries * sizeof(struct io_uring_cqe);
    ring->queues_size = sq > cq ? sq : cq;
    ring->sqes_size = made->sq_entries * sizeof(struct io_uring_sqe);
    char *queues =
        mmap(NULL, ring->queues_size, protection, kind, ring->fd, (off_t)IORING_OFF_SQ_RING);
    if (queues == MAP_FAILED)
        return -errno;
    ring->queues = queues;
    void *sqes = mmap(NULL, ring->sqes_size, protection, kind, ring->fd, (off_t)IORING_OFF_SQES);
    if (sqes == MAP_FAILED)
        return -errno;
    ring->sqes = sqes;
    madvise(queues, ring->queues_size, MADV_DONTFORK); /* a ring is one process's */
    madvise(sqes, ring->sqes_size, MADV_DONTFORK);
    ring->sq_head = (_Atomic unsigned *)(queues + made->sq_off.head);
    ring->sq_tail = (_Atomic unsigned *)(queues + made->sq_off.tail);
    ring->sq_flags = (_Atomic unsigned *)(queues + made->sq_off.flags);
    ring->cq_head = (_Atomic unsigned *)(queues + made->cq_off.head);
    ring->cq_tail = (_Atomic unsigned *)(queues + made->cq_off.tail);
    ring->cqes = (struct io_uring_cqe *)(queues + made->cq_off.cqes);
    /* The kernel takes entries by way of an array of their numbers; ours never change place. */
    unsigned *array = (unsigned *)(queues + made->sq_off.array);
    for (unsigned i = 0; i < made->sq_entries; i++)
        array[i] = i;
    return 0;
}

/* Make a ring of `sq_entries` and `cq_entries` (powers of two). The kernel must have the features
 * `needed`: one that lacks any gives -ENOSYS. On failure nothing is left open. It takes nothing
 * before ring_enable, whose thread becomes the one that may use it. */
static inline int ring_open(struct ring *ring, unsigned sq_entries, unsigned cq_entries,
                            unsigned needed)
{
    static const unsigned wanted[] = {
        IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG |
            IORING_SETUP_SUBMIT_ALL,
        IORING_SETUP_COOP_TASKRUN | IORING_SETUP_SUBMIT_ALL, /* before 6.1 */
        0,
    };
    struct io_uring_params made;
    memset(ring, 0, sizeof *ring);
    ring->fd = -1;
    int result = -EINVAL;
    for (size_t i = 0; result == -EINVAL && i < sizeof wanted / sizeof *wanted; i++) {
        memset(&made, 0, sizeof made);
        made.flags = wanted[i] | IORING_SETUP_CQSIZE | IORING_SETUP_R_DISABLED;
        made.cq_entries = cq_entries;
        result = (int)syscall(__NR_io_uring_setup, sq_entries, &made);
        if (result < 0)
            result = -errno;
    }
    if (result < 0)
        return result;
    ring->fd = result;
    ring->setup_flags = made.flags;
    ring->features = made.features;
    ring->sq_entries = made.sq_entries;
    ring->cq_entries = made.cq_entries;
    ring->sq_mask = made.sq_entries - 1;
    ring->cq_mask = made.cq_entries - 1;
    needed |= IORING_FEAT_SINGLE_MMAP | IORING_FEAT_NODROP | IORING_FEAT_EXT_ARG;
    result = (made.features & needed) == needed ? ring_map(ring, &made) : -ENOSYS;
    if (result < 0)
        ring_close(ring);
    return result;
}

static inline int ring_enable(const struct ring *ring)
{
    return ring_register(ring, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
}

/* --- submitting --------------------------------------------------------------------------- */

/* Entries filled and not yet taken by the kernel. */
static inline unsigned ring_waiting(const struct ring *ring)
{
    return ring->sq_filled - atomic_load_explicit(ring->sq_head, memory_order_acquire);
}

/* Have completions not fitted into the queue? The kernel keeps them until we enter for events. */
static inline int ring_overflown(const struct ring *ring)
{
    return (atomic_load_explicit(ring->sq_flags, memory_order_relaxed) & IORING_SQ_CQ_OVERFLOW) !=
           0;
}

/* Has more become ready than the last call has run? */
static inline int ring_has_more(const struct ring *ring)
{
    return (atomic_load_explicit(ring->sq_flags, memory_order_relaxed) & IORING_SQ_TASKRUN) != 0;
}

/* Hand over what is filled. With `reap`, also run what has become ready meanwhile, without waiting.
 * Returns how many entries were taken. */
static inline int ring_submit(struct ring *ring, int reap)
{
    unsigned waiting = ring_waiting(ring);
    atomic_store_explicit(ring->sq_tail, ring->sq_filled, memory_order_release);
    if (waiting == 0 && !reap)
        return 0;
    return ring_enter(ring, waiting, 0, reap ? IORING_ENTER_GETEVENTS : 0, NULL, _NSIG / 8);
}

/* Hand over what is filled, and wait until `wait` completions are there or `nanoseconds` have
 * passed (negative: for ever). 0 or more, or -EINTR, -ETIME: time passed, -EBUSY: reap first. */
static inline int ring_submit_and_wait(struct ring *ring, unsigned wait, int64_t nanoseconds)
{
    struct __kernel_timespec limit = {nanoseconds / 1000000000, nanoseconds % 1000000000};
    struct io_uring_getevents_arg argument = {
        .sigmask_sz = _NSIG / 8,
        .ts = nanoseconds < 0 ? 0 : (uint64_t)(uintptr_t)&limit,
    };
    unsigned waiting = ring_waiting(ring);
    atomic_store_explicit(ring->sq_tail, ring->sq_filled, memory_order_release);
    return ring_enter(ring, waiting, wait, IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG,
                      &argument, sizeof argument);
}

/* The next entry to fill, zeroed; when the queue is full what is there is submitted first. NULL
 * when the kernel takes nothing (it does when completions were reaped). */
static inline struct io_uring_sqe *ring_entry(struct ring *ring)
{
    if (__builtin_expect(ring_waiting(ring) >= ring->sq_entries, 0)) {
        ring_submit(ring, 0);
        if (ring_waiting(ring) >= ring->sq_entries)
            return NULL;
    }
    struct io_uring_sqe *sqe = &ring->sqes[ring->sq_filled++ & ring->sq_mask];
    memset(sqe, 0, sizeof *sqe);
    return sqe;
}

/* --- completions -------------------------------------------------------------------------- */

/* The next completion, or NULL. It stays where it is until ring_seen. */
static inline struct io_uring_cqe *ring_completion(const struct ring *ring)
{
    unsigned head = atomic_load_explicit(ring->cq_head, memory_order_relaxed);
    if (head == atomic_load_explicit(ring->cq_tail, memory_order_acquire))
        return NULL;
    return &ring->cqes[head & ring->cq_mask];
}

static inline void ring_seen(struct ring *ring)
{
    unsigned head = atomic_load_explicit(ring->cq_head, memory_order_relaxed);
    atomic_store_explicit(ring->cq_head, head + 1, memory_order_release);
}

#endif
