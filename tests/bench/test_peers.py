"""The small servers that jackfield is compared with do what is measured of them."""

from __future__ import annotations

import socket

import pytest

from jackfield.bench.servers import Contender, find_peers, peer_names, running

LIBRARIES = peer_names("echo")


def peer(case: str, name: str) -> Contender:
    present, absent = find_peers(case, [name])
    if absent:
        pytest.skip(f"{absent[0].name}: {absent[0].reason}")
    return present[0]


@pytest.mark.parametrize("name", LIBRARIES)
def test_streams_are_echoed_until_the_client_ends(name: str) -> None:
    sent = bytes(range(256)) * 1000
    with running(peer("echo", name)) as server:
        address = (server.target.host, server.target.port)
        for _ in range(2):  # one client's end is not the server's
            with socket.create_connection(address, timeout=10) as client:
                client.sendall(sent)
                client.shutdown(socket.SHUT_WR)
                with client.makefile("rb") as file:
                    assert file.read() == sent


@pytest.mark.parametrize("name", LIBRARIES)
def test_a_client_that_resets_is_no_trouble(name: str) -> None:
    with running(peer("echo", name)) as server:
        address = (server.target.host, server.target.port)
        with socket.create_connection(address, timeout=10) as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            client.sendall(b"x")
        with socket.create_connection(address, timeout=10) as client:
            client.sendall(b"y")
            assert client.recv(10) == b"y"


@pytest.mark.parametrize("name", peer_names("udp"))
def test_datagrams_are_echoed(name: str) -> None:
    with (
        running(peer("udp", name)) as server,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client,
    ):
        client.settimeout(10)
        client.connect((server.target.host, server.target.port))
        for size in (1, 64, 60_000):
            client.send(b"d" * size)
            assert client.recv(65536) == b"d" * size
