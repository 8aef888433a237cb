/* Many datagrams in one system call, where the system has recvmmsg(2) and sendmmsg(2), and the
   traffic class that a datagram bears. */

#ifndef JACKFIELD_DATAGRAMS_H
#define JACKFIELD_DATAGRAMS_H

#include "sockaddr.h"

#include <stdint.h>
#include <sys/uio.h>

/* Bytes of ancillary data that we look at: a traffic class and a segment size take 24 each. */
#define JF_ANCILLARY 64

/* Names of our own: the BSDs have some of these calls, with other types. */
#if defined(__linux__)

#define jf_message mmsghdr

static inline int jf_receive_many(int fd, struct jf_message *messages, unsigned count)
{
    return recvmmsg(fd, messages, count, 0, NULL);
}

static inline int jf_send_many(int fd, struct jf_message *messages, unsigned count)
{
    return sendmmsg(fd, messages, count, 0);
}

#else

struct jf_message {
    struct msghdr msg_hdr;
    unsigned msg_len;
};

static inline int jf_receive_many(int fd, struct jf_message *messages, unsigned count)
{
    unsigned done = 0;
    for (; done < count; done++) {
        ssize_t size = recvmsg(fd, &messages[done].msg_hdr, 0);
        if (size < 0)
            break;
        messages[done].msg_len = (unsigned)size;
    }
    return done ? (int)done : -1;
}

static inline int jf_send_many(int fd, struct jf_message *messages, unsigned count)
{
    unsigned done = 0;
    while (done < count && sendmsg(fd, &messages[done].msg_hdr, 0) >= 0)
        done++;
    return done ? (int)done : -1;
}

#endif

/* Linux cuts one send into datagrams of one size, and can hand over several that came as one
   (udp(7): UDP_SEGMENT, UDP_GRO; linux/udp.h). Both spare most of what a datagram costs. */
#define JF_SEGMENT 103
#define JF_GRO 104

/* Datagrams of one send: UDP_MAX_SEGMENTS of the kernels before 6.9, twice that since. */
#define JF_SEGMENTS 64

/* Largest datagram that shares a send: an Ethernet frame's 1500 bytes less the headers of IPv6 and
   UDP. The kernel takes none that would have to be fragmented. */
#define JF_SEGMENT_SIZE 1452

/* Most bytes of one send: 65,535 less the headers of IPv4 and UDP (RFC 791, RFC 768). */
#define JF_SEND_SIZE 65507

/* The size of the datagrams that came as one, the last of which may be shorter; 0: it is one. */
static inline size_t jf_segment_size(struct msghdr *message)
{
    for (struct cmsghdr *one = CMSG_FIRSTHDR(message); one; one = CMSG_NXTHDR(message, one))
        if (one->cmsg_level == IPPROTO_UDP && one->cmsg_type == JF_GRO) {
            int size;
            memcpy(&size, CMSG_DATA(one), sizeof size);
            return size > 0 ? (size_t)size : 0;
        }
    return 0;
}

/* Have the kernel cut the message into datagrams of `size` bytes. `space` holds JF_ANCILLARY. */
static inline void jf_cut(struct msghdr *message, char *space, size_t size)
{
    uint16_t number = (uint16_t)size;
    message->msg_control = space;
    message->msg_controllen = CMSG_SPACE(sizeof number);
    struct cmsghdr *one = CMSG_FIRSTHDR(message);
    one->cmsg_level = IPPROTO_UDP;
    one->cmsg_type = JF_SEGMENT;
    one->cmsg_len = CMSG_LEN(sizeof number);
    memcpy(CMSG_DATA(one), &number, sizeof number);
}

/* IPv4: one byte, IPv6: an int (ip(7); RFC 3542, 6.5). 0, the usual one, if absent. */
static inline int jf_traffic_class(struct msghdr *message)
{
    for (struct cmsghdr *one = CMSG_FIRSTHDR(message); one; one = CMSG_NXTHDR(message, one)) {
        int number = 0;
        size_t size = one->cmsg_len - CMSG_LEN(0);
        if (one->cmsg_level == IPPROTO_IP &&
            (one->cmsg_type == IP_TOS || one->cmsg_type == IP_RECVTOS) && size >= 1)
            return *CMSG_DATA(one);
        if (one->cmsg_level == IPPROTO_IPV6 && one->cmsg_type == IPV6_TCLASS &&
            size >= sizeof number) {
            memcpy(&number, CMSG_DATA(one), sizeof number);
            return number & 0xff;
        }
    }
    return 0;
}

#endif
