/* Fan-out: SENDERS of the MEMBERS of one room keep IN_FLIGHT messages under way.
 *
 * How deliveries are counted: all messages have the same length. One is sent before the run
 * begins and what every member receives of it is the length on the wire, whatever the server
 * wraps around it. From then on a delivery is that many bytes, which costs nothing to count;
 * at the end every member must have received exactly as many bytes as were sent, so neither a
 * lost message nor a stray notice goes unseen.
 *
 * How the messages in flight are bounded: sender i may have sent IN_FLIGHT / SENDERS messages
 * more than its share (1 / SENDERS) of the messages that reached it. If all that was sent
 * has been delivered somebody may always send, so that the run cannot stall.
 */
#define _GNU_SOURCE
#include "load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

enum { NAME = sizeof("<m0000> ") - 1, LINE_END = 2 };

/* Nothing received for so long after the last message was sent: what is missing is lost. */
enum { SETTLE_S = 2 };

/* How one kind of server is spoken to. */
struct adapter {
    const char *name;
    int apart; /* publishers are further connections, no members */
    hello_writer *hello, *publisher_hello;
    size_t (*message)(char *out, int sender, size_t size);
};

struct fanout {
    struct load *load;
    const struct adapter *adapter;
    int members, senders;
    uint64_t window; /* messages in flight per sender */
    uint64_t wire;   /* bytes of one delivery */
    uint64_t sent, delivered_bytes;
    char **batches; /* per sender: `window` messages, one after the other */
    size_t message_length;
};

static size_t filler(char *out, size_t length)
{
    memset(out, 'x', length);
    return length;
}

/* Line chat: the server itself puts "<m0000> " before the text and CR LF behind. */
static size_t chat_hello(char *out, int index)
{
    return (size_t)snprintf(out, HELLO_SIZE, "/nick m%04d\n", index);
}

static size_t chat_message(char *out, int sender, size_t size)
{
    (void)sender;
    size_t length = filler(out, size - NAME - LINE_END);
    out[length++] = '\n';
    return length;
}

/* Redis (RESP 2): the payload is the same line, its CR LF left out since RESP frames it. */
static size_t redis_hello(char *out, int index)
{
    (void)index;
    return (size_t)snprintf(out, HELLO_SIZE, "SUBSCRIBE room\r\n");
}

static size_t redis_publisher_hello(char *out, int index)
{
    (void)index;
    return (size_t)snprintf(out, HELLO_SIZE, "PING\r\n");
}

static size_t redis_message(char *out, int sender, size_t size)
{
    size_t payload = size - LINE_END;
    size_t length = (size_t)sprintf(
        out, "*3\r\n$7\r\nPUBLISH\r\n$4\r\nroom\r\n$%zu\r\n<m%04d> ", payload, sender);
    length += filler(out + length, payload - NAME);
    out[length++] = '\r';
    out[length++] = '\n';
    return length;
}

/* Raw: the server hands on the bytes it gets, to everybody. */
static size_t raw_hello(char *out, int index)
{
    (void)index;
    *out = '\n';
    return 1;
}

static size_t raw_message(char *out, int sender, size_t size)
{
    sprintf(out, "<m%04d> ", sender);
    filler(out + NAME, size - NAME - LINE_END);
    memcpy(out + size - LINE_END, "\r\n", LINE_END);
    return size;
}

static const struct adapter adapters[] = {
    {"chat", 0, chat_hello, NULL, chat_message},
    {"redis", 1, redis_hello, redis_publisher_hello, redis_message},
    {"raw", 0, raw_hello, NULL, raw_message},
};

/* The hello of a connection depends on whether it is a member's or a publisher's. */
static const struct fanout *opening;

static size_t hello(char *out, int index)
{
    const struct adapter *adapter = opening->adapter;
    if (index < opening->members)
        return adapter->hello(out, index);
    return adapter->publisher_hello(out, index - opening->members);
}

static const struct adapter *find_adapter(const char *name)
{
    for (size_t i = 0; i < sizeof adapters / sizeof *adapters; i++)
        if (strcmp(adapters[i].name, name) == 0)
            return &adapters[i];
    die("unknown adapter '%s': chat, redis or raw", name);
}

