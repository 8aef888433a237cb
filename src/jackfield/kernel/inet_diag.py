"""TCP, UDP and raw sockets of this network namespace, as the kernel's inet_diag lists them.

A message is struct inet_diag_msg (linux/inet_diag.h) and attributes. Thousands of messages have
their attributes in one and the same order and length, so where they are is found once for each
length of message (``_Layout``) and then only checked: one unpack takes a message apart. What
few ask for stays bytes until then. ``Reader.read`` is pure: any bytes give a socket or
``SystemRefused``. Must not know processes.
"""

from __future__ import annotations

import functools
import socket
import struct
import typing as t

from jackfield.kernel import netlink, tcp_info
from jackfield.kernel.tcp_info import TcpInfo

AF_INET, AF_INET6 = 2, 10
"""Linux's numbers, which netlink speaks on any machine."""

PROTOCOLS: t.Final = {"tcp": 6, "udp": 17, "raw": 255, "udplite": 136}

MESSAGE: t.Final = {
    AF_INET: "=4BHH4s12x4s12xIQ5I",
    AF_INET6: "=4BHH16s16sIQ5I",
}
"""By family. family, state, timer, retransmits; ports (in network byte order), addresses,
interface, cookie; expires, rqueue, wqueue, uid, inode."""

MESSAGE_SIZE: t.Final = 72
FIELDS: t.Final = 15
"""Of MESSAGE; what follows in a layout is pairs of an attribute's header and its data."""

REQUEST: t.Final = struct.Struct("=BBBxI48x")
"""struct inet_diag_req_v2: family, protocol, extensions, states; any socket's identity."""

TCP_REQUEST: t.Final = struct.Struct("=BxxB48xI4x")
"""struct inet_diag_req: family, extensions; any socket's identity; states. The older question for
TCP alone. Unlike the newer one it is answered for IPv4 and IPv6 at once: the kernel walks through
its tables, which are large however few sockets there are, one time and not two."""

STATES: t.Final = 0x1FFF
"""A bit for each state up to TCP_NEW_SYN_RECV, 12 (include/net/tcp_states.h)."""

BOUND: t.Final = 1 << 13
"""TCP sockets that are bound only, which Linux tells of since 6.8. They are in another table, and
to walk through that takes a millisecond: so they are asked for apart."""

INFO, CONGESTION, MEMORY, SHUTDOWN, V6ONLY = 2, 4, 7, 8, 11
"""Attributes, INET_DIAG_INFO and following."""

ATTRIBUTES: t.Final = (SHUTDOWN, V6ONLY, CONGESTION, MEMORY, INFO)
"""In the order of InetSocket's last fields."""

EXTENSIONS: t.Final = 1 << INFO - 1 | 1 << CONGESTION - 1 | 1 << MEMORY - 1
"""What has to be asked for; the others come by themselves."""

SOCKET_MEMORY: t.Final = struct.Struct("=9I")
"""SK_MEMINFO_* (linux/sock_diag.h): rmem, rcvbuf, wmem, sndbuf, fwd, wmem queued, optmem,
backlog, drops."""

LAYOUTS: t.Final = 256
"""Of messages are remembered; a machine shows some ten. Then it begins anew."""

RETRANSMIT_TIMER, PERSIST_TIMER = 1, 4
"""Of ``InetSocket.timer``: something is to be sent again; the peer's window is closed."""

TIMERS: t.Final = ("", "on", "keepalive", "timewait", "persist")
"""What ``timer`` counts down to, by the names that ss(8) uses. "on": a retransmission."""


class Memory(t.NamedTuple):
    """What a socket holds, in bytes, and may hold; ``drops`` are datagrams it had no room for."""

    rmem: int
    rcvbuf: int
    wmem: int
    sndbuf: int
    fwd_alloc: int
    wmem_queued: int
    optmem: int
    backlog: int
    drops: int


