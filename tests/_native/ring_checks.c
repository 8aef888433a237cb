/* The ring against the kernel: `ring_checks NAME` runs one check, without a name it lists them.
 *
 * test_ring.py compiles this with sanitizers and runs each. A check that fails says where and ends
 * the process.
 */
#define _GNU_SOURCE
#include "ring_probe.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                        \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

enum { PATIENCE_NS = 2000000000, BUFFER = 256, BUFFERS = 8 };

static struct ring ring;
static struct ring_buffers buffers;
static int ends[2];

static void begin(unsigned sq_entries, unsigned cq_entries)
{
    CHECK(ring_open(&ring, sq_entries, cq_entries, 0) == 0);
    CHECK(ring_enable(&ring) == 0);
    CHECK(ring_buffers_open(&buffers, &ring, BUFFERS, BUFFERS, BUFFER, 3, 1) == 0);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) == 0);
}

static void finish(void)
{
    close(ends[0]);
    close(ends[1]);
    ring_close(&ring);
    ring_buffers_free(&buffers);
}

/* The next completion; waits for it. */
static struct io_uring_cqe next(void)
{
    struct io_uring_cqe *cqe = ring_completion(&ring);
    if (cqe == NULL) {
        CHECK(ring_submit_and_wait(&ring, 1, PATIENCE_NS) >= 0);
        cqe = ring_completion(&ring);
    }
    CHECK(cqe != NULL);
    struct io_uring_cqe copy = *cqe;
    ring_seen(&ring);
    return copy;
}

/* Where the block is that a completion announced. */
static char *block_of(const struct io_uring_cqe *cqe)
{
    CHECK(cqe->flags & IORING_CQE_F_BUFFER);
    return ring_block(&buffers, ring_buffer_of(cqe), (unsigned)cqe->res, cqe->flags);
}

static struct io_uring_sqe *entry(void)
{
    struct io_uring_sqe *sqe = ring_entry(&ring);
    CHECK(sqe != NULL);
    return sqe;
}

static void probe(void)
{
    int stage;
    CHECK(ring_probe(&stage) == 0);
    CHECK(stage == PROBE_PASSED);
}

static void no_room_for_such_a_ring(void)
{
    CHECK(ring_open(&ring, 0, 16, 0) == -EINVAL);
    CHECK(ring.fd == -1 && ring.sqes == NULL);
    CHECK(ring_open(&ring, 8, 16, 1u << 31) == -ENOSYS); /* a feature that nobody has */
    CHECK(ring.fd == -1 && ring.sqes == NULL);
    ring_close(&ring);
}

static void waits_for_a_time(void)
{
    begin(8, 16);
    CHECK(ring_submit_and_wait(&ring, 1, 1000000) == -ETIME);
    CHECK(ring_submit_and_wait(&ring, 0, 0) == 0);
    CHECK(ring_completion(&ring) == NULL);
    finish();
}

static void sends(void)
{
    begin(8, 16);
    char read_back[8];
    ring_ask_send(entry(), ends[0], "hello", 5, MSG_NOSIGNAL, 42);
    CHECK(ring_waiting(&ring) == 1);
    CHECK(ring_submit(&ring, 0) == 1); /* done at once: there is room */
    CHECK(ring_waiting(&ring) == 0);
    struct io_uring_cqe cqe = *ring_completion(&ring);
    CHECK(cqe.res == 5 && cqe.user_data == 42);
    CHECK(recv(ends[1], read_back, sizeof read_back, 0) == 5 && memcmp(read_back, "hello", 5) == 0);
    finish();
}

static void sends_to_nobody(void)
{
    begin(8, 16);
    close(ends[1]);
    ends[1] = -1;
    ring_ask_send(entry(), ends[0], "x", 1, MSG_NOSIGNAL, 1);
    CHECK(next().res == -EPIPE); /* and no signal ended us */
    finish();
}

