/* The limit of echo, accept and idle: what arrives on a connection is sent back. */
#define _GNU_SOURCE
#include "limit.h"

#include <sys/socket.h>

int main(int argc, char **argv)
{
    serve_streams(open_port(argc, argv, SOCK_STREAM | SOCK_NONBLOCK), transmit, NULL, NULL);
}
