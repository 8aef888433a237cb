"""What engines refuse, as docs/engines.md lists it, is refused clearly: in one line, before anybody
is served, and with nothing left open. ``test_engines_page`` runs what the page shows, and
``test_handlers`` has what coroutines may not."""

from __future__ import annotations

import os
import re
import socket
import threading
import typing as t
from pathlib import Path

import pytest
from tests.contracts.running import Echo
from tests.households import Household, descriptors, needs_proc
from tests.support import PATIENCE, receive_all, require_descriptors

from jackfield import Server, engines
from jackfield.errors import UsageError
from jackfield.pollers.select import FD_SETSIZE

LOCAL: t.Final = "tcp://127.0.0.1:0"
SEVERAL: t.Final[list[dict[str, t.Any]]] = [{"engine": "fork"}, {"workers": 1}]
"""Options of servers with several processes."""


@needs_proc
@pytest.mark.parametrize("second", SEVERAL)
@pytest.mark.parametrize("first", SEVERAL)
def test_a_second_server_with_several_processes(
    first: dict[str, t.Any], second: dict[str, t.Any]
) -> None:
    with Server(LOCAL, Echo, drain=0, **first) as running:
        forked = threading.Event()
        running.engine.call_soon(forked.set)  # behind what starts the worker
        assert forked.wait(PATIENCE)
        before = descriptors(os.getpid())
        for start in ("start", "run"):
            server = Server(LOCAL, Echo, drain=0, **second)
            with pytest.raises(UsageError, match="is running in this process already") as refused:
                getattr(server, start)()
            assert "\n" not in str(refused.value)
            assert descriptors(os.getpid()) == before
    with Server(LOCAL, Echo, drain=0, **second):  # one after the other is fine
        pass


@needs_proc
@pytest.mark.parametrize("options", SEVERAL)
def test_of_two_that_were_opened_before_the_second_closes_all(options: dict[str, t.Any]) -> None:
    first, second = Server(LOCAL, Echo, drain=0, **options), Server(LOCAL, Echo, **options)
    before = descriptors(os.getpid())
    first.open()
    second.open()
    first.start()
    with pytest.raises(UsageError, match="is running in this process already"):
        second.engine.run()
    second.stop()
    first.stop()
    assert descriptors(os.getpid()) == before


def test_workers_where_the_system_cannot_fork(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "fork", raising=False)
    with pytest.raises(UsageError, match=r"^workers are forked, and this system cannot fork"):
        Server(LOCAL, Echo, workers=2)
    with pytest.raises(UsageError, match=r"^engine fork is not available here: this system cannot"):
        Server(LOCAL, Echo, engine="fork")


@pytest.mark.parametrize("name", ["iterative", "thread", "fork"])
def test_workers_of_an_engine_that_is_not_one_thread_for_many(name: str) -> None:
    with pytest.raises(UsageError, match=rf"^workers run a one-thread engine \(.*\), not {name}$"):
        Server(LOCAL, Echo, engine=name, workers=2)


CROWDED: t.Final = f"""
import os
from jackfield import LineProtocol

kept = []

class Everyone(LineProtocol):
    def line_received(self, line):
        while not kept or kept[-1] < {FD_SETSIZE}:
            kept.append(os.open(os.devnull, os.O_RDONLY))
        self.send_line(line)
"""


@needs_proc
def test_select_turns_away_who_is_beyond_fd_setsize_and_serves_the_others(tmp_path: Path) -> None:
    if engines.missing("select"):
        pytest.skip("no engine select here")
    require_descriptors(FD_SETSIZE + 2)
    with Household.of(tmp_path, "--engine", "select", module=CROWDED) as household:
        address = ("127.0.0.1", household.port())
        with socket.create_connection(address, timeout=PATIENCE) as served:
            for line in (b"before\r\n", b"after\r\n"):
                served.sendall(line)
                assert served.recv(100) == line
                with socket.create_connection(address, timeout=PATIENCE) as refused:
                    assert receive_all(refused) == b""
        said = household.expect(r"warning: refused peer=.* reason=descriptor-too-large")[0]
        assert re.search(r"peer=127\.0\.0\.1:\d+ ", said)
        assert household.terminate() == 0
