"""A server in a process of its own: ``python serving.py ENGINE WHAT ENDPOINT [DESCRIPTORS]``.

WHAT is one of the protocols below. It prints where it listens on standard output.
"""

from __future__ import annotations

import resource
import select
import signal
import sys
import time
import typing as t

from jackfield import LineProtocol, Protocol, Room, Server

room = Room()


class Everyone(Protocol):
    """The example of the front page."""

    def connection_made(self, transport: t.Any) -> None:
        self.transport = transport
        room.join(transport)

    def data_received(self, data: bytes) -> None:
        room.publish(data)

    def connection_lost(self, exc: BaseException | None) -> None:
        room.leave(self.transport)


class Reports(LineProtocol):
    """Answers each line with what the process has used: CPU seconds, failed accepts."""

    def line_received(self, line: bytes) -> None:
        failures = self.transport.engine.statistics().accept_failures
        self.send_line(b"%f %d" % (time.process_time(), failures))


class WritesOn(LineProtocol):
    """Writes to a peer that has gone: at once, through a full outbox, or as a room does."""

    def line_received(self, line: bytes) -> None:
        transport = self.transport
        if line == b"outbox":
            transport.write(bytes(1 << 23))
        elif line in (b"write", b"fan_out"):
            self.send_line(b"wait")
            self.await_hangup()
            for _ in range(3):  # TCP: the first is answered with a reset, the second meets EPIPE
                if line == b"write":
                    transport.write(b"anybody there?")
                else:
                    transport.engine.fan_out(b"anybody there?", [transport])
        else:
            self.send_line(line)

    def await_hangup(self) -> None:
        """Until the peer has closed, as far as the system can tell; else a moment."""
        poll = select.poll()
        poll.register(self.transport.fd, getattr(select, "POLLRDHUP", 0))
        poll.poll(1000)


def main(engine: str, what: str, endpoint: str, descriptors: str = "") -> None:
    if descriptors:
        resource.setrlimit(resource.RLIMIT_NOFILE, (int(descriptors), int(descriptors)))
    if what == "WritesOn":
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    protocol = globals()[what]
    server = Server(
        endpoint, protocol, engine=engine, max_connections=100_000, backlog=1000, drain=0
    )
    server.open()
    print(server.addresses[0], flush=True)
    server.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
