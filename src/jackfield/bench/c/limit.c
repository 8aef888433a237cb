/* One thread, epoll, level triggered: a stream server as C programmers write it.
 *
 * A listener that is ready is accepted from until nobody waits. A connection that is ready is
 * received from once; if more waits, epoll says so again. While something waits to be sent to a
 * connection it is not received from, so that nobody can make this server hold more than a block.
 */
#define _GNU_SOURCE
#include "limit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

/* What waits to be sent to a connection; nothing for nearly all of them. */
struct rest {
    size_t from, to, room;
    char data[];
};
static struct rest *rests[MAX_FDS];
static int poller;

void die(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(1);
}

void announce(int fd, const char *scheme)
{
    struct sockaddr_in address;
    socklen_t length = sizeof address;
    if (getsockname(fd, (struct sockaddr *)&address, &length) != 0)
        die("getsockname: %s", strerror(errno));
    fprintf(stderr, "listening %s://127.0.0.1:%d\n", scheme, ntohs(address.sin_port));
}

int open_port(int argc, char **argv, int type)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    int on = 1;
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (argc != 2)
        die("the port is needed, and nothing else");
    address.sin_port = htons((uint16_t)atoi(argv[1]));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) != 0)
        die("port %s: %s", argv[1], strerror(errno));
    if ((type & SOCK_STREAM) != 0 && listen(fd, BACKLOG) != 0)
        die("listen: %s", strerror(errno));
    return fd;
}

static void watch(int fd, int operation, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.fd = fd};
    if (epoll_ctl(poller, operation, fd, &event) != 0)
        die("epoll_ctl: %s", strerror(errno));
}

/* At least `more` bytes of room behind what waits; twice as much each time it is too little. */
static struct rest *make_room(struct rest *rest, size_t more)
{
    if (rest != NULL && rest->room - rest->to >= more)
        return rest;
    size_t used = rest == NULL ? 0 : rest->to, room = 2 * (used + more);
    rest = realloc(rest, sizeof *rest + room);
    if (rest == NULL)
        die("out of memory");
    if (used == 0)
        rest->from = rest->to = 0;
    rest->room = room;
    return rest;
}

static void keep_rest(int fd, const char *data, size_t length)
{
    if (rests[fd] == NULL)
        watch(fd, EPOLL_CTL_MOD, EPOLLOUT);
    struct rest *rest = rests[fd] = make_room(rests[fd], length);
    memcpy(rest->data + rest->to, data, length);
    rest->to += length;
}

/* Bytes that the socket took. An error is seen again, and dealt with, at the next receive. */
static size_t send_some(int fd, const char *data, size_t length)
{
    ssize_t n = send(fd, data, length, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n >= 0)
        return (size_t)n;
    return errno == EAGAIN || errno == EINTR ? 0 : length;
}

void transmit(int fd, const char *data, size_t length)
{
    size_t n = rests[fd] == NULL ? send_some(fd, data, length) : 0;
    if (n < length)
        keep_rest(fd, data + n, length - n);
}

static void send_rest(int fd)
{
    struct rest *rest = rests[fd];
    rest->from += send_some(fd, rest->data + rest->from, rest->to - rest->from);
    if (rest->from < rest->to)
        return;
    free(rest);
    rests[fd] = NULL;
    watch(fd, EPOLL_CTL_MOD, EPOLLIN);
}

static void accept_all(int listener, came_or_gone *came)
{
    int on = 1, fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        if (fd >= MAX_FDS)
            die("descriptor %d is beyond the table", fd);
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        watch(fd, EPOLL_CTL_ADD, EPOLLIN);
        if (came != NULL)
            came(fd);
    }
    if (errno != EAGAIN && errno != ECONNABORTED && errno != EINTR)
        die("accept: %s", strerror(errno));
}

static void receive(int fd, arrived_function *arrived, came_or_gone *gone)
{
    static char block[BLOCK];
    ssize_t n = recv(fd, block, sizeof block, MSG_DONTWAIT);
    if (n > 0) {
        arrived(fd, block, (size_t)n);
    } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
        if (gone != NULL)
            gone(fd);
        free(rests[fd]);
        rests[fd] = NULL;
        close(fd);
    }
}

void serve_streams(int listener, arrived_function *arrived, came_or_gone *came,
                   came_or_gone *gone)
{
    static struct epoll_event events[EVENTS];
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    poller = epoll_create1(EPOLL_CLOEXEC);
    watch(listener, EPOLL_CTL_ADD, EPOLLIN);
    announce(listener, "tcp");
    for (;;) {
        int n = epoll_wait(poller, events, EVENTS, -1);
        for (int i = 0; i < n; i++) {
            int fd = events[i].data.fd;
            if (fd == listener)
                accept_all(listener, came);
            else if (rests[fd] != NULL)
                send_rest(fd);
            else
                receive(fd, arrived, gone);
        }
    }
}
