/* How each kind of chat server is spoken to.
 *
 * All carry the same text. Where the server itself puts the sender's name before it, the message
 * is the text alone; where it hands on a payload, the name is part of that.
 */
#define _GNU_SOURCE
#include "adapters.h"

#include <stdio.h>
#include <string.h>

/* ncat and ngircd listen with a backlog of 10. */
enum { SMALL_BACKLOG = 8 };

static const char TEXT = 'x';

static size_t filler(char *out, size_t length)
{
    memset(out, TEXT, length);
    return length;
}

static size_t text_line(char *out, size_t size, const char *end)
{
    size_t length = filler(out, size - NAME - LINE_END);
    return length + (size_t)sprintf(out + length, "%s", end);
}

/* Line chat: the server itself puts "<m0000> " before the text and CR LF behind. */
static size_t chat_hello(char *out, int index)
{
    return (size_t)snprintf(out, HELLO_SIZE, "/nick m%04d\n", index);
}

static size_t chat_message(char *out, int sender, size_t size)
{
    (void)sender;
    return text_line(out, size, "\n");
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
    size_t length = (size_t)sprintf(out, "*3\r\n$7\r\nPUBLISH\r\n$4\r\nroom\r\n$%zu\r\n<m%04d> ",
                                    size - LINE_END, sender);
    return length + text_line(out + length, size, "\r\n");
}

/* NATS: the same payload. Members publish on the connection that they subscribe on, and the
 * server sends them what they publish, too. It asks each for its round trip with a PING. */
static size_t nats_hello(char *out, int index)
{
    (void)index;
    return (size_t)snprintf(out, HELLO_SIZE,
                            "CONNECT {\"verbose\":false,\"pedantic\":false,\"echo\":true,"
                            "\"headers\":false,\"no_responders\":false,\"lang\":\"c\","
                            "\"version\":\"1\"}\r\nSUB room 1\r\nPING\r\n");
}

static size_t nats_message(char *out, int sender, size_t size)
{
    size_t length = (size_t)sprintf(out, "PUB room %zu\r\n<m%04d> ", size - LINE_END, sender);
    return length + text_line(out + length, size, "\r\n");
}

/* IRC (RFC 2812, 3.1 and 3.2.1): the server puts ":m0000!~u@127.0.0.1 " before the message. */
static size_t irc_hello(char *out, int index)
{
    return (size_t)snprintf(out, HELLO_SIZE, "NICK m%04d\r\nUSER u 0 * :u\r\nJOIN #room\r\n", index);
}

static size_t irc_message(char *out, int sender, size_t size)
{
    (void)sender;
    size_t length = (size_t)sprintf(out, "PRIVMSG #room :");
    return length + text_line(out + length, size, "\r\n");
}

/* ncat --chat: whoever connects is a member. It puts "<user7> " not before each line but before
 * what it received at once, and hands that on. */
static size_t ncat_hello(char *out, int index)
{
    (void)out;
    (void)index;
    return 0;
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
    size_t length = (size_t)sprintf(out, "<m%04d> ", sender);
    return length + text_line(out + length, size, "\r\n");
}

static const struct adapter adapters[] = {
    {.name = "chat", .hello = chat_hello, .message = chat_message},
    {.name = "redis", .hello = redis_hello, .message = redis_message, .apart = 1,
     .publisher_hello = redis_publisher_hello},
    {.name = "nats", .hello = nats_hello, .message = nats_message, .before = "> ",
     .framing = "MSG room "},
    {.name = "irc", .hello = irc_hello, .message = irc_message, .not_sender = 1,
     .batch = SMALL_BACKLOG, .before = " PRIVMSG #room :"},
    {.name = "ncat", .hello = ncat_hello, .message = chat_message, .not_sender = 1,
     .batch = SMALL_BACKLOG, .before = "> "},
    {.name = "raw", .hello = raw_hello, .message = raw_message},
};

const struct adapter *find_adapter(const char *name)
{
    for (size_t i = 0; i < sizeof adapters / sizeof *adapters; i++)
        if (strcmp(adapters[i].name, name) == 0)
            return &adapters[i];
    die("unknown adapter '%s': chat, redis, nats, irc, ncat or raw", name);
}

static int begins(const char *line, size_t length, const char *with)
{
    size_t n = with == NULL ? 0 : strlen(with);
    return n > 0 && length >= n && memcmp(line, with, n) == 0;
}

/* The whole text and nothing but the text: alone in its line, or behind what has to be there. */
static int is_delivery(const struct adapter *adapter, const char *line, size_t length, size_t text)
{
    size_t before = strlen(adapter->before), rest = length - text;
    if (length < text || (rest > 0 && rest < before))
        return 0;
    if (rest > 0 && memcmp(line + rest - before, adapter->before, before) != 0)
        return 0;
    for (size_t i = rest; i < length; i++)
        if (line[i] != TEXT)
            return 0;
    return 1;
}

enum line classify(const struct adapter *adapter, const char *line, size_t length, size_t text)
{
    if (length > 0 && line[length - 1] == '\r')
        length--;
    if (is_delivery(adapter, line, length, text))
        return DELIVERY;
    if (begins(line, length, adapter->framing))
        return FRAMING;
    return begins(line, length, "PING") ? PING : STRAY;
}
