"""The peer "twisted": an echo Protocol on the epoll reactor."""

from __future__ import annotations

import importlib
import typing as t

from twisted.internet import epollreactor, protocol

from jackfield.bench.peers.listening import BACKLOG, announce, port


class Echo(protocol.Protocol):
    """Sends back what it receives."""

    transport: t.Any  # Twisted's types say what every transport has, and no more

    def connectionMade(self) -> None:  # noqa: N802
        self.transport.setTcpNoDelay(True)  # as asyncio does

    def dataReceived(self, data: bytes) -> None:  # noqa: N802
        self.transport.write(data)


if __name__ == "__main__":
    epollreactor.install()  # type: ignore[no-untyped-call]
    reactor: t.Any = importlib.import_module("twisted.internet.reactor")
    factory = protocol.Factory.forProtocol(Echo)
    factory.noisy = False  # no line in a log for each start and end
    listener = reactor.listenTCP(port(), factory, backlog=BACKLOG, interface="127.0.0.1")
    address = listener.getHost()
    announce("tcp", (address.host, address.port))
    reactor.run()
