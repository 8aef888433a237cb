/* What the parts of the load generator share; load.c says what it is and how it is called. */
#ifndef JACKFIELD_LOAD_H
#define JACKFIELD_LOAD_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum {
    BUFFER_SIZE = 1 << 20, /* one receive takes whatever waits: fewer system calls than bytes */
    EVENTS = 1024,         /* readiness events per wait */
    CONNECT_BATCH = 64,    /* half the smallest usual backlog (128), so that no SYN is dropped */
    HELLO_SIZE = 256,      /* the longest first message of any server spoken to */
    DATAGRAM_LEAST = 16,   /* bytes: what udp.c writes at the beginning of each */
    QUIET_MS = 200,        /* nothing received for so long: the handshakes are over */
    QUIET_LIMIT_S = 30,    /* a server that never goes quiet is not one we can measure */
};

struct connection {
    int fd;
    uint64_t received; /* bytes, since the last quiet() */
    uint64_t messages; /* received, where they are counted (lines.c) */
    uint64_t sent;     /* messages */
    uint64_t started;  /* when its request left, nanoseconds */
};

struct load {
    const char *host;
    const char *port;
    pid_t server; /* whose CPU time is read; 0: nobody's */
    double seconds, warmup;
    int poller;
    int count;
    struct connection *connections;
    char *buffer; /* BUFFER_SIZE bytes, reused for every receive */
    int batch;    /* connections opened at a time; 0: CONNECT_BATCH */
    void (*arrived)(struct load *load, int index, size_t length); /* in buffer; may be NULL */
};

/* Writes the first message of connection `index` to `out`; returns its length. */
typedef size_t hello_writer(char *out, int index);

__attribute__((noreturn, format(printf, 1, 2))) void die(const char *format, ...);
uint64_t now_ns(void);
long parse_number(const char *text, const char *what, long low, long high);

/* connections.c */
void open_connections(struct load *load, int count, hello_writer *hello);
void quiet(struct load *load);
size_t receive(struct load *load, struct connection *c);
void send_all(struct connection *c, const char *data, size_t length);

/* measure.c: the measured part of a run, and what is printed about it. */
enum phase { WARMING, MEASURING, DONE };
struct window {
    enum phase phase;
    uint64_t begins, length;             /* planned, nanoseconds */
    uint64_t began, ended;               /* as it was */
    uint64_t operations;                 /* done by the start, then within the window */
    double server_cpu, load_cpu;         /* the same, seconds */
    double server_wait, load_wait;       /* ready to run while the core ran something else */
    pid_t server;
};
void window_start(struct window *w, const struct load *load);
enum phase window_update(struct window *w, uint64_t operations);
void print_window(const struct window *w);
void record_latency(uint64_t nanoseconds);
void print_latencies(void);

/* The modes. */
void run_echo(struct load *load, size_t size, int held);
void run_fanout(struct load *load, const char *adapter, int members, int senders, int in_flight,
                size_t size);
void run_idle(struct load *load, int count);
void run_udp(struct load *load, int in_flight, size_t size);
void run_accept(struct load *load, int in_flight);
void run_latency(struct load *load, const char *adapter, int members, int stalled, double rate,
                 size_t size);

#endif
