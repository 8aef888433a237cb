/* How each kind of chat server is spoken to; adapters.c has them, fanout.c uses them. */
#ifndef JACKFIELD_ADAPTERS_H
#define JACKFIELD_ADAPTERS_H

#include "load.h"

/* Around the text, in a delivered chat line of SIZE bytes: the sender's name and CR LF. */
enum { NAME = sizeof("<m0000> ") - 1, LINE_END = 2 };

struct adapter {
    const char *name;
    int apart;      /* publishers are further connections, no members */
    int not_sender; /* a message goes to every member but its sender */
    int batch;      /* connections opened at a time; 0: as usual */
    hello_writer *hello, *publisher_hello;
    size_t (*message)(char *out, int sender, size_t size);
    /* A server whose deliveries differ in length, or that has other things to say in between, is
     * read line by line (else these are NULL): what stands before the text in the line of a
     * delivery, and how a line begins that belongs to a delivery and is not its text. */
    const char *before, *framing;
};

/* What a line from the server is. */
enum line { DELIVERY, FRAMING, PING, STRAY };

const struct adapter *find_adapter(const char *name);

/* `line` is without its LF; the text of a message is `text` bytes long. */
enum line classify(const struct adapter *adapter, const char *line, size_t length, size_t text);

/* lines.c: from now on what `count` connections receive is read, and deliveries are counted in
 * their `messages`; once the greetings are over a stray line is an error. */
void read_lines(struct load *load, const struct adapter *adapter, int count, size_t text);
void greetings_are_over(void);

#endif
