/* UDP echo: IN_FLIGHT datagrams of SIZE bytes are under way; each answer is followed by another.
 *
 * One socket, received from by recvmmsg(2). What may be sent after a receive leaves in one call:
 * the kernel cuts it into datagrams (UDP_SEGMENT, udp(7)), which costs a fraction of sending
 * each; a kernel that cannot is given one datagram at a time.
 *
 * A datagram may be lost. Each carries when it left and which of those under way it is: one that
 * is not answered within LOST_MS counts as lost and is sent again. An answer to what has been
 * given up is late, and counts for nothing.
 */
#define _GNU_SOURCE
#include "load.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum {
    BATCH = 64,           /* datagrams in one call, either way */
    LOST_MS = 100,        /* a thousand times what a loopback answer takes */
    DEAD_MS = 5000,       /* no answer for so long: there will be none */
    MANY_BYTES = 8 << 20, /* asked for as the socket's buffer; the kernel grants what it allows */
    MOST_BYTES = 65507,   /* of one send: 2^16 - 1 less the headers of IPv4 and UDP */
};

/* At the beginning of each datagram. */
struct stamp {
    uint64_t left;
    uint32_t index;
};
_Static_assert(sizeof(struct stamp) <= DATAGRAM_LEAST, "a datagram has room for its stamp");

struct udp {
    int fd, in_flight, segments; /* datagrams that one send may be cut into */
    size_t size;
    uint64_t *left;              /* when each of those under way did, nanoseconds */
    uint32_t due[BATCH];         /* which of them to send next */
    int due_count;
    uint64_t answers, lost, late, last_answer, last_check;
    char *out, *in;
    struct iovec blocks[BATCH];
    struct mmsghdr messages[BATCH];
};

static void open_socket(struct udp *u, const struct load *load)
{
    struct addrinfo hints = {.ai_socktype = SOCK_DGRAM, .ai_flags = AI_NUMERICHOST}, *where;
    int many = MANY_BYTES;
    int error = getaddrinfo(load->host, load->port, &hints, &where);
    if (error != 0)
        die("%s port %s: %s", load->host, load->port, gai_strerror(error));
    u->fd = socket(where->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (u->fd < 0 || connect(u->fd, where->ai_addr, where->ai_addrlen) != 0)
        die("connect: %s", strerror(errno));
    freeaddrinfo(where);
    setsockopt(u->fd, SOL_SOCKET, SO_RCVBUF, &many, sizeof many);
    setsockopt(u->fd, SOL_SOCKET, SO_SNDBUF, &many, sizeof many);
}

/* As many as one send may carry, if the kernel cuts at all. */
static int most_segments(const struct udp *u)
{
    int size = (int)u->size, fit = MOST_BYTES / size;
    if (setsockopt(u->fd, IPPROTO_UDP, UDP_SEGMENT, &size, sizeof size) != 0)
        return 1;
    return fit < BATCH ? fit : BATCH;
}

static void prepare(struct udp *u)
{
    u->out = malloc(BATCH * u->size);
    u->in = malloc(BATCH * u->size);
    u->left = calloc((size_t)u->in_flight, sizeof *u->left);
    if (u->out == NULL || u->in == NULL || u->left == NULL)
        die("out of memory for %d datagrams", u->in_flight);
    memset(u->out, 'x', BATCH * u->size);
    for (int i = 0; i < BATCH; i++) {
        u->blocks[i] = (struct iovec){u->in + (size_t)i * u->size, u->size};
        u->messages[i].msg_hdr = (struct msghdr){.msg_iov = &u->blocks[i], .msg_iovlen = 1};
    }
}

/* An error that an earlier datagram met is told of the next call: it says that nobody listens. */
static void refuse(const char *call)
{
    if (errno != EAGAIN && errno != EINTR && errno != ENOBUFS)
        die("%s: %s", call, strerror(errno));
}

static void send_due(struct udp *u, uint64_t now)
{
    for (int from = 0; from < u->due_count; from += u->segments) {
        int left = u->due_count - from, n = left < u->segments ? left : u->segments;
        for (int i = 0; i < n; i++) {
            struct stamp stamp = {now, u->due[from + i]};
            memcpy(u->out + (size_t)i * u->size, &stamp, sizeof stamp);
            u->left[stamp.index] = now;
        }
        if (send(u->fd, u->out, (size_t)n * u->size, 0) < 0)
            refuse("send"); /* not sent: it will count as lost */
    }
    u->due_count = 0;
}

static void add_due(struct udp *u, uint32_t index, uint64_t now)
{
    u->due[u->due_count++] = index;
    if (u->due_count == BATCH)
        send_due(u, now);
}

static void take(struct udp *u, int i, uint64_t now, enum phase phase)
{
    struct stamp stamp;
    if (u->messages[i].msg_len != u->size)
        die("%u bytes came back for a datagram of %zu", u->messages[i].msg_len, u->size);
    memcpy(&stamp, u->blocks[i].iov_base, sizeof stamp);
    if (stamp.index >= (uint32_t)u->in_flight || stamp.left != u->left[stamp.index]) {
        u->late++;
        return;
    }
    u->answers++;
    u->left[stamp.index] = 0; /* a second answer to it is none */
    u->last_answer = now;
    if (phase == MEASURING)
        record_latency(now - stamp.left);
    add_due(u, stamp.index, now);
}

/* Now and then: what has not been answered for too long is sent again. */
static void find_lost(struct udp *u, uint64_t now)
{
    const uint64_t too_long = LOST_MS * 1000000ull;
    if (now - u->last_check < too_long)
        return;
    u->last_check = now;
    if (now - u->last_answer > DEAD_MS * 1000000ull)
        die("the server answers no datagram");
    for (int i = 0; i < u->in_flight; i++)
        if (now - u->left[i] > too_long) {
            u->lost++;
            add_due(u, (uint32_t)i, now);
        }
}

/* How many were received: none after LOST_MS of silence. */
static int receive_many(struct udp *u)
{
    struct pollfd readable = {.fd = u->fd, .events = POLLIN};
    int n = recvmmsg(u->fd, u->messages, BATCH, MSG_DONTWAIT, NULL);
    if (n > 0)
        return n;
    refuse("receive");
    poll(&readable, 1, LOST_MS);
    return 0;
}

static void turn(struct udp *u, enum phase phase)
{
    int n = receive_many(u);
    uint64_t now = now_ns();
    for (int i = 0; i < n; i++)
        take(u, i, now, phase);
    send_due(u, now);
    find_lost(u, now);
    send_due(u, now);
}

void run_udp(struct load *load, int in_flight, size_t size)
{
    struct udp u = {.in_flight = in_flight, .size = size};
    struct window window;
    uint64_t lost = 0;
    open_socket(&u, load);
    u.segments = most_segments(&u);
    prepare(&u);
    u.last_answer = u.last_check = now_ns();
    for (int i = 0; i < in_flight; i++)
        add_due(&u, (uint32_t)i, u.last_answer);
    send_due(&u, u.last_answer);
    window_start(&window, load);
    while (window_update(&window, u.answers) != DONE) {
        if (window.phase == WARMING)
            lost = u.lost;
        turn(&u, window.phase);
    }
    printf("{");
    print_window(&window);
    printf(", ");
    print_latencies();
    printf(", \"lost\": %llu, \"late\": %llu}\n", (unsigned long long)(u.lost - lost),
           (unsigned long long)u.late);
}
