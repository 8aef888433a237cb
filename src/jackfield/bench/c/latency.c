/* Latency of deliveries at a fixed rate, while STALLED of the MEMBERS of a room do not read.
 *
 * One member sends RATE messages a second, each at its time whatever became of those before
 * (so that a server that is late cannot hide it), and every delivery to a member that reads is
 * timed from the moment its message was due.
 *
 * A member that stalls has to have filled what the kernel holds for it, or the server would
 * notice nothing. So before the measured part as many bytes are sent as a socket may hold,
 * as fast as the other members take them; with nobody stalled too, that both be alike.
 */
#define _GNU_SOURCE
#include "adapters.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

enum {
    FILL_FLIGHT = 64,     /* messages under way while the sockets are filled */
    FILL_MORE = 256 << 10, /* bytes beyond the largest send buffer: the receive buffer's */
    FILL_DEFAULT = 4 << 20, /* tcp_wmem's maximum where it cannot be read: the kernel's default */
    SMALL_BUFFER = 4096,  /* of a member that stalls */
    SETTLE_S = 5,         /* nothing received for so long: what is missing is lost */
};

struct room {
    struct load *load;
    const struct adapter *adapter;
    int members, readers; /* those that read come first */
    uint64_t unit;        /* of one delivery: bytes, or 1 where messages are counted */
    uint64_t sent, delivered;
    uint64_t *due;        /* when each message was, nanoseconds; 0: it is not timed */
    uint64_t planned;
    char *message;
    size_t length;
};

static const struct room *opening;

static size_t hello(char *out, int index)
{
    const struct adapter *adapter = opening->adapter;
    if (index < opening->members)
        return adapter->hello(out, index);
    return adapter->publisher_hello(out, 0);
}

static uint64_t messages_of(const struct room *r, const struct connection *member)
{
    return (r->adapter->before ? member->messages : member->received) / r->unit;
}

static void send_one(struct room *r, uint64_t due)
{
    if (r->sent == r->planned)
        die("more messages than were planned: %llu", (unsigned long long)r->sent);
    r->due[r->sent++] = due;
    send_all(&r->load->connections[r->adapter->apart ? r->members : 0], r->message, r->length);
}

/* One wait, and the deliveries that it brought. */
static int turn(struct room *r, int timeout)
{
    struct epoll_event events[EVENTS];
    int n = epoll_wait(r->load->poller, events, EVENTS, timeout);
    for (int i = 0; i < n; i++) {
        struct connection *c = &r->load->connections[events[i].data.u32];
        uint64_t k = messages_of(r, c);
        receive(r->load, c);
        if (events[i].data.u32 >= (uint32_t)r->readers)
            continue;
        uint64_t now = now_ns(), to = messages_of(r, c);
        if (to > r->sent)
            die("member %u received more than was sent", events[i].data.u32 + 1);
        r->delivered += to - k;
        for (; k < to; k++)
            if (r->due[k] != 0)
                record_latency(now - r->due[k]);
    }
    return n;
}

/* Until all that was sent has reached every member that reads, or `most` are under way. */
static void settle(struct room *r, uint64_t most)
{
    uint64_t last = now_ns();
    while (r->delivered + most * (uint64_t)r->readers < r->sent * (uint64_t)r->readers) {
        if (turn(r, 100) > 0)
            last = now_ns();
        else if (now_ns() - last > SETTLE_S * 1000000000ull)
            die("%llu deliveries are missing: lost, or a member that stalls holds up the others",
                (unsigned long long)(r->sent * (uint64_t)r->readers - r->delivered));
    }
}

/* What one message is on this server's wire. */
static void calibrate(struct room *r)
{
    struct connection *members = r->load->connections;
    r->unit = 1;
    send_all(&members[r->adapter->apart ? r->members : 0], r->message, r->length);
    quiet(r->load);
    r->unit = messages_of(r, &members[0]);
    for (int i = 0; i < r->members; i++) {
        if (r->unit == 0 || messages_of(r, &members[i]) != 1)
            die("one message was sent: it did not reach member %d as it did member 1", i + 1);
    }
    for (int i = 0; i < r->load->count; i++)
        members[i].received = members[i].messages = 0;
}

