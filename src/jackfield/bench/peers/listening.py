"""What the asyncio and uvloop peers share: listen on the loopback, say so, serve until ended."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable

BACKLOG = 128
"""jackfield's own, so that no peer has more room for connections than another."""


async def serve(factory: Callable[[], asyncio.Protocol]) -> None:
    """Serve ``factory`` on the port that the command line names (0: any free one)."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(factory, "127.0.0.1", int(sys.argv[1]), backlog=BACKLOG)
    host, port = server.sockets[0].getsockname()
    print(f"listening tcp://{host}:{port}", file=sys.stderr, flush=True)
    await server.serve_forever()
