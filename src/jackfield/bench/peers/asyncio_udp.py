"""The peer "asyncio" of datagrams: an echo protocol on the standard library's loop."""

from __future__ import annotations

import asyncio

from jackfield.bench.peers.echo import DatagramEcho
from jackfield.bench.peers.listening import serve_datagrams

if __name__ == "__main__":
    asyncio.run(serve_datagrams(DatagramEcho))
