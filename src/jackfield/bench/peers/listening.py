"""What the peers share: the port they are given, the line they print, how asyncio listens."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable

BACKLOG = 128
"""jackfield's own, so that no peer has more room for connections than another."""

DATAGRAM = 65536
"""Bytes to receive a datagram into: the largest that there are have a few less."""


def port() -> int:
    """The port that the command line names (0: any free one)."""
    return int(sys.argv[1])


def announce(scheme: str, address: tuple[str, int]) -> None:
    """Say where this server listens, as jackfield does."""
    host, number = address[:2]
    print(f"listening {scheme}://{host}:{number}", file=sys.stderr, flush=True)


async def serve(factory: Callable[[], asyncio.Protocol]) -> None:
    """Serve ``factory`` until ended."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(factory, "127.0.0.1", port(), backlog=BACKLOG)
    announce("tcp", server.sockets[0].getsockname())
    await server.serve_forever()


async def serve_datagrams(factory: Callable[[], asyncio.DatagramProtocol]) -> None:
    """Serve ``factory`` on a datagram socket until ended."""
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(factory, ("127.0.0.1", port()))
    announce("udp", transport.get_extra_info("sockname"))
    await loop.create_future()
