"""The peer "asyncio": an echo protocol on the standard library's loop."""

from __future__ import annotations

import asyncio

from jackfield.bench.peers.echo import Echo
from jackfield.bench.peers.listening import serve

if __name__ == "__main__":
    asyncio.run(serve(Echo))
