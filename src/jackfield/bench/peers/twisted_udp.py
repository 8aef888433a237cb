"""The peer "twisted" of datagrams: an echo DatagramProtocol on the epoll reactor."""

from __future__ import annotations

import importlib
import typing as t

from twisted.internet import epollreactor, protocol

from jackfield.bench.peers.listening import DATAGRAM, announce, port


class Echo(protocol.DatagramProtocol):
    """Sends back each datagram."""

    transport: t.Any  # Twisted's types say what every transport has, and no more
    noisy = False  # no line in a log for its start and end

    def datagramReceived(self, datagram: bytes, addr: t.Any) -> None:  # noqa: N802
        self.transport.write(datagram, addr)


if __name__ == "__main__":
    epollreactor.install()  # type: ignore[no-untyped-call]
    reactor: t.Any = importlib.import_module("twisted.internet.reactor")
    endpoint = reactor.listenUDP(port(), Echo(), interface="127.0.0.1", maxPacketSize=DATAGRAM)
    address = endpoint.getHost()
    announce("udp", (address.host, address.port))
    reactor.run()
