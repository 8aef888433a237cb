"""The fork engine: a process for each connection, and nothing left of it afterwards."""

from __future__ import annotations

import itertools
import os
import signal
import socket
import threading
import typing as t
from pathlib import Path

import pytest
from tests.cli.process import run
from tests.households import (
    LOCAL,
    Crowd,
    Household,
    Member,
    children,
    descriptors,
    is_gone,
    kill,
    needs_proc,
    sockets,
)
from tests.support import PATIENCE, receive_all, receive_until, until

from jackfield import Protocol, Room, Server, replicated
from jackfield.kernel import processes

pytestmark = needs_proc

FORK: t.Final = ("--engine", "fork")


def echo(*options: str, endpoint: str = LOCAL) -> Household:
    return Household("serve", "echo", endpoint, "--log-level", "warning", *FORK, *options)


def connect(port: int, source: str = "127.0.0.1") -> socket.socket:
    return socket.create_connection(
        ("127.0.0.1", port), timeout=PATIENCE, source_address=(source, 0)
    )


def answered(client: socket.socket) -> bool:
    """Is this client served? False: it was closed at once."""
    try:
        client.send(b"hello")
        return client.recv(10) == b"hello"
    except (ConnectionResetError, BrokenPipeError):
        return False


# --- children ------------------------------------------------------------------------------------


def test_1000_children_come_and_go() -> None:
    """No zombie, no descriptor more in the parent than before."""
    with echo() as household:
        port, parent = household.port(), household.pid
        before = descriptors(parent)
        for _ in range(20):
            clients = [connect(port) for _ in range(50)]
            for client in clients:
                assert answered(client)
                client.close()
        until(lambda: not children(parent))
        until(lambda: descriptors(parent) == before)
        assert household.terminate() == 0


def test_a_child_has_no_descriptor_of_another_client() -> None:
    """Its own socket, its link, and the wakeup's pair: no listener, no other's, none of the
    parent's."""
    with echo() as household:
        port, parent = household.port(), household.pid
        clients = [connect(port) for _ in range(6)]
        assert all(map(answered, clients))
        pids = household.await_children(6)
        # Standard streams, which may be sockets, are everybody's.
        streams = {os.readlink(f"/proc/{parent}/fd/{number}") for number in range(3)}

        def held() -> list[list[str]]:
            return [
                [name for name in sockets(pid) if name not in streams] for pid in (parent, *pids)
            ]

        until(lambda: {len(names) for names in held()[1:]} == {4})
        # The parent closes what it has accepted a moment after the child has begun to serve.
        until(lambda: (flat := list(itertools.chain(*held()))) and len(set(flat)) == len(flat))
        for client in clients:
            client.close()
        until(lambda: all(map(is_gone, pids)))


def test_a_child_that_is_killed_takes_its_client_alone(tmp_path: Path) -> None:
    with Household.of(tmp_path, *FORK) as household, Crowd(household.port(), 5) as crowd:
        victim, *others = crowd.members
        kill(victim.pid, signal.SIGKILL)
        crowd.pump(lambda: victim.ended)
        until(lambda: is_gone(victim.pid))
        assert household.expect("warning: process .*")[0].endswith("ended by signal SIGKILL")
        others[0].say(b"we are still here")
        for member in others:
            member.read_to(b"we are still here")


def test_a_protocol_may_block_without_stalling_anybody(tmp_path: Path) -> None:
    module = """
import os, signal
from jackfield import LineProtocol

class Everyone(LineProtocol):
    def line_received(self, line):
        self.send_line(b"pid %d" % os.getpid())
        if line == b"block":
            signal.pause()
"""
    with Household.of(tmp_path, *FORK, module=module) as household:
        port = household.port()
        blocked, other = Member(port), Member(port)
        blocked.say(b"block")
        blocked.read()
        other.say(b"hello")
        other.read()
        assert other.pid != blocked.pid
        kill(blocked.pid, signal.SIGKILL)
        for member in (blocked, other):
            member.close()


# --- one room ------------------------------------------------------------------------------------


def test_60_processes_are_one_room(tmp_path: Path) -> None:
    with Household.of(tmp_path, *FORK) as household, Crowd(household.port(), 60) as crowd:
        assert len(crowd.by_process()) == 60
        began = {member: len(member.lines) for member in crowd.members}
        for number, member in enumerate(crowd.members):
            member.say(b"from %d" % number)
        crowd.pump(lambda: all(len(member.lines) - began[member] >= 60 for member in crowd.members))
        heard = [member.lines[began[member] :] for member in crowd.members]
        assert all(lines == heard[0] for lines in heard)
        assert sorted(heard[0]) == sorted(b"from %d" % number for number in range(60))


# --- limits --------------------------------------------------------------------------------------


def test_max_connections() -> None:
    with echo("--max-connections", "3") as household:
        port = household.port()
        clients = [connect(port) for _ in range(3)]
        assert all(map(answered, clients))
        with connect(port) as refused:
            assert not answered(refused)
        household.expect(r"warning: refused peer=.* reason=max-connections")
        clients.pop().close()
        until(lambda: serves(port))
        for client in clients:
            client.close()


def test_max_per_host() -> None:
    with echo("--max-per-host", "2") as household:
        port = household.port()
        clients = [connect(port), connect(port)]
        assert all(map(answered, clients))
        with connect(port) as refused, connect(port, "127.0.0.2") as neighbour:
            assert not answered(refused)
            assert answered(neighbour)
        household.expect(r"warning: refused peer=127.0.0.1:.* reason=max-per-host")
        for client in clients:
            client.close()
        until(lambda: serves(port))