static struct connection *publisher(struct fanout *f, int sender)
{
    return &f->load->connections[f->adapter->apart ? f->members + sender : sender];
}

static void prepare_messages(struct fanout *f, size_t size)
{
    f->batches = calloc((size_t)f->senders, sizeof *f->batches);
    for (int i = 0; f->batches != NULL && i < f->senders; i++) {
        char *out = malloc(f->window * (size + HELLO_SIZE));
        if (out == NULL)
            die("out of memory for %llu messages", (unsigned long long)f->window);
        f->batches[i] = out;
        for (uint64_t k = 0; k < f->window; k++)
            out += f->message_length = f->adapter->message(out, i, size);
    }
}

/* Send one message and learn from it what a delivery is on this server's wire. */
static void calibrate(struct fanout *f)
{
    struct connection *members = f->load->connections;
    send_all(publisher(f, 0), f->batches[0], f->message_length);
    quiet(f->load);
    f->wire = members[0].received;
    for (int i = 0; i < f->members; i++)
        if (members[i].received == 0 || members[i].received != f->wire)
            die("one message was sent: member 1 received %llu bytes, member %d %llu",
                (unsigned long long)f->wire, i + 1, (unsigned long long)members[i].received);
    for (int i = 0; i < f->load->count; i++)
        members[i].received = 0;
}

/* Send what sender i may send now. */
static void use_credit(struct fanout *f, int i)
{
    struct connection *member = &f->load->connections[i];
    uint64_t share = member->received / f->wire / (uint64_t)f->senders;
    while (member->sent < f->window + share) {
        uint64_t count = f->window + share - member->sent;
        if (count > f->window)
            count = f->window;
        send_all(publisher(f, i), f->batches[i], count * f->message_length);
        member->sent += count;
        f->sent += count;
    }
}

/* One wait, and what it brought; returns how many connections had something. */
static int turn(struct fanout *f, int sending)
{
    struct epoll_event events[EVENTS];
    int n = epoll_wait(f->load->poller, events, EVENTS, 100);
    for (int i = 0; i < n; i++) {
        int index = (int)events[i].data.u32;
        size_t bytes = receive(f->load, &f->load->connections[index]);
        if (index < f->members)
            f->delivered_bytes += bytes;
        if (sending && index < f->senders)
            use_credit(f, index);
    }
    return n;
}

/* Everything sent has to arrive at every member, and nothing else. */
static void settle(struct fanout *f)
{
    uint64_t expected = f->sent * f->wire;
    uint64_t last = now_ns();
    while (f->delivered_bytes < expected * (uint64_t)f->members) {
        if (turn(f, 0) > 0)
            last = now_ns();
        else if (now_ns() - last > SETTLE_S * 1000000000ull)
            break;
    }
    for (int i = 0; i < f->members; i++)
        if (f->load->connections[i].received != expected)
            die("member %d received %llu bytes, %llu were due: lost, stray or cut messages", i + 1,
                (unsigned long long)f->load->connections[i].received,
                (unsigned long long)expected);
}

static void print_fanout(const struct fanout *f, const struct window *window)
{
    printf("{");
    print_window(window);
    printf(", \"sent\": %llu, \"wire_bytes\": %llu}\n", (unsigned long long)f->sent,
           (unsigned long long)f->wire);
}

void run_fanout(struct load *load, const char *adapter, int members, int senders, int in_flight,
                size_t size)
{
    struct window window;
    struct fanout f = {.load = load, .members = members, .senders = senders};
    if (senders > members || in_flight % senders != 0)
        die("%d senders of %d members with %d in flight: at most all members send, and each "
            "has the same number in flight", senders, members, in_flight);
    f.adapter = find_adapter(adapter);
    f.window = (uint64_t)(in_flight / senders);
    opening = &f;
    prepare_messages(&f, size);
    open_connections(load, members + (f.adapter->apart ? senders : 0), hello);
    quiet(load);
    calibrate(&f);
    window_start(&window, load);
    for (int i = 0; i < senders; i++)
        use_credit(&f, i);
    while (window_update(&window, f.delivered_bytes / f.wire) != DONE)
        turn(&f, 1);
    settle(&f);
    print_fanout(&f, &window);
}
