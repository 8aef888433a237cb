"""The servers in C: honest ones, or the ratio to them would say nothing."""

from __future__ import annotations

import socket
import threading
from contextlib import AbstractContextManager

from jackfield.bench import c_limits, servers


def connect(server: servers.Server, kind: int = socket.SOCK_STREAM) -> socket.socket:
    client = socket.socket(socket.AF_INET, kind)
    client.settimeout(10)
    client.connect((server.target.host, server.target.port))
    return client


def start(case: str) -> AbstractContextManager[servers.Server]:
    (contender,) = c_limits.find(case, c_limits.names(case))
    return servers.running(contender)


def receive(client: socket.socket, length: int) -> bytes:
    received = bytearray()
    while len(received) < length:
        block = client.recv(length - len(received))
        assert block, "the server closed the connection"
        received += block
    return bytes(received)


def test_a_limit_is_named_and_has_its_compilers_version() -> None:
    (contender,) = c_limits.find("echo", ["c-epoll"])
    assert contender.name == "C epoll"
    assert contender.limit
    assert contender.version.endswith("-O2")
    assert c_limits.names("start") == ()


def test_echo_loses_nothing_when_the_client_reads_late() -> None:
    """More than the kernel holds: what waits in the server has to wait in order."""
    sent = b"".join(number.to_bytes(4) for number in range(3_000_000))
    with start("echo") as server, connect(server) as client:
        writer = threading.Thread(target=client.sendall, args=(sent,))
        writer.start()
        assert receive(client, len(sent)) == sent
        writer.join()


def test_echo_serves_the_others_when_one_resets() -> None:
    with start("echo") as server, connect(server) as stays:
        with connect(server) as resets:
            resets.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            resets.sendall(b"x")
        stays.sendall(b"y")
        assert receive(stays, 1) == b"y"


def test_the_room_sends_to_all_who_are_in_it() -> None:
    with start("fanout") as server, connect(server) as first, connect(server) as second:
        with connect(server) as third:
            third.sendall(b"hello")
            assert [receive(one, 5) for one in (first, second, third)] == [b"hello"] * 3
        first.sendall(b"again")
        assert [receive(one, 5) for one in (first, second)] == [b"again"] * 2


def test_the_room_answers_an_empty_line_to_who_asks_alone() -> None:
    with start("fanout") as server, connect(server) as first, connect(server) as second:
        second.sendall(b"\n")
        assert receive(second, 1) == b"\n"
        second.sendall(b"text")
        assert receive(first, 4) == b"text"


def test_the_room_keeps_what_a_member_does_not_read() -> None:
    text = b"t" * 65536
    count = 200  # more than the kernel holds for one connection
    with start("fanout") as server, connect(server) as sender, connect(server) as slow:
        for _ in range(count):
            sender.sendall(text)
            assert receive(sender, len(text)) == text
        assert receive(slow, count * len(text)) == text * count


def test_datagrams_are_sent_back_each_to_its_sender() -> None:
    with start("udp") as server:
        clients = [connect(server, socket.SOCK_DGRAM) for _ in range(3)]
        try:
            for size in (0, 1, 64, 65507):
                for number, client in enumerate(clients):
                    client.send(bytes([number]) * size)
                for number, client in enumerate(clients):
                    assert client.recv(65536) == bytes([number]) * size
        finally:
            for client in clients:
                client.close()
