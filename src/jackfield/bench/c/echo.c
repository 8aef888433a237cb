/* Echo: each connection sends SIZE bytes, waits for SIZE bytes, sends again.
 *
 * Held: before the first request and after the last answer every connection stands still, and
 * whoever started the generator may count what the server has used until then.
 */
#define _GNU_SOURCE
#include "load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

static size_t one_byte(char *out, int index)
{
    (void)index;
    *out = 'x';
    return 1;
}

/* Returns 1 when a reply is complete (and the next request has left). */
static int serve(struct load *load, struct connection *c, const char *request, size_t size,
                 enum phase phase)
{
    receive(load, c);
    if (c->received < size)
        return 0;
    if (c->received > size)
        die("%llu bytes came back for a request of %zu", (unsigned long long)c->received, size);
    uint64_t now = now_ns();
    if (phase == MEASURING)
        record_latency(now - c->started);
    c->received = 0;
    c->started = now;
    send_all(c, request, size);
    return 1;
}

/* Say that all is still; then wait for a line of input, or its end. */
static void hold(void)
{
    char line[8];
    puts("ready");
    fflush(stdout);
    if (fgets(line, sizeof line, stdin) == NULL)
        exit(0);
}

/* Every request under way is answered once more, and none follows. Returns how many that were. */
static uint64_t finish(struct load *load, size_t size)
{
    uint64_t limit = now_ns() + QUIET_LIMIT_S * 1000000000ull;
    struct epoll_event events[EVENTS];
    int left = load->count;
    while (left > 0) {
        int n = epoll_wait(load->poller, events, EVENTS, QUIET_MS);
        for (int i = 0; i < n; i++) {
            struct connection *c = &load->connections[events[i].data.u32];
            receive(load, c);
            left -= c->received == size;
        }
        if (now_ns() > limit)
            die("%d of %d connections are not answered", left, load->count);
    }
    return (uint64_t)load->count;
}

void run_echo(struct load *load, size_t size, int held)
{
    struct epoll_event events[EVENTS];
    struct window window;
    uint64_t operations = 0;
    char *request = malloc(size);
    if (request == NULL)
        die("out of memory");
    memset(request, 'x', size);
    open_connections(load, load->count, one_byte);
    quiet(load);
    if (held)
        hold();
    for (int i = 0; i < load->count; i++) {
        load->connections[i].started = now_ns();
        send_all(&load->connections[i], request, size);
    }
    window_start(&window, load);
    while (window_update(&window, operations) != DONE) {
        int n = epoll_wait(load->poller, events, EVENTS, 100);
        for (int i = 0; i < n; i++)
            operations += (uint64_t)serve(load, &load->connections[events[i].data.u32], request,
                                          size, window.phase);
    }
    printf("{");
    print_window(&window);
    printf(", ");
    print_latencies();
    if (held)
        printf(", \"answered\": %llu", (unsigned long long)(operations + finish(load, size)));
    printf("}\n");
    fflush(stdout);
    if (held)
        hold();
}

void run_idle(struct load *load, int count)
{
    char ignored[64];
    open_connections(load, count, one_byte);
    puts("ready");
    fflush(stdout);
    while (fread(ignored, 1, sizeof ignored, stdin) > 0)
        ;
}