class InetSocket(t.NamedTuple):
    """One TCP, UDP or raw socket. ``src`` and ``dst`` are packed, ports in our own byte order.

    ``rqueue`` and ``wqueue`` are bytes: received and not read yet, written and not acknowledged
    yet. For a TCP listener they are the connections that wait to be accepted, and the most that
    may. ``inode`` is 0 where no process holds the socket any more (TIME-WAIT).
    """

    protocol: str
    family: int
    state: int
    timer: int
    retransmits: int
    """Of a segment or probe, by the running timer."""
    sport: int
    dport: int
    src: bytes
    dst: bytes
    interface: int
    cookie: int
    expires_ms: int
    rqueue: int
    wqueue: int
    uid: int
    inode: int
    raw_shutdown: bytes
    raw_v6only: bytes
    raw_congestion: bytes
    raw_memory: bytes
    raw_tcp: bytes
    """The attributes as they came, b"" where there was none: decoded when somebody asks."""

    @property
    def shutdown(self) -> int:
        """1: no more is received, 2: no more is sent, 3: both."""
        return self.raw_shutdown[0] if self.raw_shutdown else 0

    @property
    def v6only(self) -> bool:
        """An IPv6 socket that takes no IPv4."""
        return any(self.raw_v6only)

    @property
    def congestion(self) -> str:
        """The congestion control algorithm, such as "cubic"; "" where there is none."""
        return self.raw_congestion.partition(b"\0")[0].decode("ascii", "backslashreplace")

    @property
    def memory(self) -> Memory | None:
        """None where the kernel did not tell."""
        if len(self.raw_memory) < SOCKET_MEMORY.size:
            return None
        return Memory._make(SOCKET_MEMORY.unpack_from(self.raw_memory))

    @property
    def tcp(self) -> TcpInfo | None:
        """None for what is no TCP, and where nothing is left to tell (TIME-WAIT)."""
        return tcp_info.parse(self.raw_tcp) if self.raw_tcp else None

    @property
    def local(self) -> tuple[str, int]:
        """Host as text, without brackets, and port."""
        return host_text(self.src, self.family), self.sport

    @property
    def peer(self) -> tuple[str, int]:
        """Host and port of the other end; port 0 where there is none."""
        return host_text(self.dst, self.family), self.dport

    @property
    def timer_name(self) -> str:
        """A word of ``TIMERS``, "" where none runs."""
        return TIMERS[self.timer] if self.timer < len(TIMERS) else f"timer {self.timer}"


@functools.lru_cache(maxsize=4096)  # a busy server's peers come back every second
def host_text(packed: bytes, family: int) -> str:
    """A packed address as text: ``127.0.0.1``, ``::1``, ``::ffff:127.0.0.1``."""
    if family == AF_INET:
        return socket.inet_ntop(socket.AF_INET, packed[:4])
    return socket.inet_ntop(socket.AF_INET6, packed)


class _Layout:
    """The shape of messages of one family and length: where which attribute is."""

    __slots__ = ("places", "shape", "signature")

    def __init__(self, data: bytes, start: int, end: int, family: int) -> None:
        begin = start + MESSAGE_SIZE
        found = netlink.attributes(data, begin, end)
        formats, at = [MESSAGE[family]], begin
        index = {}
        in_order = sorted(found.items(), key=lambda item: item[1])
        for number, (kind, (first, last)) in enumerate(in_order):
            formats.append(f"{first - 4 - at}xI{last - first}s")
            index[kind] = FIELDS + 2 * number + 1
            at = last
        formats.append("0s")  # what an absent attribute is: b""
        absent = FIELDS + 2 * len(found)
        self.places = [index.get(kind, absent) for kind in ATTRIBUTES]
        self.shape = struct.Struct("".join(formats))
        self.signature = self.shape.unpack_from(data, start)[FIELDS::2]


class Reader:
    """Reads the messages of one protocol."""

    def __init__(self, protocol: str) -> None:
        self._protocol = protocol
        self._layouts: dict[tuple[int, int], _Layout] = {}

    def read(self, data: bytes, start: int, end: int) -> InetSocket:
        """The socket in the message body ``data[start:end]``. Raises ``SystemRefused``."""
        length = end - start
        if length < MESSAGE_SIZE:
            raise netlink.malformed("a socket is cut off")
        layout = self._layouts.get((data[start], length))
        values = layout.shape.unpack_from(data, start) if layout else ()
        if layout is None or values[FIELDS::2] != layout.signature:
            layout = self._learn(data, start, end)
            values = layout.shape.unpack_from(data, start)
        family, state, timer, retransmits, sport, dport, *rest = values[:FIELDS]
        shutdown, v6only, congestion, memory, info = layout.places
        return InetSocket._make(
            (
                self._protocol,
                family,
                state,
                timer,
                retransmits,
                socket.ntohs(sport),
                socket.ntohs(dport),
                *rest,
                values[shutdown],
                values[v6only],
                values[congestion],
                values[memory],
                values[info],
            )
        )

    def _learn(self, data: bytes, start: int, end: int) -> _Layout:
        family = data[start]
        if family not in MESSAGE:
            raise netlink.malformed(f"a socket of family {family}")
        layout = _Layout(data, start, end, family)
        if len(self._layouts) >= LAYOUTS:
            self._layouts.clear()
        self._layouts[family, end - start] = layout
        return layout


def tcp() -> list[InetSocket]:
    """All TCP sockets of IPv4 and IPv6 in our namespace, but for those that are bound only.

    Raises ``SystemRefused`` (``netlink.dump``).
    """
    request = TCP_REQUEST.pack(AF_INET, EXTENSIONS, STATES)
    return netlink.dump(request, Reader("tcp").read, netlink.TCP_DIAG)


def sockets(protocol: str, family: int, states: int = STATES) -> list[InetSocket]:
    """The sockets of ``protocol`` (a key of PROTOCOLS) and ``family`` in our namespace.

    Raises ``SystemRefused`` (``netlink.dump``).
    """
    request = REQUEST.pack(family, PROTOCOLS[protocol], EXTENSIONS, states)
    return netlink.dump(request, Reader(protocol).read)
