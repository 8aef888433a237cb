"""Behind a proxy: the PROXY header first, then the protocol, which sees the client's address.

    proxy's bytes --> ProxiedProtocol --header--> set_peername, set_protocol --> the protocol

Only listed peers are believed, and a listed one must send a header, within PROXY_TIMEOUT. A peer
that is not listed is closed at once: served as it is, on the same address, a port would be shared
between those that are believed and those that are not, which the protocol forbids
(proxy-protocol.txt, 2: "MUST not try to guess whether the protocol header is present or not").

The protocol takes the layer's place on the same transport, so a proxied connection costs nothing
after its header. The header comes before TLS: wrap the TLS factory in this one.

Must not know engines; of a transport it needs ``set_peername`` and ``set_protocol``.
"""

from __future__ import annotations

import ipaddress
import typing as t
from collections.abc import Callable, Iterable

from jackfield import limits
from jackfield.address import printable
from jackfield.errors import DeadlineError, NotAdmitted, ProxyHeaderError, UsageError
from jackfield.protocol import Protocol, SocketAddress
from jackfield.transports.buffered import give
from jackfield.wire.proxy_protocol import ProxyHeader, ProxyParser

UNIX: t.Final = "unix"
"""In the list of proxies: whoever may connect to our Unix sockets."""

Network: t.TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network


class Proxies:
    """Who is believed: addresses and networks (``127.0.0.1``, ``10.0.0.0/8``, ``::1``), and
    ``unix`` for every peer on a Unix socket. One text with commas, or several.

    Raises ``UsageError`` for what is neither.
    """

    __slots__ = ("_networks", "_unix")

    def __init__(self, listed: str | Iterable[str]) -> None:
        texts = [listed] if isinstance(listed, str) else listed
        names = [name.strip() for text in texts for name in text.split(",")]
        self._unix = UNIX in names
        self._networks = [_network(name) for name in names if name != UNIX]

    def __contains__(self, peername: SocketAddress) -> bool:
        if not isinstance(peername, tuple):
            return self._unix
        address = ipaddress.ip_address(peername[0])
        # An IPv4 peer of a socket for both families, as systemd makes them by default.
        address = getattr(address, "ipv4_mapped", None) or address
        return any(address in network for network in self._networks)


def _network(name: str) -> Network:
    try:
        return ipaddress.ip_network(name)
    except ValueError as exc:
        raise UsageError(
            f"proxy_from '{printable(name)}': {exc}; list the addresses or networks of your "
            f"proxies, for example 127.0.0.1,10.0.0.0/8, or {UNIX}"
        ) from exc


class ProxiedFactory:
    """Makes what reads a header from one of ``proxies`` and then ``factory()``'s protocol."""

    __slots__ = ("_factory", "_proxies")

    def __init__(self, proxies: Proxies, factory: Callable[[], t.Any]) -> None:
        self._proxies = proxies
        self._factory = factory

    def __call__(self) -> ProxiedProtocol:
        return ProxiedProtocol(self._proxies, self._factory)


class ProxiedProtocol(Protocol):
    """Stands in for the protocol until the header is there."""

    __slots__ = ("_factory", "_parser", "_proxies", "_timer", "_transport")

    reports_progress = True
    """A header is no message of the client's: no deadline of its is extended by it."""

    def __init__(self, proxies: Proxies, factory: Callable[[], t.Any]) -> None:
        self._proxies = proxies
        self._factory = factory
        self._parser = ProxyParser()
        self._transport: t.Any = None
        self._timer: t.Any = None

    def connection_made(self, transport: t.Any) -> None:
        self._transport = transport
        if transport.get_extra_info("peername") not in self._proxies:
            transport.evict(NotAdmitted("it is not listed as a proxy", "not-a-proxy"))
            return
        self._timer = transport.engine.call_later(limits.PROXY_TIMEOUT, self._too_late)

    def data_received(self, data: bytes) -> None:
        try:
            header = self._parser.feed(data)
        except ProxyHeaderError as exc:
            self._transport.evict(exc)
            return
        if header is not None:
            self._hand_over(header, self._parser.rest)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._stop_timer()

    def _too_late(self) -> None:
        self._timer = None
        message = f"no PROXY header within {limits.PROXY_TIMEOUT:g} s"
        self._transport.evict(DeadlineError(message, "proxy-timeout"))

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _hand_over(self, header: ProxyHeader, rest: bytes) -> None:
        """From here on the connection is the protocol's own.

        ``rest``, what came in one block with the header, is delivered even if the protocol
        paused reading in its ``connection_made``: one block at most.
        """
        self._stop_timer()
        transport = self._transport
        if header.source is not None:
            transport.set_peername(header.source)
            if transport.is_closing():  # too many of that host
                return
        protocol = self._factory()
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        if rest and not transport.is_closing():
            if not getattr(protocol, "reports_progress", False):
                transport.made_progress()
            give(transport, protocol, rest)
