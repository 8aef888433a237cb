/* Reading what arrives line by line, for servers whose deliveries cannot be told by their length.
 *
 * Counts the deliveries of each connection, answers the server's PING, and after the greetings
 * (once `counting`) takes no line that it does not know: a message cut in two is none.
 */
#define _GNU_SOURCE
#include "adapters.h"

#include <stdlib.h>
#include <string.h>

/* The beginning of a line whose end has yet to come. */
struct part {
    size_t length;
    char *text;
};

static const struct adapter *adapter;
static struct part *parts; /* one a connection */
static size_t text_size, line_size;
static int counting;

static void answer_ping(struct connection *c, const char *line, size_t length)
{
    char answer[HELLO_SIZE]; /* the same line with an O */
    if (length >= sizeof answer)
        die("the server's PING is %zu bytes long", length);
    memcpy(answer, line, length);
    answer[1] = 'O';
    answer[length] = '\n';
    send_all(c, answer, length + 1);
}

static void take_line(struct load *load, int index, const char *line, size_t length)
{
    struct connection *c = &load->connections[index];
    enum line what = classify(adapter, line, length, text_size);
    if (what == DELIVERY)
        c->messages++;
    else if (what == PING)
        answer_ping(c, line, length);
    else if (what == STRAY && counting)
        die("member %d received a line that is no whole message of this run", index + 1);
}

/* Keep it; of a line that is too long to be a delivery, what there is room for. */
static void keep(struct part *part, const char *data, size_t length)
{
    size_t room = line_size - part->length;
    size_t taken = length < room ? length : room;
    memcpy(part->text + part->length, data, taken);
    part->length += taken;
}

static void take_lines(struct load *load, int index, size_t length)
{
    struct part *part = &parts[index];
    const char *data = load->buffer, *end = data + length, *lf;
    for (; (lf = memchr(data, '\n', (size_t)(end - data))) != NULL; data = lf + 1) {
        if (part->length == 0) {
            take_line(load, index, data, (size_t)(lf - data));
            continue;
        }
        keep(part, data, (size_t)(lf - data));
        take_line(load, index, part->text, part->length);
        part->length = 0;
    }
    keep(part, data, (size_t)(end - data));
}

void read_lines(struct load *load, const struct adapter *chosen, int count, size_t text)
{
    adapter = chosen;
    text_size = text;
    line_size = text + HELLO_SIZE;
    parts = calloc((size_t)count, sizeof *parts);
    char *room = calloc((size_t)count, line_size);
    if (parts == NULL || room == NULL)
        die("out of memory for %d members", count);
    for (int i = 0; i < count; i++)
        parts[i].text = room + (size_t)i * line_size;
    load->arrived = take_lines;
}

void greetings_are_over(void)
{
    counting = 1;
}
