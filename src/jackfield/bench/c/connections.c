/* Opening many connections politely, sending and receiving on them.
 *
 * Sends block (with a time limit): no mode has more under way on one connection than a socket
 * buffer holds. Receives never do.
 *
 * What an answer costs here has to be less than what it costs the server: events are edge
 * triggered, which spares the kernel a second look at each; bytes that are only counted are left
 * in the kernel (MSG_TRUNC); congestion control is the cheapest there is.
 */
#define _GNU_SOURCE
#include "load.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum { STALL_S = 10 }; /* a server that answers nothing for so long is not going to */

static struct addrinfo *resolve(const struct load *load)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST};
    struct addrinfo *found;
    int error = getaddrinfo(load->host, load->port, &hints, &found);
    if (error != 0)
        die("%s port %s: %s", load->host, load->port, gai_strerror(error));
    return found;
}

static int dial(const struct addrinfo *where)
{
    struct timeval limit = {.tv_sec = STALL_S};
    int on = 1;
    int fd = socket(where->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        die("socket: %s", strerror(errno));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    /* Always there, and nobody needs leave for it; the default may compute a pace (bbr). */
    setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "reno", sizeof "reno" - 1);
    if (connect(fd, where->ai_addr, where->ai_addrlen) != 0)
        die("connect: %s", strerror(errno));
    return fd;
}

void send_all(struct connection *c, const char *data, size_t length)
{
    while (length > 0) {
        ssize_t n = send(c->fd, data, length, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            die("send: %s", errno == EAGAIN ? "the server has stopped reading" : strerror(errno));
        data += n;
        length -= (size_t)n;
    }
}

static size_t take(struct load *load, struct connection *c, size_t length)
{
    c->received += length;
    if (load->arrived != NULL)
        load->arrived(load, (int)(c - load->connections), length);
    return length;
}

/* Connect [from, to), say hello on each, and wait until each was answered: a full backlog
 * would drop the SYN of whoever came too soon, to be sent again a second later. */
static void open_batch(struct load *load, const struct addrinfo *where, int from, int to,
                       hello_writer *hello)
{
    char text[HELLO_SIZE];
    for (int i = from; i < to; i++) {
        load->connections[i].fd = dial(where);
        send_all(&load->connections[i], text, hello(text, i));
    }
    for (int i = from; i < to; i++) {
        ssize_t n = recv(load->connections[i].fd, load->buffer, BUFFER_SIZE, 0);
        if (n == 0)
            die("the server closed connection %d of %d at once", i + 1, load->count);
        if (n < 0)
            die("connection %d of %d: %s", i + 1, load->count,
                errno == EAGAIN ? "no answer from the server" : strerror(errno));
        take(load, &load->connections[i], (size_t)n);
    }
}

static void watch(struct load *load, int from, int to)
{
    for (int i = from; i < to; i++) {
        struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.u32 = (uint32_t)i};
        if (epoll_ctl(load->poller, EPOLL_CTL_ADD, load->connections[i].fd, &event) != 0)
            die("epoll_ctl: %s", strerror(errno));
    }
}

static size_t receive_block(struct load *load, struct connection *c)
{
    int flags = MSG_DONTWAIT | (load->arrived == NULL ? MSG_TRUNC : 0);
    ssize_t n = recv(c->fd, load->buffer, BUFFER_SIZE, flags);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (n <= 0)
        die("connection %d of %d: %s", (int)(c - load->connections) + 1, load->count,
            n == 0 ? "the server closed it" : strerror(errno));
    return take(load, c, (size_t)n);
}

/* All there is: epoll tells of it once. */
size_t receive(struct load *load, struct connection *c)
{
    size_t n, all = 0;
    do
        all += n = receive_block(load, c);
    while (n == BUFFER_SIZE);
    return all;
}

/* Read what has arrived within `timeout` milliseconds; returns how many connections had some. */
static int drain(struct load *load, int timeout)
{
    struct epoll_event events[EVENTS];
    int n = epoll_wait(load->poller, events, EVENTS, timeout);
    for (int i = 0; i < n; i++)
        receive(load, &load->connections[events[i].data.u32]);
    return n;
}

void open_connections(struct load *load, int count, hello_writer *hello)
{
    struct addrinfo *where = resolve(load);
    int batch = load->batch ? load->batch : CONNECT_BATCH;
    load->count = count;
    load->connections = calloc((size_t)count, sizeof *load->connections);
    load->poller = epoll_create1(EPOLL_CLOEXEC);
    if (load->connections == NULL || load->poller < 0)
        die("out of memory or descriptors for %d connections", count);
    for (int i = 0; i < count; i += batch) {
        int end = i + batch < count ? i + batch : count;
        open_batch(load, where, i, end, hello);
        watch(load, i, end);
        /* Members hear of each other's coming: a server may wait for one that does not read. */
        drain(load, 0);
    }
    freeaddrinfo(where);
}

/* Start counting from zero, then read until nothing more comes. */
void quiet(struct load *load)
{
    uint64_t limit = now_ns() + QUIET_LIMIT_S * 1000000000ull;
    for (int i = 0; i < load->count; i++)
        load->connections[i].received = 0;
    while (drain(load, QUIET_MS) != 0)
        if (now_ns() > limit)
            die("the server still sends %d s after the last handshake", QUIET_LIMIT_S);
}
