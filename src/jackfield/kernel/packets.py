"""Linux's packet socket (packet(7)): every packet of an interface, as the kernel sees it pass.

It is opened "cooked": the kernel takes the link's header off and tells of it in a sockaddr_ll,
from which an SLL2 header is made again (LINKTYPE_LINUX_SLL2). So loopback, Ethernet and tunnels
look alike, to the filter and to who reads a file of it.

    socket, deaf (protocol 0) -> filter -> bind to the interface: from here on it hears

in which order no packet gets in unfiltered. What the kernel had to drop, because we read too
slowly, is counted. Wants CAP_NET_RAW to open, and nothing after that. Must not know TCP.
"""

from __future__ import annotations

import ctypes
import errno
import ipaddress
import os
import socket
import struct
import sys
import time
import typing as t
from collections.abc import Iterator

from jackfield import limits
from jackfield.capture import bpf
from jackfield.capture.frames import SLL2, SNAPLEN, Frame
from jackfield.endpoint import printable
from jackfield.errors import SystemRefused, UsageError

LOOPBACK: t.Final = "lo"
EVERY_INTERFACE: t.Final = ""

_ETH_P_ALL: t.Final = 3  # linux/if_ether.h
_SO_ATTACH_FILTER: t.Final = 26  # asm-generic/socket.h, as the next two
_SO_RCVBUFFORCE: t.Final = 33
_SO_TIMESTAMPNS: t.Final = 35
_SOL_PACKET: t.Final = 263  # linux/socket.h
_PACKET_STATISTICS: t.Final = 6  # linux/if_packet.h
_SOCKADDR_LL: t.Final = struct.Struct("=HHi12x")
_STATISTICS: t.Final = struct.Struct("=II")
_TIMESPEC: t.Final = struct.Struct("@ll")
_SLL2_HEADER: t.Final = struct.Struct("!HHIHBB8s")

Arrival: t.TypeAlias = tuple[str, int, int, int, bytes]
"""A sockaddr_ll of the socket module: interface, protocol, packet type, hardware, address."""


class PacketSocket:
    """One packet socket, open and filtered. Close it, or use it in a ``with``.

    ``interface``: a name, or ``EVERY_INTERFACE``. ``places`` and ``protocol`` are the filter's
    (see ``capture.bpf``). Raises ``UsageError`` for an interface that is none, and
    ``SystemRefused`` without permission, with what to do.
    """

    def __init__(
        self, interface: str, places: t.Sequence[bpf.Place], protocol: int = socket.IPPROTO_TCP
    ) -> None:
        if sys.platform != "linux":
            raise UsageError("packets are captured on Linux only; read a file with --read")
        self.drops = 0
        self._indexes: dict[str, int] = {}
        self._buffer = bytearray(SNAPLEN)
        self._socket = _open()
        try:
            self._set_up(bpf.program(places, _index(LOOPBACK), protocol))
            _bind(self._socket, interface)
        except OSError as exc:
            self.close()
            raise _refusal(interface, exc) from exc

    def _set_up(self, program: list[bpf.Instruction]) -> None:
        sock = self._socket
        code = ctypes.create_string_buffer(bpf.packed(program))
        where = struct.pack("@HP", len(program), ctypes.addressof(code))  # struct sock_fprog
        sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, where)
        sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        _enlarge(sock)
        sock.setblocking(False)

    def fileno(self) -> int:
        """To wait for packets with a poller."""
        return self._socket.fileno()

    def close(self) -> None:
        """Hear no more. May be called twice."""
        self._socket.close()

    def __enter__(self) -> t.Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def read(self, most: int = limits.WIRE_BURST) -> Iterator[Frame]:
        """Up to ``most`` frames of those that wait, none if none does; never blocks.

        Raises ``SystemRefused`` when the interface has gone down or away.
        """
        view = memoryview(self._buffer)
        for _ in range(most):
            try:
                length, ancillary, _, source = self._socket.recvmsg_into(
                    [view], _CONTROL, socket.MSG_TRUNC
                )
            except BlockingIOError:
                return
            except OSError as exc:
                raise _refusal("the capture's", exc) from exc
            header = self._header(source)
            data = header + view[:length]
            yield Frame(_timestamp(ancillary), SLL2, data, length + len(header))

    def _header(self, source: Arrival) -> bytes:
        name, protocol, kind, hardware, address = source
        index = self._indexes.get(name)
        if index is None:
            index = self._indexes[name] = _index(name)
        padded = address[:8].ljust(8, b"\0")
        return _SLL2_HEADER.pack(protocol, 0, index, hardware, kind, min(len(address), 8), padded)

    def count_drops(self) -> int:
        """Packets so far that passed the filter and found no room in the buffer."""
        said = self._socket.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, _STATISTICS.size)
        self.drops += _STATISTICS.unpack(said)[1]  # reading resets them
        return self.drops


_CONTROL: t.Final = socket.CMSG_SPACE(_TIMESPEC.size) if hasattr(socket, "CMSG_SPACE") else 0


def interface_for(places: t.Iterable[bpf.Place]) -> str:
    """Where the packets of ``places`` pass: over loopback if each is an address of loopback (or
    there is none), else maybe over every interface, since a machine reaches its own addresses
    over loopback and others reach them over a card."""
    local = all(host and ipaddress.ip_address(host).is_loopback for host, _ in places)
    return LOOPBACK if local else EVERY_INTERFACE


def _open() -> socket.socket:
    try:
        return socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)
    except PermissionError as exc:
        raise SystemRefused(
            "no permission to capture packets: run it with sudo (root is given up once the "
            "socket is open), give this Python CAP_NET_RAW (setcap cap_net_raw=ep), or read a "
            "capture file with --read",
            exc.errno,
        ) from exc
    except OSError as exc:
        raise SystemRefused(f"no packet socket here: {exc.strerror}", exc.errno) from exc


def _bind(sock: socket.socket, interface: str) -> None:
    """Hear ``interface``. The socket module knows no name for every interface, which is 0."""
    index = _index(interface)
    if interface and not index:
        raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))
    place = _SOCKADDR_LL.pack(socket.AF_PACKET, socket.htons(_ETH_P_ALL), index)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.bind(sock.fileno(), place, len(place)):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _enlarge(sock: socket.socket) -> None:
    """Room for bursts; beyond the administrator's limit only with CAP_NET_ADMIN."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, limits.WIRE_BUFFER)
    except PermissionError:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, limits.WIRE_BUFFER)


def _index(name: str) -> int:
    """An interface's number; 0, which is none's, for one that is gone."""
    try:
        return socket.if_nametoindex(name)
    except (OSError, ValueError):  # of a text that can be no name
        return 0


def _timestamp(ancillary: list[tuple[int, int, bytes]]) -> int:
    """When the kernel saw it, in nanoseconds since 1970."""
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, _SO_TIMESTAMPNS) and len(data) == _TIMESPEC.size:
            seconds, nanoseconds = _TIMESPEC.unpack(data)
            return int(seconds) * 10**9 + int(nanoseconds)
    return time.time_ns()


def _refusal(interface: str, exc: OSError) -> UsageError | SystemRefused:
    if exc.errno == errno.ENODEV:
        there = " ".join(name for _, name in socket.if_nameindex())
        return UsageError(
            f"there is no interface '{printable(interface)}' here; there are: {there}"
        )
    if exc.errno == errno.ENETDOWN:
        return SystemRefused(f"{interface} interface is down", exc.errno)
    return SystemRefused(f"cannot capture: {exc.strerror}", exc.errno)
