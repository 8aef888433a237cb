"""What the kernel tells of a TCP connection beside its state: struct tcp_info (linux/tcp.h).

The struct only ever grew at its end, so that a shorter one, of an older kernel, is read as if
zeros followed; what a newer one has behind ours is left alone. Must not know who is connected.
"""

from __future__ import annotations

import socket
import struct
import typing as t

STRUCT: t.Final = struct.Struct(
    "=2x3BxBx"  # state and ca_state, then retransmits, probes, backoff; options; window scales
    "2I2I"  # rto, ato; snd_mss, rcv_mss
    "I4xII4x"  # unacked, lost, retrans
    "I4xII"  # last_data_sent, last_data_recv, last_ack_recv
    "I4x5I4x"  # pmtu; rtt, rttvar, ssthresh, cwnd, advmss
    "II"  # rcv_rtt, rcv_space
    "I"  # total_retrans
    "Q8xQQ"  # pacing_rate; bytes_acked, bytes_received
    "II"  # segs_out, segs_in
    "II8x"  # notsent_bytes, min_rtt
    "Q24x8x"  # delivery_rate
    "QQ"  # bytes_sent, bytes_retrans
    "8xII"  # rcv_ooopack, snd_wnd
)
SIZE: t.Final = STRUCT.size


class TcpInfo(t.NamedTuple):
    """One connection. Times are in the unit of the kernel, which the name says: us or ms.

    For a listener ``unacked`` is how many wait to be accepted, and most else means nothing.
    """

    retransmits: int
    """Times in a row that the oldest segment was sent again."""
    probes: int
    """Zero-window or keepalive probes that were not answered yet."""
    backoff: int
    scales: int
    """Window scales: ours to send in the low four bits, ours to receive in the high ones."""
    rto_us: int
    ato_us: int
    snd_mss: int
    rcv_mss: int
    unacked: int
    """Segments on the way."""
    lost: int
    retrans: int
    """Segments on the way that were sent again."""
    last_data_sent_ms: int
    last_data_recv_ms: int
    last_ack_recv_ms: int
    pmtu: int
    rtt_us: int
    rttvar_us: int
    ssthresh: int
    cwnd: int
    """The congestion window, in segments."""
    advmss: int
    rcv_rtt_us: int
    rcv_space: int
    total_retrans: int
    """Segments sent again since the connection began."""
    pacing_rate: int
    bytes_acked: int
    bytes_received: int
    segs_out: int
    segs_in: int
    notsent_bytes: int
    """Bytes in the send queue that were never sent."""
    min_rtt_us: int
    delivery_rate: int
    """Bytes a second, as last measured."""
    bytes_sent: int
    bytes_retrans: int
    rcv_ooopack: int
    snd_wnd: int
    """The window that the peer has open for us, in bytes; 0: it takes nothing now."""


def parse(data: bytes) -> TcpInfo:
    """The struct, however long this kernel makes it. Never raises."""
    return TcpInfo._make(STRUCT.unpack_from(data.ljust(SIZE, b"\0")))


def look(fd: int, family: int) -> tuple[t.Any, TcpInfo | None]:
    """The local address of the stream socket ``fd``, and what the kernel tells of its connection:
    None for what is no TCP, and where the system tells nothing. Raises ``OSError``."""
    sock = socket.socket(family, socket.SOCK_STREAM, 0, fileno=fd)
    try:
        local = sock.getsockname()
        option = getattr(socket, "TCP_INFO", None)
        if option is None or family not in (socket.AF_INET, socket.AF_INET6):
            return local, None
        return local, parse(sock.getsockopt(socket.IPPROTO_TCP, option, SIZE))
    finally:
        sock.detach()  # it was only borrowed
