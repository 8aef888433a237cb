/* Which of many descriptors are ready: epoll(7) on Linux, kqueue(2) elsewhere, behind one shape.

   The flags are those of poll(2). Level-triggered. Every function returns -1 and sets errno. */

#ifndef JACKFIELD_READINESS_H
#define JACKFIELD_READINESS_H

#include <errno.h>
#include <math.h>
#include <poll.h>
#include <stddef.h>
#include <time.h>
#include <unistd.h>

/* Most events one wait returns: enough that a busy tick serves thousands of connections per system
   call. The array is touched only as far as events fill it. */
#define JF_EVENTS 4096

struct jf_event {
    int fd;
    unsigned flags;
};

#if defined(__linux__)

#include <sys/epoll.h>

#define JF_READINESS "epoll"

static inline int jf_poller_open(void)
{
    return epoll_create1(EPOLL_CLOEXEC);
}

/* Added to an interest: report what is new, and once (EPOLLET); and as such the peer's end of the
   stream (EPOLLRDHUP) and urgent data (EPOLLPRI), before which a receive stops. Otherwise the kernel looks at each connection twice: when it reports it, and
   at the next wait, to see whether it is still ready. */
#define JF_NEWS (EPOLLET | EPOLLRDHUP | EPOLLPRI)

/* The interest in fd changes from `old` to `wanted`; 0 is none. What is ready then is news. */
static inline int jf_poller_watch(int poller, int fd, unsigned old, unsigned wanted)
{
    struct epoll_event event = {.events = wanted, .data = {.fd = fd}};
    int how = !old ? EPOLL_CTL_ADD : wanted ? EPOLL_CTL_MOD : EPOLL_CTL_DEL;
    return epoll_ctl(poller, how, fd, &event);
}

/* Wait at most `timeout` seconds (negative: for ever). Fills `ready`; returns how many. */
static inline int jf_poller_wait(int poller, struct jf_event *ready, double timeout)
{
    static __thread struct epoll_event events[JF_EVENTS];
    int milliseconds = timeout < 0 ? -1 : (int)ceil(timeout * 1000);
    int count = epoll_wait(poller, events, JF_EVENTS, milliseconds);
    for (int i = 0; i < count; i++) {
        ready[i].fd = events[i].data.fd;
        ready[i].flags = events[i].events;
    }
    return count;
}

#elif defined(__APPLE__) || defined(__FreeBSD__) || defined(__OpenBSD__) || \
    defined(__NetBSD__) || defined(__DragonFly__)

#include <sys/event.h>
#include <sys/time.h>
#include <sys/types.h>

#define JF_READINESS "kqueue"

/* Here everything is reported as long as it is ready. */
#define JF_NEWS 0u

static inline int jf_poller_open(void)
{
    return kqueue();
}

/* Reading and writing are two filters; each is added or deleted by itself. */
static inline int jf_poller_watch(int poller, int fd, unsigned old, unsigned wanted)
{
    struct kevent changes[2];
    int count = 0;
    unsigned changed = old ^ wanted;
    if (changed & POLLIN) {
        EV_SET(&changes[count], fd, EVFILT_READ, wanted & POLLIN ? EV_ADD : EV_DELETE, 0, 0, NULL);
        count++;
    }
    if (changed & POLLOUT) {
        EV_SET(&changes[count], fd, EVFILT_WRITE, wanted & POLLOUT ? EV_ADD : EV_DELETE, 0, 0,
               NULL);
        count++;
    }
    return kevent(poller, changes, count, NULL, 0, NULL);
}

/* A descriptor that is readable and writable comes as two events. EV_EOF is told as what the filter
   is about: the next system call meets the end or the error. */
static inline int jf_poller_wait(int poller, struct jf_event *ready, double timeout)
{
    static __thread struct kevent events[JF_EVENTS];
    struct timespec limit = {0, 0};
    if (timeout > 0) {
        limit.tv_sec = (time_t)timeout;
        limit.tv_nsec = (long)((timeout - (double)limit.tv_sec) * 1e9);
    }
    int count = kevent(poller, NULL, 0, events, JF_EVENTS, timeout < 0 ? NULL : &limit);
    for (int i = 0; i < count; i++) {
        ready[i].fd = (int)events[i].ident;
        ready[i].flags = events[i].filter == EVFILT_WRITE ? POLLOUT : POLLIN;
    }
    return count;
}

#else
#error "no epoll(7) and no kqueue(2): the pure engines serve here"
#endif

static inline double jf_monotonic(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

#endif
