"""Many clients of one room, in a process of their own: ``python crowd.py ENDPOINT COUNT``.

Each sends one line once all are connected, and reads until it has everybody's. Prints ``ok`` when
every client has every line, in the same order; else what is wrong.
"""

from __future__ import annotations

import selectors
import socket
import sys
import time

from jackfield.address import Endpoint, resolve

PATIENCE = 60.0


def main(endpoint: str, count: int) -> str:
    address = resolve(Endpoint.parse(endpoint))[0]
    selector = selectors.DefaultSelector()
    clients: list[socket.socket] = []
    for _ in range(count):
        client = socket.socket(address.family)
        client.settimeout(PATIENCE)
        client.connect(address.sockaddr)
        clients.append(client)
    _wait_until_all_are_members(clients)
    for number, client in enumerate(clients):
        client.sendall(b"client %d speaks\n" % number)
        client.setblocking(False)
        selector.register(client, selectors.EVENT_READ)
    size = sum(len(b"client %d speaks\n" % number) for number in range(count))
    streams = _receive(selector, clients, size)
    if len(set(streams)) != 1:
        return "the members saw different orders"
    expected = sorted(b"client %d speaks" % number for number in range(count))
    return "ok" if sorted(streams[0].splitlines()) == expected else "lines are missing or torn"


def _wait_until_all_are_members(clients: list[socket.socket]) -> None:
    """The last one to be accepted hears itself; all before it are members then."""
    clients[-1].sendall(b"!")
    for client in clients:
        assert client.recv(1) == b"!", "not a member"


def _receive(
    selector: selectors.BaseSelector, clients: list[socket.socket], size: int
) -> list[bytes]:
    received = {client: bytearray() for client in clients}
    waiting = set(clients)
    deadline = time.monotonic() + PATIENCE
    while waiting:
        assert time.monotonic() < deadline, f"{len(waiting)} clients still wait"
        for key, _ in selector.select(1):
            client = key.fileobj
            assert isinstance(client, socket.socket)
            data = client.recv(1 << 16)
            assert data, "the server closed a connection"
            received[client] += data
            if len(received[client]) >= size:
                waiting.discard(client)
    return [bytes(received[client]) for client in clients]


if __name__ == "__main__":
    print(main(sys.argv[1], int(sys.argv[2])))
