/* Accept: connect, send a byte, receive it back, close; IN_FLIGHT connections at a time.
 *
 * That the byte came back proves that the server has accepted and served this connection, and
 * did not leave it in its backlog. Connections are served in the order in which they came, or
 * nearly, so that waiting for the oldest costs no poller.
 *
 * They are closed as clients close them, by FIN: a reset would have the server take the path of
 * an error. The client's side then keeps its port for a minute (TIME-WAIT), and the ports of one
 * address would be used up within a second: each connection comes from the next of SOURCES
 * addresses, 127.0.0.1 and those behind it.
 */
#define _GNU_SOURCE
#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    SOURCES = 250,   /* 28,000 ports each: 7 million connections before one comes again */
    STALL_MS = 10000 /* a server that does not answer for so long is not going to */
};

static struct sockaddr_in server;

static void find_server(const struct load *load)
{
    server.sin_family = AF_INET;
    server.sin_port = htons((uint16_t)parse_number(load->port, "PORT", 1, 65535));
    if (inet_pton(AF_INET, load->host, &server.sin_addr) != 1 ||
        ntohl(server.sin_addr.s_addr) >> 24 != IN_LOOPBACKNET)
        die("%s: accept needs an address 127.x.x.x, to come from its neighbours", load->host);
}

static void open_next(struct connection *c)
{
    static uint32_t number;
    struct sockaddr_in own = {.sin_family = AF_INET};
    int on = 1;
    own.sin_addr.s_addr = htonl(INADDR_LOOPBACK + number++ % SOURCES);
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    /* The port is chosen by connect, which knows that one may serve for many servers. */
    setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    if (c->fd < 0 || bind(c->fd, (struct sockaddr *)&own, sizeof own) != 0)
        die("bind: %s", strerror(errno));
    c->started = now_ns();
    if (connect(c->fd, (struct sockaddr *)&server, sizeof server) != 0)
        die("connect: %s", strerror(errno));
    send_all(c, "x", 1);
}

static void finish(struct connection *c)
{
    struct pollfd readable = {.fd = c->fd, .events = POLLIN};
    char answer[2];
    ssize_t n = recv(c->fd, answer, sizeof answer, MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN) {
        if (poll(&readable, 1, STALL_MS) == 0)
            die("a connection was not served for %d s", STALL_MS / 1000);
        n = recv(c->fd, answer, sizeof answer, MSG_DONTWAIT);
    }
    if (n != 1)
        die("a connection that sent one byte received %s",
            n == 0 ? "none: the server closed it" : n < 0 ? strerror(errno) : "more");
    close(c->fd);
}

void run_accept(struct load *load, int in_flight)
{
    struct connection *ring = calloc((size_t)in_flight, sizeof *ring);
    struct window window;
    uint64_t operations = 0;
    if (ring == NULL)
        die("out of memory");
    find_server(load);
    for (int i = 0; i < in_flight; i++)
        open_next(&ring[i]);
    window_start(&window, load);
    while (window_update(&window, operations) != DONE) {
        struct connection *oldest = &ring[operations++ % (uint64_t)in_flight];
        finish(oldest);
        if (window.phase == MEASURING)
            record_latency(now_ns() - oldest->started);
        open_next(oldest);
    }
    printf("{");
    print_window(&window);
    printf(", ");
    print_latencies();
    printf("}\n");
}
