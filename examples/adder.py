"""Lines: each number typed is added, each connection has a total of its own.

python examples/adder.py [ENDPOINT ...]
"""

import sys

from jackfield import LineProtocol, serve


class Adder(LineProtocol):
    line_limit = 40  # bytes: no peer makes us keep or convert a longer number

    def connection_made(self, transport):
        super().connection_made(transport)
        self.total = 0

    def line_received(self, line):
        if line == b"quit":
            self.transport.close()
            return
        try:
            self.total += int(line)
        except ValueError:
            self.send_line(b"write a whole number, or quit")
        else:
            self.send_line(b"%d" % self.total)

    def line_too_long(self):
        self.send_line(b"a number has at most %d digits" % self.line_limit)


if __name__ == "__main__":
    serve(sys.argv[1:] or "tcp://127.0.0.1:8888", Adder)
