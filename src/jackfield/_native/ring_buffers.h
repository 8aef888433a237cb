/* Buffers that the kernel picks from when something arrives: IORING_REGISTER_PBUF_RING, Linux 5.19.
 *
 * So an idle connection holds none. Each has a number; a completion with IORING_CQE_F_BUFFER names
 * the one that was filled, and it is ours until we recycle it. When none is left the kernel says
 * -ENOBUFS to who would have received.
 *
 * Since Linux 6.12 many short messages can share one buffer: the kernel puts each behind the one
 * before, and says IORING_CQE_F_BUF_MORE while it is going to put more. So a few large buffers do
 * for a thousand connections that say 64 bytes each, and for one that says 64 KiB.
 */
#ifndef JACKFIELD_RING_BUFFERS_H
#define JACKFIELD_RING_BUFFERS_H

#include "ring.h"

#include <stdlib.h>

/* Newer than the oldest kernel headers that we build with (6.1). */
#ifndef IORING_CQE_F_BUF_MORE
#define IORING_CQE_F_BUF_MORE (1U << 4)
#endif

/* struct io_uring_buf_reg, with the name that its fourth field has had since 6.4. */
struct ring_buffers_request {
    uint64_t ring_addr;
    uint32_t ring_entries;
    uint16_t bgid;
    uint16_t flags; /* 2: IOU_PBUF_RING_INC */
    uint64_t reserved[3];
};

/* What is known of one buffer that the kernel may be filling. */
struct ring_buffer_use {
    unsigned filled; /* bytes, so far */
    unsigned held;   /* blocks in it that nobody has taken yet */
    int over;        /* the kernel puts nothing more into it */
};

/* Most messages are short. Buffers that began at multiples of a page would all compete for the few
 * places that a processor's cache has for one offset within a page. */
enum { BUFFER_SHIFT = 192 };

struct ring_buffers {
    struct io_uring_buf_ring *offered; /* shared with the kernel: numbers it may pick */
    char *memory;
    size_t memory_size, offered_size;
    struct ring_buffer_use *use;
    unsigned count, size, group;
    unsigned offering; /* how many of them take part */
    int shared;        /* many blocks in one buffer */
    uint16_t tail;
};

static inline char *ring_buffer(const struct ring_buffers *buffers, unsigned number)
{
    return buffers->memory + (size_t)number * (buffers->size + BUFFER_SHIFT);
}

/* Offer a buffer to the kernel again; it sees it after ring_buffers_publish. */
static inline void ring_buffer_recycle(struct ring_buffers *buffers, unsigned number)
{
    memset(&buffers->use[number], 0, sizeof *buffers->use);
    struct io_uring_buf *place = &buffers->offered->bufs[buffers->tail++ & (buffers->count - 1)];
    place->addr = (uint64_t)(uintptr_t)ring_buffer(buffers, number);
    place->len = buffers->size;
    place->bid = (uint16_t)number;
}

static inline void ring_buffers_publish(struct ring_buffers *buffers)
{
    atomic_store_explicit((_Atomic uint16_t *)&buffers->offered->tail, buffers->tail,
                          memory_order_release);
}

static inline unsigned ring_buffer_of(const struct io_uring_cqe *cqe)
{
    return cqe->flags >> IORING_CQE_BUFFER_SHIFT;
}

/* The block of `size` bytes that a completion announced: where it is. It is held until
 * ring_block_taken. */
static inline char *ring_block(struct ring_buffers *buffers, unsigned number, unsigned size,
                               unsigned flags)
{
    struct ring_buffer_use *use = &buffers->use[number];
    char *block = ring_buffer(buffers, number) + use->filled;
    use->filled += size;
    use->held++;
    use->over = !(flags & IORING_CQE_F_BUF_MORE);
    return block;
}

static inline void ring_block_taken(struct ring_buffers *buffers, unsigned number)
{
    struct ring_buffer_use *use = &buffers->use[number];
    if (--use->held == 0 && use->over) {
        ring_buffer_recycle(buffers, number);
        ring_buffers_publish(buffers);
    }
}

/* There were too few: let more take part, as long as there are more. */
static inline void ring_buffers_grow(struct ring_buffers *buffers)
{
    unsigned most = buffers->offering * 2 < buffers->count ? buffers->offering * 2 : buffers->count;
    while (buffers->offering < most)
        ring_buffer_recycle(buffers, buffers->offering++);
    ring_buffers_publish(buffers);
}

static inline void *ring_memory(size_t size)
{
    void *memory =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return NULL;
    madvise(memory, size, MADV_DONTFORK); /* the kernel writes to the ring's process */
    return memory;
}

/* Only after the ring is closed, or everything cancelled and reaped. */
static inline void ring_buffers_free(struct ring_buffers *buffers)
{
    if (buffers->memory != NULL)
        munmap(buffers->memory, buffers->memory_size);
    if (buffers->offered != NULL)
        munmap(buffers->offered, buffers->offered_size);
    free(buffers->use);
    memset(buffers, 0, sizeof *buffers);
}

static inline int ring_buffers_register(struct ring_buffers *buffers, const struct ring *ring,
                                        int shared)
{
    int result = -EINVAL;
    for (; result == -EINVAL && shared >= 0; shared--) {
        struct ring_buffers_request request = {
            .ring_addr = (uint64_t)(uintptr_t)buffers->offered,
            .ring_entries = buffers->count,
            .bgid = (uint16_t)buffers->group,
            .flags = shared ? 2 : 0,
        };
        buffers->shared = shared;
        result = ring_register(ring, IORING_REGISTER_PBUF_RING, &request, 1);
    }
    return result;
}

/* Have `count` (a power of two, at most 32768) buffers of `size` bytes as `group`, of which
 * `offered` take part at first; `shared`, where the kernel can. The system gives the memory when a
 * buffer is first used. */
static inline int ring_buffers_open(struct ring_buffers *buffers, const struct ring *ring,
                                    unsigned count, unsigned offered, unsigned size,
                                    unsigned group, int shared)
{
    memset(buffers, 0, sizeof *buffers);
    buffers->count = count;
    buffers->size = size;
    buffers->group = group;
    buffers->memory_size = (size_t)count * (size + BUFFER_SHIFT);
    buffers->offered_size = count * sizeof(struct io_uring_buf);
    buffers->use = calloc(count, sizeof *buffers->use);
    buffers->memory = ring_memory(buffers->memory_size);
    buffers->offered = ring_memory(buffers->offered_size);
    int result = -ENOMEM;
    if (buffers->use != NULL && buffers->memory != NULL && buffers->offered != NULL)
        result = ring_buffers_register(buffers, ring, shared);
    if (result < 0) {
        ring_buffers_free(buffers);
        return result;
    }
    while (buffers->offering < offered)
        ring_buffer_recycle(buffers, buffers->offering++);
    ring_buffers_publish(buffers);
    return 0;
}

#endif
