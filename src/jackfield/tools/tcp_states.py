"""The states of RFC 9293 (figure 5), inferred from what both ends of a connection have sent.

As in the RFC's own figures (6, 7, 12, 13), a step shows the sender when it has sent and the
receiver when it has received: a segment is supposed to arrive. A SYN that is repeated did not, or
was not answered, so the state of the other end is unknown from then on.

    SYN sent, and acked   SYN received
        -        -           -           LISTEN
       yes       -           -           SYN-SENT
      either     -          yes          SYN-RECEIVED
       yes      yes         yes          ESTABLISHED

    FIN sent, and acked   FIN received
       yes       -           -           FIN-WAIT-1
       yes      yes          -           FIN-WAIT-2
        -        -          yes          CLOSE-WAIT
       yes       -          yes          CLOSING    or LAST-ACK, where the other's FIN
       yes      yes         yes          TIME-WAIT  or CLOSED,   came before ours was sent

Must not know packets.
"""

from __future__ import annotations

import typing as t

from jackfield.tools.tcp_half import Half

UNKNOWN: t.Final = "?"
CLOSED: t.Final = "CLOSED"
LISTEN: t.Final = "LISTEN"
SYN_SENT: t.Final = "SYN-SENT"
SYN_RECEIVED: t.Final = "SYN-RECEIVED"
ESTABLISHED: t.Final = "ESTABLISHED"
FIN_WAIT_1: t.Final = "FIN-WAIT-1"
FIN_WAIT_2: t.Final = "FIN-WAIT-2"
CLOSE_WAIT: t.Final = "CLOSE-WAIT"
CLOSING: t.Final = "CLOSING"
LAST_ACK: t.Final = "LAST-ACK"
TIME_WAIT: t.Final = "TIME-WAIT"


def state(me: Half, other: Half) -> str:
    """The state of ``me`` in a connection that was not reset."""
    if me.fin is not None:
        return _closing(me, other)
    if other.fin_arrived:
        return CLOSE_WAIT
    if me.syn and other.syn:
        return ESTABLISHED if me.syn_acked else SYN_RECEIVED
    if me.syn:
        return SYN_SENT
    if other.syn:
        return UNKNOWN if other.syn_repeated else SYN_RECEIVED
    return LISTEN


def _closing(me: Half, other: Half) -> str:
    if not other.fin_arrived:
        return FIN_WAIT_2 if me.fin_acked else FIN_WAIT_1
    if me.fin_acked:
        return TIME_WAIT if me.fin_first else CLOSED
    return CLOSING if me.fin_first else LAST_ACK
