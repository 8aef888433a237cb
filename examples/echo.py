"""Greet, then send back whatever comes. python examples/echo.py [ENDPOINT ...]"""

import sys

from jackfield import Protocol, serve


class Echo(Protocol):
    def connection_made(self, transport):
        self.transport = transport
        transport.write(b"Hello\r\n")

    def data_received(self, data):
        self.transport.write(data)


if __name__ == "__main__":
    serve(sys.argv[1:] or "tcp://127.0.0.1:8888", Echo)