static void sends_gathered(void)
{
    begin(8, 16);
    char read_back[16];
    struct iovec parts[] = {{"one ", 4}, {"two", 3}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    ring_ask_send_message(entry(), ends[0], &message, MSG_NOSIGNAL, 1);
    CHECK(next().res == 7);
    CHECK(recv(ends[1], read_back, sizeof read_back, 0) == 7);
    CHECK(memcmp(read_back, "one two", 7) == 0);
    finish();
}

static void a_send_without_room_waits_for_it(void)
{
    begin(8, 16);
    static char block[1 << 20];
    while (send(ends[0], block, sizeof block, MSG_DONTWAIT) > 0)
        ;
    ring_ask_send(entry(), ends[0], "x", 1, MSG_NOSIGNAL, 1);
    CHECK(ring_submit(&ring, 1) == 1);
    CHECK(ring_completion(&ring) == NULL); /* behind */
    while (recv(ends[1], block, sizeof block, MSG_DONTWAIT) > 0)
        ;
    CHECK(next().res == 1);
    finish();
}

static void a_full_queue_is_submitted_first(void)
{
    begin(4, 64);
    for (int i = 0; i < 33; i++)
        ring_ask_send(entry(), ends[0], "x", 1, MSG_NOSIGNAL, (uint64_t)i);
    CHECK(ring_waiting(&ring) == 1);
    for (uint64_t i = 0; i < 33; i++) {
        struct io_uring_cqe cqe = next();
        CHECK(cqe.user_data == i && cqe.res == 1);
    }
    finish();
}

static void completions_that_do_not_fit_are_kept(void)
{
    begin(4, 8);
    for (int i = 0; i < 50; i++)
        ring_ask_send(entry(), ends[0], "x", 1, MSG_NOSIGNAL, (uint64_t)i);
    ring_submit(&ring, 0);
    CHECK(ring_overflown(&ring));
    for (uint64_t i = 0; i < 50; i++) {
        struct io_uring_cqe cqe = next();
        CHECK(cqe.user_data == i && cqe.res == 1);
    }
    CHECK(!ring_overflown(&ring));
    finish();
}

static void receives_again_and_again(void)
{
    begin(8, 64);
    ring_ask_receive(entry(), ends[0], 0, 3, 7);
    for (int i = 0; i < 3 * BUFFERS * BUFFER; i++) { /* all buffers are used more than once */
        char said = (char)i;
        CHECK(send(ends[1], &said, 1, 0) == 1);
        struct io_uring_cqe cqe = next();
        CHECK(cqe.user_data == 7 && cqe.res == 1);
        CHECK((cqe.flags & IORING_CQE_F_MORE) && (cqe.flags & IORING_CQE_F_BUFFER));
        CHECK(*block_of(&cqe) == said);
        ring_block_taken(&buffers, ring_buffer_of(&cqe));
    }
    shutdown(ends[1], SHUT_WR);
    struct io_uring_cqe cqe = next();
    CHECK(cqe.res == 0 && !(cqe.flags & IORING_CQE_F_MORE));
    finish();
}

static void without_buffers_receiving_ends_and_begins_anew(void)
{
    begin(8, 64);
    char block[BUFFER * (BUFFERS + 1)];
    memset(block, 'x', sizeof block);
    CHECK(send(ends[1], block, sizeof block, 0) == (ssize_t)sizeof block);
    ring_ask_receive(entry(), ends[0], 0, 3, 7);
    for (int i = 0; i < BUFFERS; i++)
        CHECK(next().res == BUFFER);
    struct io_uring_cqe cqe = next();
    CHECK(cqe.res == -ENOBUFS && !(cqe.flags & IORING_CQE_F_MORE));
    for (unsigned i = 0; i < BUFFERS; i++)
        ring_buffer_recycle(&buffers, i);
    ring_buffers_publish(&buffers);
    ring_ask_receive(entry(), ends[0], 0, 3, 8);
    cqe = next();
    CHECK(cqe.res == BUFFER && cqe.user_data == 8);
    finish();
}

static void blocks_share_a_buffer_and_stay_until_they_are_taken(void)
{
    struct io_uring_cqe announced[3];
    char *blocks[3];
    begin(8, 64);
    ring_ask_receive(entry(), ends[0], 0, 3, 7);
    for (int i = 0; i < 3; i++) {
        char said = (char)('a' + i);
        CHECK(send(ends[1], &said, 1, 0) == 1);
        announced[i] = next();
        blocks[i] = block_of(&announced[i]);
    }
    for (int i = 0; i < 3; i++) {
        CHECK(*blocks[i] == 'a' + i);
        if (buffers.shared)
            CHECK(blocks[i] == blocks[0] + i);
        ring_block_taken(&buffers, ring_buffer_of(&announced[i]));
    }
    finish();
}

static void more_buffers_take_part_when_there_were_too_few(void)
{
    char block[BUFFER * 4];
    memset(block, 'x', sizeof block);
    begin(8, 64);
    struct ring_buffers few;
    CHECK(ring_buffers_open(&few, &ring, 8, 1, BUFFER, 4, 1) == 0);
    CHECK(send(ends[1], block, sizeof block, 0) == (ssize_t)sizeof block);
    ring_ask_receive(entry(), ends[0], 0, 4, 7);
    CHECK(next().res == BUFFER);
    CHECK(next().res == -ENOBUFS);
    ring_buffers_grow(&few);
    CHECK(few.offering == 2);
    ring_ask_receive(entry(), ends[0], 0, 4, 7);
    CHECK(next().res == BUFFER);
    CHECK(next().res == -ENOBUFS);
    for (int i = 0; i < 5; i++)
        ring_buffers_grow(&few);
    CHECK(few.offering == 8);
    finish();
    ring_buffers_free(&few);
}

static void a_receive_ends_after_so_many_bytes(void)
{
    char block[BUFFER * 4];
    memset(block, 'x', sizeof block);
    begin(8, 64);
    CHECK(send(ends[1], block, sizeof block, 0) == (ssize_t)sizeof block);
    ring_ask_receive(entry(), ends[0], BUFFER + 10, 3, 7);
    struct io_uring_cqe first = next();
    if (first.res != -EINVAL) { /* which a kernel before 6.17 says */
        struct io_uring_cqe second = next();
        CHECK(first.res == BUFFER && (first.flags & IORING_CQE_F_MORE));
        CHECK(second.res > 0 && second.res <= BUFFER + 10 && !(second.flags & IORING_CQE_F_MORE));
    }
    finish();
}

static void cancelled_at_once(uint64_t tag)
{
    int cancelled = 0, answers = 0;
    CHECK(ring_submit(&ring, 1) >= 1); /* what it cancels has ended when this returns */
    for (struct io_uring_cqe *cqe; (cqe = ring_completion(&ring)) != NULL; ring_seen(&ring)) {
        cancelled += cqe->user_data == tag && cqe->res == -ECANCELED;
        answers += cqe->user_data == 99 && cqe->res >= 0;
    }
    CHECK(cancelled == 1 && answers == 1);
}

static void cancels_by_tag(void)
{
    begin(8, 64);
    ring_ask_receive(entry(), ends[0], 0, 3, 7);
    ring_submit(&ring, 0);
    ring_ask_cancel(entry(), 7, 99);
    cancelled_at_once(7);
    finish();
}

static void cancels_by_descriptor(void)
{
    begin(8, 64);
    ring_ask_polls(entry(), ends[0], POLLIN, 7);
    ring_submit(&ring, 0);
    ring_ask_cancel_fd(entry(), ends[0], 99);
    cancelled_at_once(7);
    finish();
}

static void after_cancelling_everything_a_close_is_seen_at_once(void)
{
    char byte;
    begin(8, 64);
    ring_ask_receive(entry(), ends[0], 0, 3, 7);
    ring_submit(&ring, 0);
    ring_ask_cancel_all(entry(), 99);
    cancelled_at_once(7);
    close(ends[0]); /* the ring must not hold the socket any more */
    ends[0] = -1;
    CHECK(recv(ends[1], &byte, 1, MSG_DONTWAIT) == 0);
    finish();
}

static void polls_level_by_asking_anew(void)
{
    begin(8, 64);
    CHECK(send(ends[1], "x", 1, 0) == 1);
    for (int i = 0; i < 3; i++) {
        ring_ask_poll(entry(), ends[0], POLLIN, 7);
        struct io_uring_cqe cqe = next();
        CHECK(cqe.res > 0 && (cqe.res & POLLIN));
    }
    finish();
}

static void polls_each_change(void)
{
    begin(8, 64);
    ring_ask_polls(entry(), ends[0], POLLIN, 7);
    for (int i = 0; i < 3; i++) {
        CHECK(send(ends[1], "x", 1, 0) == 1);
        struct io_uring_cqe cqe = next();
        CHECK((cqe.res & POLLIN) && (cqe.flags & IORING_CQE_F_MORE));
    }
    finish();
}

static void shuts_down_and_closes(void)
{
    char byte;
    begin(8, 64);
    ring_ask_shutdown(entry(), ends[0], SHUT_WR, 1);
    CHECK(next().res == 0);
    CHECK(recv(ends[1], &byte, 1, 0) == 0);
    ring_ask_close(entry(), ends[0], 2);
    CHECK(next().res == 0);
    CHECK(fcntl(ends[0], F_GETFD) == -1 && errno == EBADF);
    ends[0] = -1;
    finish();
}

static int bound(int type, struct sockaddr_in *address)
{
    socklen_t size = sizeof *address;
    int fd = socket(AF_INET, type, 0);
    *address = (struct sockaddr_in){.sin_family = AF_INET};
    address->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK(bind(fd, (struct sockaddr *)address, size) == 0);
    CHECK(getsockname(fd, (struct sockaddr *)address, &size) == 0);
    return fd;
}

static void accepts_again_and_again(void)
{
    struct sockaddr_in address;
    int clients[3];
    begin(8, 64);
    int listener = bound(SOCK_STREAM, &address);
    CHECK(listen(listener, 3) == 0);
    ring_ask_accept(entry(), listener, SOCK_NONBLOCK | SOCK_CLOEXEC, 7);
    for (int i = 0; i < 3; i++) {
        clients[i] = socket(AF_INET, SOCK_STREAM, 0);
        CHECK(connect(clients[i], (struct sockaddr *)&address, sizeof address) == 0);
        struct io_uring_cqe cqe = next();
        CHECK(cqe.res >= 0 && (cqe.flags & IORING_CQE_F_MORE));
        CHECK(fcntl(cqe.res, F_GETFL) & O_NONBLOCK);
        close(cqe.res);
        close(clients[i]);
    }
    ring_ask_cancel_fd(entry(), listener, 99);
    cancelled_at_once(7);
    close(listener);
    int late = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(connect(late, (struct sockaddr *)&address, sizeof address) < 0 && errno == ECONNREFUSED);
    close(late);
    finish();
}

static void receives_datagrams_with_their_senders(void)
{
    struct sockaddr_in here, there;
    struct msghdr room = {.msg_namelen = sizeof there};
    begin(8, 64);
    int receiver = bound(SOCK_DGRAM, &here), sender = bound(SOCK_DGRAM, &there);
    ring_ask_receive_message(entry(), receiver, &room, 3, 7);
    for (size_t length = 1; length < 5; length++) {
        CHECK(sendto(sender, "datagram", length, 0, (struct sockaddr *)&here, sizeof here) ==
              (ssize_t)length);
        struct io_uring_cqe cqe = next();
        CHECK(cqe.res > 0 && (cqe.flags & IORING_CQE_F_MORE));
        struct io_uring_recvmsg_out out;
        const char *buffer = block_of(&cqe);
        memcpy(&out, buffer, sizeof out);
        CHECK(out.namelen == sizeof there && out.payloadlen == length);
        CHECK(memcmp(buffer + sizeof out, &there, sizeof there.sin_family + 6) == 0);
        CHECK(memcmp(buffer + sizeof out + sizeof there, "datagram", length) == 0);
        ring_block_taken(&buffers, ring_buffer_of(&cqe));
    }
    close(sender);
    ring_ask_cancel_fd(entry(), receiver, 99);
    cancelled_at_once(7);
    close(receiver);
    finish();
}

#define EVERY(check)                                                                               \
    check(probe) check(no_room_for_such_a_ring) check(waits_for_a_time) check(sends)               \
    check(sends_to_nobody) check(sends_gathered) check(a_send_without_room_waits_for_it)           \
    check(a_full_queue_is_submitted_first) check(completions_that_do_not_fit_are_kept)             \
    check(receives_again_and_again) check(without_buffers_receiving_ends_and_begins_anew)          \
    check(blocks_share_a_buffer_and_stay_until_they_are_taken)                                     \
    check(more_buffers_take_part_when_there_were_too_few)                                          \
    check(a_receive_ends_after_so_many_bytes) check(cancels_by_tag)\
    check(cancels_by_descriptor)                                                                   \
    check(after_cancelling_everything_a_close_is_seen_at_once)                                     \
    check(polls_level_by_asking_anew) check(polls_each_change) check(shuts_down_and_closes)        \
    check(accepts_again_and_again) check(receives_datagrams_with_their_senders)

int main(int count, char **names)
{
#define LIST(check) puts(#check);
#define RUN(check)                                                                                 \
    if (strcmp(names[1], #check) == 0) {                                                           \
        check();                                                                                   \
        return 0;                                                                                  \
    }
    if (count < 2) {
        EVERY(LIST)
        return 0;
    }
    EVERY(RUN)
    fprintf(stderr, "no check is called %s\n", names[1]);
    return 2;
}
