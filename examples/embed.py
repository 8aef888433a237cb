"""A server inside a program, or a test: it runs in a thread as long as the ``with`` lasts."""

import socket

from jackfield import Protocol, Server


class Shout(Protocol):
    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.transport.write(data.upper())


with Server("tcp://127.0.0.1:0", Shout) as server:
    address = server.addresses[0]  # with the port that was free
    with socket.create_connection(("127.0.0.1", address.port)) as client:
        client.sendall(b"hello\n")
        print(address, "answers", client.makefile().readline().strip())
