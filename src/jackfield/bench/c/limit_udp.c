/* The limit of UDP echo: a batch of datagrams by recvmmsg(2), the same batch back by sendmmsg(2).
 *
 * MSG_WAITFORONE: the first datagram is waited for, the others are those that wait already.
 */
#define _GNU_SOURCE
#include "limit.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

enum { BATCH = 64, LARGEST = 65507 }; /* bytes: 2^16 - 1 less the headers of IPv4 and UDP */

static char data[BATCH][LARGEST];
static struct sockaddr_in peers[BATCH];
static struct iovec blocks[BATCH];
static struct mmsghdr messages[BATCH];

static void prepare(int n)
{
    for (int i = 0; i < n; i++) {
        blocks[i] = (struct iovec){data[i], LARGEST};
        messages[i].msg_hdr = (struct msghdr){
            .msg_name = &peers[i], .msg_namelen = sizeof peers[i],
            .msg_iov = &blocks[i], .msg_iovlen = 1};
    }
}

static void send_back(int fd, int count)
{
    for (int i = 0; i < count; i++)
        blocks[i].iov_len = messages[i].msg_len;
    for (int sent = 0; sent < count;) {
        int n = sendmmsg(fd, messages + sent, (unsigned)(count - sent), 0);
        sent += n > 0 ? n : 1; /* one that cannot be sent is dropped, as datagrams are */
    }
}

int main(int argc, char **argv)
{
    int fd = open_port(argc, argv, SOCK_DGRAM);
    prepare(BATCH);
    announce(fd, "udp");
    for (;;) {
        int n = recvmmsg(fd, messages, BATCH, MSG_WAITFORONE, NULL);
        if (n < 0 && errno != EINTR && errno != ECONNREFUSED)
            die("recvmmsg: %s", strerror(errno));
        if (n > 0) {
            send_back(fd, n);
            prepare(n);
        }
    }
}
