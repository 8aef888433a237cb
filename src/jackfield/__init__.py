"""jackfield: serve many clients over sockets, and see every socket while you do.

Write one protocol (the callbacks are asyncio's), give it to ``serve`` or ``Server``; ``Room`` sends
one message to everybody. Names are loaded when they are first used, so that importing this
package costs nothing that is not needed.
"""

from __future__ import annotations

from jackfield import lazy_typing as t

if t.TYPE_CHECKING:
    from jackfield.address import Address, Endpoint, resolve
    from jackfield.engines.handlers import Stream
    from jackfield.errors import JackfieldError, UsageError
    from jackfield.instrument import Instrument, SocketCall
    from jackfield.protocol import BufferedProtocol, DatagramProtocol, Protocol
    from jackfield.rooms.room import Room
    from jackfield.server import Server, serve
    from jackfield.tls import TlsClientConfig, TlsConfig
    from jackfield.wire.frames import FrameProtocol
    from jackfield.wire.lines import LineProtocol

__version__ = "0.1.0"

_HOMES: t.Final = {
    "Address": "address",
    "BufferedProtocol": "protocol",
    "DatagramProtocol": "protocol",
    "Endpoint": "address",
    "FrameProtocol": "wire.frames",
    "Instrument": "instrument",
    "JackfieldError": "errors",
    "LineProtocol": "wire.lines",
    "Protocol": "protocol",
    "Room": "rooms.room",
    "Server": "server",
    "SocketCall": "instrument",
    "Stream": "engines.handlers",
    "TlsClientConfig": "tls",
    "TlsConfig": "tls",
    "UsageError": "errors",
    "resolve": "address",
    "serve": "server",
}

__all__ = [
    "Address",
    "BufferedProtocol",
    "DatagramProtocol",
    "Endpoint",
    "FrameProtocol",
    "Instrument",
    "JackfieldError",
    "LineProtocol",
    "Protocol",
    "Room",
    "Server",
    "SocketCall",
    "Stream",
    "TlsClientConfig",
    "TlsConfig",
    "UsageError",
    "__version__",
    "resolve",
    "serve",
]


def __getattr__(name: str) -> t.Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
