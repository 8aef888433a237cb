"""Socket addresses between C and Python, as the module ``socket`` has them.

Names are not resolved here: an address that is no number is left to who can.
"""

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.string cimport memset, strlen

import os
import sys

cdef extern from "sockaddr.h" nogil:
    const int AF_INET, AF_INET6, AF_UNIX, INET6_ADDRSTRLEN
    size_t strnlen(const char *text, size_t most)
    unsigned short htons(unsigned short port)
    unsigned short ntohs(unsigned short port)
    unsigned int htonl(unsigned int number)
    unsigned int ntohl(unsigned int number)
    const char *inet_ntop(int family, const void *address, char *text, socklen_t size)
    int inet_pton(int family, const char *text, void *address)

# Where a Unix address's path begins: behind the family (and on the BSDs a length).
cdef size_t PATH = offset_of_path()
ABSTRACT = sys.platform == "linux"


cdef size_t offset_of_path():
    cdef jf_sockaddr address
    return <char *>&address.un.sun_path - <char *>&address


cdef object to_python(const jf_sockaddr *address, socklen_t size):
    """As ``socket.accept`` gives it: a tuple for IP, ``str`` or ``bytes`` for Unix, else None."""
    cdef char text[64]
    cdef int family
    if size < 2:
        return None  # a datagram of who has no address at all
    family = address.any.sa_family
    if family == AF_INET:
        inet_ntop(AF_INET, &address.in_.sin_addr, text, sizeof(text))
        return text.decode("ascii"), ntohs(address.in_.sin_port)
    if family == AF_INET6:
        inet_ntop(AF_INET6, &address.in6.sin6_addr, text, sizeof(text))
        return (
            text.decode("ascii"),
            ntohs(address.in6.sin6_port),
            ntohl(address.in6.sin6_flowinfo),
            address.in6.sin6_scope_id,
        )
    if family == AF_UNIX:
        return unix_to_python(address.un.sun_path, size - PATH if size > PATH else 0)
    return None


cdef object unix_to_python(const char *path, size_t size):
    if size and not path[0] and ABSTRACT:
        return PyBytes_FromStringAndSize(path, size)
    return os.fsdecode(PyBytes_FromStringAndSize(path, strnlen(path, size)))


cdef socklen_t from_python(int family, object address, jf_sockaddr *into) except? 0:
    """Fill ``into``; the address's size, or 0 for what only the module ``socket`` can tell."""
    cdef bytes host
    cdef Py_ssize_t count
    if family != AF_INET and family != AF_INET6 or type(address) is not tuple:
        return 0
    count = len(address)
    if count < 2 or count > (2 if family == AF_INET else 4):
        return 0
    if type(address[0]) is not str or not is_number(address[1], 0xFFFF):
        return 0
    if count > 2 and not is_number(address[2], 0xFFFFF):  # RFC 6437: a flow label has 20 bits
        return 0
    if count > 3 and not is_number(address[3], 0xFFFFFFFF):
        return 0
    host = address[0].encode("ascii", "replace")
    if strlen(host) != <size_t>len(host):
        return 0
    memset(into, 0, sizeof(jf_sockaddr))
    into.any.sa_family = family
    if family == AF_INET:
        into.in_.sin_port = htons(address[1])
        return sizeof(sockaddr_in) if inet_pton(AF_INET, host, &into.in_.sin_addr) == 1 else 0
    into.in6.sin6_port = htons(address[1])
    into.in6.sin6_flowinfo = htonl(address[2] if count > 2 else 0)
    into.in6.sin6_scope_id = address[3] if count > 3 else 0
    return sizeof(sockaddr_in6) if inet_pton(AF_INET6, host, &into.in6.sin6_addr) == 1 else 0


cdef bint is_number(object number, unsigned int most) except -1:
    return type(number) is int and 0 <= number <= most
