"""The echo protocol of the asyncio and uvloop peers: as short as asyncio lets it be."""

from __future__ import annotations

import asyncio
import typing as t


class Echo(asyncio.Protocol):
    """Sends back what it receives. Slots, so that idle connections weigh what they must."""

    __slots__ = ("_transport",)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = t.cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._transport.write(data)
