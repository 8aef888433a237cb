/* Socket addresses, and accepting with both flags set. */

#ifndef JACKFIELD_SOCKADDR_H
#define JACKFIELD_SOCKADDR_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* accept4(2), recvmmsg(2) */
#endif

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* Any of the addresses that we serve. */
union jf_sockaddr {
    struct sockaddr any;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
    struct sockaddr_un un;
};

/* accept(2), with the new descriptor non-blocking and closed in programs that are started. */
static inline int jf_accept(int listener, union jf_sockaddr *peer, socklen_t *size)
{
    *size = sizeof *peer;
#if defined(__linux__) || defined(__FreeBSD__) || defined(__OpenBSD__) || defined(__NetBSD__)
    return accept4(listener, &peer->any, size, SOCK_NONBLOCK | SOCK_CLOEXEC);
#else
    int fd = accept(listener, &peer->any, size);
    if (fd >= 0) {
        fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
        fcntl(fd, F_SETFD, FD_CLOEXEC);
    }
    return fd;
#endif
}

/* Who is at the other end of a connection that was accepted: as accept(2) would have told, so also when
   the peer has reset it meanwhile, where getpeername(2) fails. */
static inline int jf_peer(int fd, union jf_sockaddr *peer, socklen_t *size)
{
    *size = sizeof *peer;
    if (getpeername(fd, &peer->any, size) == 0)
        return 0;
#ifdef SO_PEERNAME
    *size = sizeof *peer;
    if (errno != ENOTCONN || getsockname(fd, &peer->any, size) < 0)
        return -1;
    return getsockopt(fd, SOL_SOCKET, SO_PEERNAME, peer, size); /* as long as our own address */
#else
    return -1;
#endif
}

#endif
