"""Socket addresses between C and Python."""

cdef extern from "sockaddr.h" nogil:
    ctypedef unsigned int socklen_t
    struct in_addr:
        unsigned int s_addr
    struct in6_addr:
        pass
    struct sockaddr:
        int sa_family
    struct sockaddr_in:
        int sin_family
        unsigned short sin_port
        in_addr sin_addr
    struct sockaddr_in6:
        int sin6_family
        unsigned short sin6_port
        unsigned int sin6_flowinfo
        in6_addr sin6_addr
        unsigned int sin6_scope_id
    struct sockaddr_un:
        int sun_family
        char sun_path[108]
    union jf_sockaddr:
        sockaddr any
        sockaddr_in in_ "in"
        sockaddr_in6 in6
        sockaddr_un un
    int jf_accept(int listener, jf_sockaddr *peer, socklen_t *size)
    int jf_peer(int fd, jf_sockaddr *peer, socklen_t *size)


cdef object to_python(const jf_sockaddr *address, socklen_t size)
cdef socklen_t from_python(int family, object address, jf_sockaddr *into) except? 0
