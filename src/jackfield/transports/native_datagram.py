"""A datagram socket whose hot path is compiled: see ``native``. Loaded with the first such socket.

Must not know the loop. Import it only where ``_native.missing("loop")`` is None.
"""

from __future__ import annotations

import socket
import typing as t

from jackfield._native.datagram import HotDatagrams
from jackfield.kernel.options import receive_coalesced
from jackfield.transports.datagram import DatagramBase
from jackfield.transports.driver import Driver


class NativeDatagrams(HotDatagrams, DatagramBase):
    """See ``protocol.DatagramTransport`` for the contract."""

    __slots__ = ()

    def __init__(self, engine: Driver, sock: socket.socket, protocol: t.Any) -> None:
        super().__init__(engine, sock, protocol)
        self.coalesced = receive_coalesced(sock)
