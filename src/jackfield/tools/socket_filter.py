"""Which sockets a person asked for: by protocol, state, peer network and port.

``Filter`` is made from words; a wrong one raises ``UsageError``. Must not know processes.
"""

from __future__ import annotations

import ipaddress
import typing as t
from collections.abc import Iterable
from dataclasses import dataclass

from jackfield.errors import UsageError
from jackfield.kernel import sockdiag
from jackfield.kernel.inet_diag import InetSocket
from jackfield.kernel.proc_net import Socket
from jackfield.tools import socket_facts

Network: t.TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

ALIASES: t.Final = {
    "ESTAB": "ESTABLISHED",
    "CONNECTED": "ESTABLISHED",
    "UNCONN": "UNCONNECTED",
    "SYN-RECV": "SYN-RECEIVED",
    "FIN-WAIT1": "FIN-WAIT-1",
    "FIN-WAIT2": "FIN-WAIT-2",
    "LISTENING": "LISTEN",
    "CLOSE": "CLOSED",
}
"""What ss(8), lsof(8) and netstat(8) call states."""

STATES: t.Final = (*dict.fromkeys(sockdiag.STATES.values()), sockdiag.UNCONNECTED)


@dataclass(frozen=True, slots=True)
class Filter:
    """What is empty, None or False asks for nothing. A socket has to match all that is asked."""

    states: frozenset[str] = frozenset()
    peers: tuple[Network, ...] = ()
    listening: bool = False
    port: int | None = None

    @classmethod
    def of(
        cls,
        states: Iterable[str] = (),
        peers: Iterable[str] = (),
        listening: bool = False,
        port: int | None = None,
    ) -> Filter:
        """From what a person wrote. Raises ``UsageError``."""
        return cls(
            frozenset(_state(word) for word in states),
            tuple(_network(text) for text in peers),
            listening,
            port,
        )

    def __bool__(self) -> bool:
        """Is anything asked for?"""
        return bool(self.states or self.peers or self.listening or self.port is not None)

    def matches(self, sock: Socket) -> bool:
        """``listening`` takes listeners, and UDP sockets that hear anybody."""
        if self.states and socket_facts.state_of(sock) not in self.states:
            return False
        if self.listening and not _open_to_anybody(sock):
            return False
        if self.port is not None and not _has_port(sock, self.port):
            return False
        return not self.peers or _is_peer(sock, self.peers)


def _open_to_anybody(sock: Socket) -> bool:
    if socket_facts.listens(sock):
        return True
    return isinstance(sock, InetSocket) and sock.protocol == "udp" and not sock.dport


def _has_port(sock: Socket, port: int) -> bool:
    return isinstance(sock, InetSocket) and port in (sock.sport, sock.dport)


def _is_peer(sock: Socket, networks: tuple[Network, ...]) -> bool:
    if not isinstance(sock, InetSocket) or not sock.dport:
        return False
    address = ipaddress.ip_address(sock.dst)
    mapped = getattr(address, "ipv4_mapped", None)  # an IPv4 client of an IPv6 socket
    return any((mapped or address) in network or address in network for network in networks)


def _state(word: str) -> str:
    name = word.upper().replace("_", "-")
    name = ALIASES.get(name, name)
    if name not in STATES:
        known = " ".join(state.lower() for state in STATES)
        raise UsageError(f"unknown state {word!r}; known: {known}")
    return name


def _network(text: str) -> Network:
    try:
        return ipaddress.ip_network(text.strip("[]"), strict=False)
    except ValueError as exc:
        why = "is no address or network; write 10.0.0.1, 10.0.0.0/8 or 2001:db8::/32"
        raise UsageError(f"peer {text!r} {why}") from exc
