/* Fan-out: SENDERS of the MEMBERS of one room keep IN_FLIGHT messages under way.
 *
 * How deliveries are counted: most servers send nothing but messages, all of the same length.
 * One is sent before the run begins and what every member receives of it is the length on the
 * wire, whatever the server wraps around it. From then on a delivery is that many bytes, which
 * costs nothing to count. What other servers send is read line by line (lines.c). Either way
 * every member must have received at the end exactly as much as was sent, so neither a lost
 * message nor a stray notice goes unseen.
 *
 * How the messages in flight are bounded: sender i may have sent IN_FLIGHT / SENDERS messages
 * more than its share (1 / SENDERS) of the messages that reached it. If all that was sent
 * has been delivered somebody may always send, so that the run cannot stall. A server may leave
 * out a message's sender: the share is that of what the others sent, then, and a lone sender is
 * member 2, which follows what reaches member 1.
 */
#define _GNU_SOURCE
#include "adapters.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

/* Nothing received for so long after the last message was sent: what is missing is lost. */
enum { SETTLE_S = 2 };

struct fanout {
    struct load *load;
    const struct adapter *adapter;
    int members, senders;
    uint64_t window; /* messages in flight per sender */
    uint64_t unit;   /* of one delivery: bytes, or 1 where messages are counted */
    uint64_t sent, delivered; /* messages; units, by all members */
    uint64_t bytes;  /* received by all members */
    char **batches;  /* per sender: `window` messages, one after the other */
    size_t message_length;
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

static struct connection *publisher(const struct fanout *f, int sender)
{
    if (f->adapter->not_sender && f->senders == 1)
        sender = 1;
    return &f->load->connections[f->adapter->apart ? f->members + sender : sender];
}

/* What a member has received. */
static uint64_t units(const struct fanout *f, const struct connection *member)
{
    return f->adapter->before ? member->messages : member->received;
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
    struct connection *members = f->load->connections, *from = publisher(f, 0);
    struct connection *left_out = f->adapter->not_sender ? from : NULL;
    int first = &members[0] == left_out;
    send_all(from, f->batches[0], f->message_length);
    quiet(f->load);
    f->unit = units(f, &members[first]);
    for (int i = 0; i < f->members; i++)
        if (f->unit == 0 || units(f, &members[i]) != (&members[i] == left_out ? 0 : f->unit))
            die("one message was sent: member %d received %llu bytes, member %d %llu", first + 1,
                (unsigned long long)members[first].received, i + 1,
                (unsigned long long)members[i].received);
    if (f->adapter->before && f->unit != 1)
        die("one message was sent, %llu were received", (unsigned long long)f->unit);
    for (int i = 0; i < f->load->count; i++)
        members[i].received = members[i].messages = 0;
}

/* Send what sender i may send now. */
static void use_credit(struct fanout *f, int i)
{
    struct connection *member = &f->load->connections[i];
    int heard = f->adapter->not_sender && f->senders > 1 ? f->senders - 1 : f->senders;
    uint64_t share = units(f, member) / f->unit / (uint64_t)heard;
    while (member->sent < f->window + share) {
        uint64_t count = f->window + share - member->sent;
        if (count > f->window)
            count = f->window;
        send_all(publisher(f, i), f->batches[i], count * f->message_length);
        member->sent += count;
        f->sent += count;
    }
}

static void arrive(struct fanout *f, struct connection *member)
{
    uint64_t before = units(f, member);
    f->bytes += receive(f->load, member);
    f->delivered += units(f, member) - before;
}

/* One wait, and what it brought; returns how many connections had something. */
static int turn(struct fanout *f, int sending)
{
    struct epoll_event events[EVENTS];
    int n = epoll_wait(f->load->poller, events, EVENTS, 100);
    for (int i = 0; i < n; i++) {
        int index = (int)events[i].data.u32;
        if (index < f->members)
            arrive(f, &f->load->connections[index]);
        else
            receive(f->load, &f->load->connections[index]);
        if (sending && index < f->senders)
            use_credit(f, index);
    }
    return n;
}

/* What member `index` has to receive of all that was sent. */
static uint64_t due(const struct fanout *f, int index)
{
    uint64_t own = 0;
    for (int i = 0; f->adapter->not_sender && i < f->senders; i++)
        if (publisher(f, i) == &f->load->connections[index])
            own = f->load->connections[i].sent;
    return (f->sent - own) * f->unit;
}

/* Everything sent has to arrive at every member, and nothing else. */
static void settle(struct fanout *f)
{
    uint64_t all = 0, last = now_ns();
    for (int i = 0; i < f->members; i++)
        all += due(f, i);
    /* When all is there a turn without anything follows: more of one is not less of another. */
    while (f->delivered <= all) {
        if (turn(f, 0) > 0)
            last = now_ns();
        else if (f->delivered == all || now_ns() - last > SETTLE_S * 1000000000ull)
            break;
    }
    for (int i = 0; i < f->members; i++) {
        uint64_t received = units(f, &f->load->connections[i]);
        if (received != due(f, i))
            die("member %d received %llu %s, %llu were due: lost, stray or cut messages", i + 1,
                (unsigned long long)received, f->adapter->before ? "messages" : "bytes",
                (unsigned long long)due(f, i));
    }
}

static void print_fanout(const struct fanout *f, const struct window *window)
{
    uint64_t deliveries = f->delivered / f->unit;
    printf("{");
    print_window(window);
    printf(", \"sent\": %llu, \"wire_bytes\": %.0f}\n", (unsigned long long)f->sent,
           (double)f->bytes / (double)(deliveries ? deliveries : 1));
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
    if (f.adapter->not_sender && members < 2)
        die("this server does not send a message to its sender: at least two members are needed");
    f.window = (uint64_t)(in_flight / senders);
    opening = &f;
    prepare_messages(&f, size);
    int connections = members + (f.adapter->apart ? senders : 0);
    load->batch = f.adapter->batch;
    if (f.adapter->before)
        read_lines(load, f.adapter, connections, size - NAME - LINE_END);
    open_connections(load, connections, hello);
    quiet(load);
    greetings_are_over();
    calibrate(&f);
    window_start(&window, load);
    for (int i = 0; i < senders; i++)
        use_credit(&f, i);
    while (window_update(&window, f.delivered / f.unit) != DONE)
        turn(&f, 1);
    settle(&f);
    print_fanout(&f, &window);
}
