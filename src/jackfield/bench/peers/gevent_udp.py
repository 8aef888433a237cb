"""The peer "gevent" of datagrams: one greenlet that receives and answers.

DatagramServer would start a greenlet for each datagram, at several times the cost.
"""

from __future__ import annotations

import socket

import gevent.socket

from jackfield.bench.peers.listening import DATAGRAM, announce, port

if __name__ == "__main__":
    endpoint = gevent.socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    endpoint.bind(("127.0.0.1", port()))
    announce("udp", endpoint.getsockname())
    while True:
        data, address = endpoint.recvfrom(DATAGRAM)
        endpoint.sendto(data, address)
