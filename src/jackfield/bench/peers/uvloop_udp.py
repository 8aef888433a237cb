"""The peer "uvloop" of datagrams: the same echo protocol on uvloop (libuv)."""

from __future__ import annotations

import uvloop

from jackfield.bench.peers.echo import DatagramEcho
from jackfield.bench.peers.listening import serve_datagrams

if __name__ == "__main__":
    uvloop.run(serve_datagrams(DatagramEcho))
