"""Where a running server tells how it does: ``--status-endpoint``, opened, checked and described.

It shows who is connected: a Unix socket is its owner's alone (0600), and TCP is for loopback, where
every user of the machine may ask. What is told there is ``status_answer``'s, which is loaded only
by a server that has a status endpoint. Must not know engines.
"""

from __future__ import annotations

from jackfield import lazy_typing as t
from jackfield.address import AF_UNIX, Address, Endpoint, resolve
from jackfield.errors import UsageError
from jackfield.instrument import Instrument
from jackfield.kernel.sockets import Listener, listen

BACKLOG: t.Final = 16
"""Who asks is answered in milliseconds; a few may wait."""


class StatusEndpoint:
    """The status endpoint of one server, which has none where ``endpoint`` is "". Raises
    ``UsageError`` for what is neither TCP nor a Unix socket."""

    def __init__(self, endpoint: str | Endpoint) -> None:
        if isinstance(endpoint, Endpoint):
            self._endpoint: Endpoint | None = endpoint
        else:
            self._endpoint = Endpoint.parse(endpoint) if endpoint else None
        self.instruments: tuple[Instrument, ...] = ()
        """What has to hang on the server's engine."""
        self.listeners: list[Listener] = []
        if self._endpoint and self._endpoint.scheme not in ("unix", "tcp"):
            raise UsageError(
                f"status endpoint {self._endpoint}: it is unix:/path or tcp://127.0.0.1:port"
            )
        if self._endpoint:
            from jackfield.engines.view import Ledger

            self.instruments = (Ledger(),)

    def open(self) -> None:
        """Listen. Raises what ``kernel.sockets.listen`` raises, and ``UsageError`` for an address
        that others can reach."""
        if not self._endpoint:
            return
        addresses = resolve(self._endpoint, passive=True)
        for address in addresses:
            _require_local(address)
        self.listeners = [listen(address, BACKLOG) for address in addresses[:1]]

    def serve(self, engine: t.Any, *facts: t.Any) -> None:
        """Have ``engine`` answer. ``facts``: as ``status_answer.ServerFacts`` has them."""
        if not self.listeners:
            return
        from jackfield.tools.status_answer import Answering, ServerFacts, Teller

        teller = Teller(engine, ServerFacts(*facts), self.instruments)
        for listener in self.listeners:
            engine.listen_own(listener, lambda: Answering(engine, teller.tell))

    def close(self) -> None:
        """For one that no engine owns."""
        for listener in self.listeners:
            listener.close()

    def describe(self) -> list[str]:
        """A line that says where it is."""
        return [f"status at {one.address} fd={one.sock.fileno()}" for one in self.listeners]


def _require_local(address: Address) -> None:
    if address.family == AF_UNIX:
        return
    import ipaddress

    host = str(address.sockaddr[0]).partition("%")[0]
    if not ipaddress.ip_address(host).is_loopback:
        raise UsageError(
            f"status endpoint {address}: it tells who is connected, and others could ask; give "
            "unix:/path, which only you can reach, or tcp://127.0.0.1:port"
        )
