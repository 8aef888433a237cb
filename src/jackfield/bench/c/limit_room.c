/* The limit of fan-out one message at a time: what a member sends is sent to each member in turn.
 *
 * The bytes are handed on as they came: no names, no lines, no flood control. A line end alone is
 * how the load asks whether it has been let in (adapters.c): nobody but who asks is answered, since
 * otherwise a room that fills would send more greetings than it will ever send messages.
 */
#define _GNU_SOURCE
#include "limit.h"

#include <sys/socket.h>

static int members[MAX_FDS];
static int place[MAX_FDS]; /* of a descriptor among the members */
static int count;

static void join(int fd)
{
    place[fd] = count;
    members[count++] = fd;
}

static void leave(int fd)
{
    int last = members[--count];
    members[place[fd]] = last;
    place[last] = place[fd];
}

static void publish(int from, const char *data, size_t length)
{
    if (length == 1 && *data == '\n') {
        transmit(from, data, length);
        return;
    }
    for (int i = 0; i < count; i++)
        transmit(members[i], data, length);
}

int main(int argc, char **argv)
{
    serve_streams(open_port(argc, argv, SOCK_STREAM | SOCK_NONBLOCK), publish, join, leave);
}
