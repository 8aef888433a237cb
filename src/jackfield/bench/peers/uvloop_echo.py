"""The peer "uvloop": the same echo protocol on uvloop (libuv)."""

from __future__ import annotations

import uvloop

from jackfield.bench.peers.echo import Echo
from jackfield.bench.peers.listening import serve

if __name__ == "__main__":
    uvloop.run(serve(Echo))
