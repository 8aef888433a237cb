/* The load generator: a client that is never the bottleneck, one thread, epoll.
 *
 *   load echo   HOST PORT PID SECONDS WARMUP CONNECTIONS SIZE
 *       every connection has one request of SIZE bytes in flight and waits for SIZE bytes back
 *   load held   HOST PORT PID SECONDS WARMUP CONNECTIONS SIZE
 *       the same, but it prints "ready" and waits for a line of input before the first request,
 *       and again after its line of JSON, which also has the number of all answers
 *   load fanout HOST PORT PID SECONDS WARMUP ADAPTER MEMBERS SENDERS IN_FLIGHT SIZE
 *       SENDERS of the MEMBERS of one room keep IN_FLIGHT messages under way; see fanout.c
 *   load udp    HOST PORT PID SECONDS WARMUP IN_FLIGHT SIZE
 *       IN_FLIGHT datagrams are under way; see udp.c
 *   load accept HOST PORT PID SECONDS WARMUP IN_FLIGHT
 *       connects, exchanges one byte, closes; see accept.c
 *   load latency HOST PORT PID SECONDS WARMUP ADAPTER MEMBERS STALLED RATE SIZE
 *       one member sends RATE messages a second while STALLED others do not read; see latency.c
 *   load idle   HOST PORT PID CONNECTIONS
 *       opens the connections, exchanges one byte on each, prints "ready", ends with its input
 *
 * PID is the server's process (0: none): its CPU time is read at both ends of the measured
 * window. All but idle print one line of JSON. It ends by itself: by alarm(2) if by nothing
 * else, and with the process that started it.
 */
#define _GNU_SOURCE
#include "load.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

enum { OVERHEAD_S = 120 }; /* for connecting, handshakes and the last deliveries together */

void die(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("load generator: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(1);
}

uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

long parse_number(const char *text, const char *what, long low, long high)
{
    char *end;
    long value = strtol(text, &end, 10);
    if (*text == '\0' || *end != '\0' || value < low || value > high)
        die("%s is '%s': a number from %ld to %ld is needed", what, text, low, high);
    return value;
}

static double parse_seconds(const char *text, const char *what)
{
    char *end;
    double value = strtod(text, &end);
    if (*text == '\0' || *end != '\0' || !(value >= 0 && value <= 3600))
        die("%s is '%s': seconds from 0 to 3600 are needed", what, text);
    return value;
}

static void need(int argc, int wanted)
{
    if (argc != wanted)
        die("%d arguments, %d are needed (load.c lists them)", argc - 1, wanted - 1);
}

/* A mode: how many arguments it needs, and how it is run with those from the fifth on. */
struct mode {
    const char *name;
    int arguments;
    void (*run)(struct load *load, char **arguments);
};

static size_t parse_size(const char *text, long least, long most)
{
    return (size_t)parse_number(text, "SIZE", least, most);
}

static int parse_count(const char *text, const char *what, long most)
{
    return (int)parse_number(text, what, 1, most);
}

static void echo_mode(struct load *load, char **arguments)
{
    load->count = parse_count(arguments[0], "CONNECTIONS", 1000000);
    run_echo(load, parse_size(arguments[1], 1, BUFFER_SIZE), 0);
}

static void held_mode(struct load *load, char **arguments)
{
    load->count = parse_count(arguments[0], "CONNECTIONS", 1000000);
    run_echo(load, parse_size(arguments[1], 1, BUFFER_SIZE), 1);
}

static void fanout_mode(struct load *load, char **arguments)
{
    int members = parse_count(arguments[1], "MEMBERS", 10000);
    int senders = parse_count(arguments[2], "SENDERS", 10000);
    int in_flight = parse_count(arguments[3], "IN_FLIGHT", 1000000);
    run_fanout(load, arguments[0], members, senders, in_flight, parse_size(arguments[4], 11, 65536));
}

static void udp_mode(struct load *load, char **arguments)
{
    int in_flight = parse_count(arguments[0], "IN_FLIGHT", 65536);
    run_udp(load, in_flight, parse_size(arguments[1], DATAGRAM_LEAST, 65507));
}

static void accept_mode(struct load *load, char **arguments)
{
    run_accept(load, parse_count(arguments[0], "IN_FLIGHT", 10000));
}

static void latency_mode(struct load *load, char **arguments)
{
    int members = parse_count(arguments[1], "MEMBERS", 10000);
    int stalled = (int)parse_number(arguments[2], "STALLED", 0, 9999);
    double rate = (double)parse_number(arguments[3], "RATE", 1, 1000000);
    run_latency(load, arguments[0], members, stalled, rate, parse_size(arguments[4], 11, 65536));
}

static const struct mode modes[] = {
    {"echo", 2, echo_mode}, {"held", 2, held_mode},     {"fanout", 5, fanout_mode},
    {"udp", 2, udp_mode},   {"accept", 1, accept_mode}, {"latency", 5, latency_mode},
};

static const struct mode *find_mode(const char *name)
{
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++)
        if (strcmp(modes[i].name, name) == 0)
            return &modes[i];
    die("unknown mode '%s': echo, held, fanout, udp, accept, latency or idle", name);
}

int main(int argc, char **argv)
{
    struct load load = {0};
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGPIPE, SIG_IGN);
    if (argc < 5)
        need(argc, 5);
    load.host = argv[2];
    load.port = argv[3];
    load.server = (pid_t)parse_number(argv[4], "PID", 0, 1 << 30);
    load.buffer = malloc(BUFFER_SIZE);
    if (load.buffer == NULL)
        die("out of memory");
    if (strcmp(argv[1], "idle") == 0) {
        need(argc, 6);
        alarm(OVERHEAD_S);
        run_idle(&load, parse_count(argv[5], "CONNECTIONS", 1000000));
        return 0;
    }
    const struct mode *mode = find_mode(argv[1]);
    need(argc, 7 + mode->arguments);
    load.seconds = parse_seconds(argv[5], "SECONDS");
    load.warmup = parse_seconds(argv[6], "WARMUP");
    alarm(OVERHEAD_S + (unsigned)(load.seconds + load.warmup));
    mode->run(&load, argv + 7);
    return 0;
}
