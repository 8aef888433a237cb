"""What a jackfield server says of its own connections, beside what the kernel says of them.

    Asker.ask() in a thread of its own -> Told.of(socket, holders): name, outbox, where it lags

The kernel does not know nicknames, nor what waits in a server's own outbox behind a full queue.
A server that was started with ``--status-endpoint`` tells. It may take its time or be stopped, so
it is asked in the background, and the last answer counts. Its texts are not safe to print.
"""

from __future__ import annotations

import threading
import typing as t
from collections.abc import Callable

from jackfield.address import Endpoint
from jackfield.errors import JackfieldError
from jackfield.kernel.inet_diag import InetSocket
from jackfield.kernel.proc_net import Socket
from jackfield.tools import server_view, socket_facts
from jackfield.tools.fdtable import Holder
from jackfield.tools.server_view import Facts


class Own(t.NamedTuple):
    """One connection, in its server's own words."""

    label: str
    """A nickname, say; "" where its protocol gives none."""
    outbox: int
    """Bytes that wait in the server because the kernel takes no more."""
    lags_in: str
    """The room in which it lags; "" if it keeps up."""


class Told:
    """One answer. A connection is found by process and descriptor, or by its addresses where
    another user's descriptors are hidden from us."""

    def __init__(self, facts: Facts) -> None:
        lags = {_place(one): one.text("room") or "a room" for one in facts.each("lagging")}
        self._by_place: dict[tuple[int, int], Own] = {}
        self._by_address: dict[tuple[str, str], Own] = {}
        for one in facts.each("connections"):
            place = _place(one)
            own = Own(one.text("label"), one.count("outbox"), lags.get(place, ""))
            self._by_place[place] = own
            self._by_address[one.text("local"), one.text("peer")] = own

    def of(self, sock: Socket, holders: tuple[Holder, ...]) -> Own | None:
        """None for a socket that is none of its connections."""
        for one in holders:
            found = self._by_place.get((one.pid, one.fd))
            if found:
                return found
        if holders or not isinstance(sock, InetSocket) or not sock.dport:
            return None
        return self._by_address.get((socket_facts.local(sock), socket_facts.peer(sock)))


def _place(one: Facts) -> tuple[int, int]:
    return one.count("pid"), one.count("fd")


class Asker:
    """Asks the server behind ``endpoint``; ``view`` does the asking."""

    def __init__(
        self, endpoint: Endpoint, view: Callable[[Endpoint], Facts] = server_view.view
    ) -> None:
        self._endpoint = endpoint
        self._view = view
        self._thread: threading.Thread | None = None
        self.told: Told | None = None
        """The last answer; None before the first, and when the server does not answer any more."""
        self.note = ""
        """Why there is none."""

    def ask(self) -> None:
        """Begin to ask, unless the last question is still open."""
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._ask, daemon=True)
            self._thread.start()

    def ask_and_wait(self) -> None:
        """Ask now. Raises what ``view`` raises."""
        self.told = Told(self._view(self._endpoint))

    def _ask(self) -> None:
        try:
            self.ask_and_wait()
            self.note = ""
        except JackfieldError as exc:
            self.told, self.note = None, str(exc)
