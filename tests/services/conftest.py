"""What the tests of services share: an engine turned by hand, and connections to protocols."""

from __future__ import annotations

import typing as t
from collections.abc import Callable

import pytest
from tests.services.by_hand import HandEngine, HandTransport


@pytest.fixture
def engine() -> HandEngine:
    return HandEngine()


@pytest.fixture
def connect(engine: HandEngine) -> Callable[[t.Any], HandTransport]:
    """Connect a protocol to a new transport, and return that."""

    def made(protocol: t.Any) -> HandTransport:
        transport = HandTransport(engine)
        transport.protocol = protocol
        protocol.connection_made(transport)
        return transport

    return made
