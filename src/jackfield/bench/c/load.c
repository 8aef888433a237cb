/* The load generator: a client that is never the bottleneck, one thread, epoll.
 *
 *   load echo   HOST PORT PID SECONDS WARMUP CONNECTIONS SIZE
 *       every connection has one request of SIZE bytes in flight and waits for SIZE bytes back
 *   load held   HOST PORT PID SECONDS WARMUP CONNECTIONS SIZE
 *       the same, but it prints "ready" and waits for a line of input before the first request,
 *       and again after its line of JSON, which also has the number of all answers
 *   load fanout HOST PORT PID SECONDS WARMUP ADAPTER MEMBERS SENDERS IN_FLIGHT SIZE
 *       SENDERS of the MEMBERS of one room keep IN_FLIGHT messages under way; see fanout.c
 *   load idle   HOST PORT PID CONNECTIONS
 *       opens the connections, exchanges one byte on each, prints "ready", ends with its input
 *
 * PID is the server's process (0: none): its CPU time is read at both ends of the measured
 * window. echo and fanout print one line of JSON. It ends by itself: by alarm(2) if by nothing
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
        run_idle(&load, (int)parse_number(argv[5], "CONNECTIONS", 1, 1000000));
        return 0;
    }
    if (argc < 7)
        need(argc, 7);
    load.seconds = parse_seconds(argv[5], "SECONDS");
    load.warmup = parse_seconds(argv[6], "WARMUP");
    alarm(OVERHEAD_S + (unsigned)(load.seconds + load.warmup));
    int held = strcmp(argv[1], "held") == 0;
    if (held || strcmp(argv[1], "echo") == 0) {
        need(argc, 9);
        load.count = (int)parse_number(argv[7], "CONNECTIONS", 1, 1000000);
        run_echo(&load, (size_t)parse_number(argv[8], "SIZE", 1, BUFFER_SIZE), held);
    } else if (strcmp(argv[1], "fanout") == 0) {
        need(argc, 12);
        run_fanout(&load, argv[7], (int)parse_number(argv[8], "MEMBERS", 1, 10000),
                   (int)parse_number(argv[9], "SENDERS", 1, 10000),
                   (int)parse_number(argv[10], "IN_FLIGHT", 1, 1000000),
                   (size_t)parse_number(argv[11], "SIZE", 11, 65536));
    } else {
        die("unknown mode '%s': echo, held, fanout or idle", argv[1]);
    }
    return 0;
}