static void stall(const struct room *r)
{
    int small = SMALL_BUFFER;
    for (int i = r->readers; i < r->members; i++) {
        int fd = r->load->connections[i].fd;
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
        epoll_ctl(r->load->poller, EPOLL_CTL_DEL, fd, NULL);
    }
}

static uint64_t messages_to_fill(const struct room *r)
{
    unsigned long most = FILL_DEFAULT;
    FILE *file = fopen("/proc/sys/net/ipv4/tcp_wmem", "r");
    if (file != NULL) {
        if (fscanf(file, "%*u %*u %lu", &most) != 1)
            most = FILL_DEFAULT;
        fclose(file);
    }
    return (most + FILL_MORE) / r->length + 1;
}

/* The server's descriptors: fewer than before means that it has disconnected somebody, who
 * cannot tell, since the end of the stream waits behind what is not read. */
static int count_descriptors(const struct load *load)
{
    char path[64];
    int count = 0;
    snprintf(path, sizeof path, "/proc/%d/fd", (int)load->server);
    DIR *directory = load->server ? opendir(path) : NULL;
    while (directory != NULL && readdir(directory) != NULL)
        count++;
    if (directory != NULL)
        closedir(directory);
    return count;
}

static void run_at_rate(struct room *r, struct window *window, double rate)
{
    uint64_t interval = (uint64_t)(1e9 / rate);
    uint64_t next = now_ns();
    window_start(window, r->load);
    while (window_update(window, r->delivered) != DONE) {
        uint64_t now = now_ns();
        for (; next <= now; next += interval)
            send_one(r, window->phase == MEASURING ? next : 0);
        /* Whole milliseconds are waited, the rest is spun away: this core is the load's own. */
        turn(r, (int)((next - now) / 1000000));
    }
    settle(r, 0);
}

/* Everybody is in the room, and it is known what a message is. */
static void fill_room(struct room *r, size_t size)
{
    int connections = r->members + r->adapter->apart;
    opening = r;
    r->message = malloc(size + HELLO_SIZE);
    if (r->message == NULL)
        die("out of memory");
    r->length = r->adapter->message(r->message, 0, size);
    r->load->batch = r->adapter->batch;
    if (r->adapter->before)
        read_lines(r->load, r->adapter, connections, size - NAME - LINE_END);
    open_connections(r->load, connections, hello);
    quiet(r->load);
    greetings_are_over();
    calibrate(r);
}

static void fill_sockets(struct room *r, double rate)
{
    double seconds = r->load->seconds + r->load->warmup;
    uint64_t fill = messages_to_fill(r);
    r->planned = fill + (uint64_t)(rate * (seconds + SETTLE_S)) + 1;
    r->due = calloc(r->planned, sizeof *r->due);
    if (r->due == NULL)
        die("out of memory for %llu messages", (unsigned long long)r->planned);
    while (r->sent < fill) {
        send_one(r, 0);
        settle(r, FILL_FLIGHT);
    }
    settle(r, 0);
}

void run_latency(struct load *load, const char *adapter, int members, int stalled, double rate,
                 size_t size)
{
    struct window window;
    struct room r = {.load = load, .members = members, .readers = members - stalled};
    r.adapter = find_adapter(adapter);
    if (r.readers < 1 || r.adapter->not_sender)
        die("the sender itself has to read what it sent");
    fill_room(&r, size);
    int descriptors = count_descriptors(load);
    stall(&r);
    fill_sockets(&r, rate);
    run_at_rate(&r, &window, rate);
    printf("{");
    print_window(&window);
    printf(", ");
    print_latencies();
    printf(", \"gone\": %d}\n", descriptors - count_descriptors(load));
}
