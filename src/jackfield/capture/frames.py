"""A frame: what was captured of one packet, and by which link type its first bytes are read.

Readers of files and the packet socket make frames; ``decode`` reads them. Must not know either.
"""

from __future__ import annotations

import typing as t

NULL: t.Final = 0
"""BSD's loopback: the address family in the byte order of the machine that captured."""
ETHERNET: t.Final = 1
RAW_BSD: t.Final = 12
RAW_OPENBSD: t.Final = 14
RAW: t.Final = 101
"""An IP header first. The two above are its number on systems that wrote their own DLT_RAW."""
LOOP: t.Final = 108
"""OpenBSD's loopback: the address family in network byte order."""
SLL: t.Final = 113
"""Linux "cooked" capture: 16 bytes made of a sockaddr_ll instead of the link's own header."""
IPV4: t.Final = 228
IPV6: t.Final = 229
SLL2: t.Final = 276
"""Cooked capture, version 2: 20 bytes, with the interface's index."""
# All of https://www.tcpdump.org/linktypes.html

SNAPLEN: t.Final = 262144
"""Most bytes of one packet that are taken: libpcap's MAXIMUM_SNAPLEN, four times what a packet
on loopback has."""


class Frame(t.NamedTuple):
    """One captured packet. ``time``: nanoseconds since 1970. ``length``: its bytes on the wire,
    of which ``data`` holds all or the first. ``link`` is a LINKTYPE number."""

    time: int
    link: int
    data: bytes
    length: int