def serves(port: int) -> bool:
    with connect(port) as client:
        return answered(client)


def test_a_deadline_is_the_child_s_to_keep() -> None:
    with echo("--login-timeout", "0.05") as household:
        with connect(household.port()) as client:
            assert receive_all(client) == b""
        until(lambda: not children(household.pid))


def test_no_more_processes_allowed_refuses_one_client(monkeypatch: pytest.MonkeyPatch) -> None:
    refuse = threading.Event()
    fork = processes.fork

    def limited(work: t.Any) -> int:
        if refuse.is_set():
            raise BlockingIOError(11, "Resource temporarily unavailable")
        return fork(work)

    monkeypatch.setattr(processes, "fork", limited)
    with Server(LOCAL, Copies, engine="fork", drain=0) as server:
        port = server.addresses[0].port
        before = descriptors(os.getpid())
        assert serves(port)
        until(lambda: descriptors(os.getpid()) == before + 1)  # the link to the child
        refuse.set()
        assert not serves(port)
        until(lambda: descriptors(os.getpid()) == before + 1)
        refuse.clear()
        assert serves(port)
        assert server.engine.statistics().refused == 1


# --- sockets -------------------------------------------------------------------------------------


@pytest.mark.parametrize("endpoint", ["udp://127.0.0.1:0", "unixgram:{directory}/datagrams"])
def test_datagrams_are_refused_in_one_line(endpoint: str, short_directory: Path) -> None:
    said = run("serve", "echo", endpoint.format(directory=short_directory), *FORK)
    assert said.returncode == 2
    assert said.stderr == (
        "jackfield: the fork engine makes a process for each connection, and datagrams have none; "
        "use another engine for udp:// and unixgram:\n"
    )


def test_a_unix_socket_outlives_its_children_and_not_the_server(short_directory: Path) -> None:
    path = short_directory / "echo"
    with echo(endpoint=f"unix:{path}") as household:
        household.expect("listening unix:.*")
        for _ in range(3):
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(PATIENCE)
                client.connect(str(path))
                assert answered(client)
            until(lambda: not children(household.pid))
            assert path.exists()
        assert household.terminate() == 0
    assert not path.exists()


def test_the_proxy_header() -> None:
    with echo("--proxy-from", "127.0.0.1") as household, connect(household.port()) as client:
        client.sendall(b"PROXY TCP4 192.0.2.7 127.0.0.1 5000 1\r\nhello")
        assert client.recv(10) == b"hello"


# --- ending --------------------------------------------------------------------------------------


def test_sigterm_says_goodbye_to_everybody_and_leaves_nothing() -> None:
    options = ("--log-level", "warning", *FORK)
    with Household("serve", "chat", LOCAL, *options) as household:
        port = household.port()
        people = [connect(port) for _ in range(5)]
        for person in people:
            receive_until(person, b"joined lobby\r\n")
        # One that has connected and may not even be a process yet is told, too.
        people.append(connect(port))
        pids = children(household.pid)
        kill(household.pid, signal.SIGTERM)
        for person in people:
            last = receive_all(person).splitlines()[-1]
            assert last == b"-- disconnected: the server is shutting down"
            person.close()
        assert household.ended() == 0
        assert all(map(is_gone, pids))


def test_a_second_sigterm_ends_at_once(tmp_path: Path) -> None:
    module = """
from jackfield import Protocol

class Everyone(Protocol):
    def connection_made(self, transport):
        transport.write(bytes(1 << 25))
"""
    options = (*FORK, "--drain", "3600")
    with Household.of(tmp_path, *options, module=module) as household:
        port = household.port()
        with connect(port) as client:
            assert client.recv(1) == b"\0"  # and no more: its outbox cannot be flushed
            pids = household.await_children(1)
            kill(household.pid, signal.SIGTERM)
            until(lambda: refused(port))
            assert household.process.poll() is None
            assert household.terminate() == 0
        assert all(map(is_gone, pids))


def refused(port: int) -> bool:
    try:
        connect(port).close()
    except ConnectionRefusedError:
        return True
    except ConnectionResetError:  # it was in the backlog
        pass
    return False


# --- in a program --------------------------------------------------------------------------------


class Copies(Protocol):
    def connection_made(self, transport: t.Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


def test_in_a_thread_of_a_program_and_nothing_is_left_behind() -> None:
    room = Room()
    before = os.listdir("/proc/self/fd")
    for _ in range(2):
        with Server(LOCAL, Copies, engine="fork", drain=0) as server:
            clients = [connect(server.addresses[0].port) for _ in range(4)]
            assert all(map(answered, clients))
            assert replicated.connected()
            assert room in replicated.living()
            assert len(children_of_all_threads()) == 4
        assert children_of_all_threads() == []
        for client in clients:
            client.close()
        assert os.listdir("/proc/self/fd") == before
        assert not replicated.connected()
        assert room.bus is None
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def children_of_all_threads() -> list[str]:
    """Our children, whichever thread forked them."""
    tasks = Path("/proc/self/task")
    return [pid for task in tasks.iterdir() for pid in (task / "children").read_text().split()]


def test_a_program_may_publish_to_the_room_of_all_processes() -> None:
    room = Room()

    class Listens(Protocol):
        def connection_made(self, transport: t.Any) -> None:
            room.join(transport)
            transport.write(b"welcome.")

    with Server(LOCAL, Listens, engine="fork", drain=0) as server:
        clients = [connect(server.addresses[0].port) for _ in range(3)]
        for client in clients:
            receive_until(client, b"welcome.")
        server.engine.call_soon(room.publish, b"hello to all.")
        for client in clients:
            receive_until(client, b"hello to all.")
            client.close()
