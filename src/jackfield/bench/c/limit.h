/* What the servers in C share: the limit that jackfield is compared with. limit.c says how. */
#ifndef JACKFIELD_LIMIT_H
#define JACKFIELD_LIMIT_H

#include <stddef.h>
#include <stdint.h>

enum {
    BLOCK = 1 << 16,    /* bytes of one receive, jackfield's own */
    EVENTS = 1024,      /* readiness events per wait */
    BACKLOG = 128,      /* jackfield's own, so that nobody has more room for connections */
    MAX_FDS = 1 << 16,  /* descriptors, which index the table of connections */
};

__attribute__((noreturn, format(printf, 1, 2))) void die(const char *format, ...);

/* Say where this server listens, and end with whoever started it. */
void announce(int fd, const char *scheme);

/* A socket on a loopback port of the command line (0: any); a listener unless type is a datagram's. */
int open_port(int argc, char **argv, int type);

/* A stream server: what arrives is given to `arrived`, in blocks of at most BLOCK bytes. */
typedef void arrived_function(int fd, const char *data, size_t length);
typedef void came_or_gone(int fd);
__attribute__((noreturn)) void serve_streams(int listener, arrived_function *arrived,
                                             came_or_gone *came, came_or_gone *gone);

/* Send now what the socket takes; the rest waits, in order, until it takes more. */
void transmit(int fd, const char *data, size_t length);

#endif
