"""Workers: one room over several processes, which are killed, replaced, stopped and drained."""

from __future__ import annotations

import os
import select
import signal
import socket
import ssl
import sys
import typing as t
from pathlib import Path

import pytest
from tests.certificates import certificates, needs_openssl
from tests.cli.process import run
from tests.households import (
    LOCAL,
    Crowd,
    Household,
    Member,
    children,
    is_gone,
    kill,
    needs_proc,
)
from tests.support import PATIENCE, receive_all, receive_until, until

from jackfield import engines, supervisor
from jackfield.engines.base import Options
from jackfield.engines.family import Child
from jackfield.kernel import processes
from jackfield.kernel.processes import Ended
from jackfield.supervisor import Supervisor, Worker

pytestmark = needs_proc

ACCEPT: t.Final = ("shared", "reuseport")


def workers(directory: Path, *options: str, count: int = 2) -> Household:
    return Household.of(directory, "--workers", str(count), *options)


def spread(crowd: Crowd, processes: int) -> dict[int, list[Member]]:
    """The members by process, once every process has some: which one accepts is chance."""
    until(lambda: len(crowd.by_process()) == processes or not crowd.enter())
    return crowd.by_process()


def numbered(lines: list[bytes], sender: int) -> list[int]:
    """The sequence numbers in ``sender``'s messages, in the order in which they were read."""
    own = b"from %d " % sender
    return [int(line.rpartition(b" ")[2]) for line in lines if line.startswith(own)]


# --- one order -----------------------------------------------------------------------------------


@pytest.mark.parametrize("accept", ACCEPT)
def test_500_members_over_two_workers_and_one_is_killed_in_full_traffic(
    tmp_path: Path, accept: str
) -> None:
    """Everybody reads the same order, nothing is lost or doubled; those of the dead worker read a
    part of it without a hole; the worker comes back."""
    with workers(tmp_path, "--accept", accept) as household, Crowd(household.port(), 500) as crowd:
        parent = household.pid
        served = crowd.by_process()
        assert sorted(served) == sorted(children(parent))
        began = {member: len(member.lines) for member in crowd.members}
        doomed, staying = served
        senders = {member: number for number, member in enumerate(crowd.members[::10])}
        said = dict.fromkeys(senders, 0)
        enough = 40

        def speak(member: Member) -> None:
            """One message under way per sender: the next one when it has heard its last."""
            if said[member] < enough:
                member.say(b"from %d %d" % (senders[member], said[member]))
                said[member] += 1

        def heard(member: Member, lines: list[bytes]) -> None:
            if member in senders and not member.ended:
                own = b"from %d " % senders[member]
                for line in lines:
                    if line.startswith(own):
                        speak(member)

        for member in senders:
            speak(member)
        crowd.pump(lambda: min(said.values()) >= 10, heard)
        kill(doomed, signal.SIGKILL)
        crowd.pump(lambda: all(member.ended for member in served[doomed]), heard)
        survivors = [member for member in senders if member.pid == staying]
        last = {b"from %d %d" % (senders[member], enough - 1) for member in survivors}
        crowd.pump(
            lambda: all(last <= set(member.lines[-600:]) for member in served[staying]), heard
        )

        heard_by = {member: member.lines[began[member] :] for member in crowd.members}
        order = heard_by[served[staying][0]]
        assert all(heard_by[member] == order for member in served[staying])
        for sender, number in senders.items():
            complete = enough if sender in survivors else len(numbered(order, number))
            assert numbered(order, number) == list(range(complete))
        for member in served[doomed]:
            assert heard_by[member] == order[: len(heard_by[member])]

        until(lambda: len(children(parent)) == 2 and doomed not in children(parent))
        newcomers = Crowd(crowd.port, 0)
        with newcomers:
            until(lambda: {new.pid for new in newcomers.members} - {staying} or newcomers.enter())
            newcomers.members[-1].say(b"hello from the new worker")
            crowd.pump(lambda: b"hello from the new worker" in served[staying][0].lines)


@pytest.mark.parametrize("engine", ["auto", "select", "asyncio", "uvloop"])
def test_the_room_of_the_front_page_is_one_room(tmp_path: Path, engine: str) -> None:
    """The example as it is, but for the line that serves it."""
    if engine != "auto" and engines.missing(engine):
        pytest.skip(str(engines.missing(engine)))
    source = (Path(__file__).parent.parent / "examples" / "room.py").read_text()
    module = source[: source.index("serve(")].replace(", serve", "")
    options = ("--workers", "2", "--engine", engine)
    with Household.of(tmp_path, *options, module=module) as household:
        port = household.port()
        people = [socket.create_connection(("127.0.0.1", port)) for _ in range(20)]
        try:
            for number, person in enumerate(people):
                person.settimeout(PATIENCE)
                person.send(b"here is %d." % number)
                receive_until(person, b"here is %d." % number)  # all before it read it, too
            for person in people[:-1]:
                receive_until(person, b"here is 19.")
            for number, person in enumerate(people):
                person.send(b"%d speaks." % number)
                for other in people:
                    receive_until(other, b"%d speaks." % number)
        finally:
            for person in people:
                person.close()


def test_the_users_of_a_dead_worker_leave_the_chat(tmp_path: Path) -> None:
    with Household("serve", "chat", LOCAL, "--workers", "2", "--log-level", "warning") as household:
        port = household.port()
        household.await_children(2)
        people: list[Member] = []

        def come() -> None:
            people.append(Member(port))
            people[-1].read_to(b"-- guest-%d joined lobby\r" % len(people))

        while len(people) < 12:
            come()
        victim = household.await_children(2)[0]
        kill(victim, signal.SIGKILL)
        watching: Member | None = None
        for number, person in enumerate(people, 1):  # whoever still gets an answer is alive
            try:
                person.say(b"/msg guest-%d still here" % number)
                person.read_to(b"[guest-%d -> you] still here\r" % number)
            except (AssertionError, OSError):
                person.ended = True
            else:
                watching = watching or person
        assert watching is not None, "twelve were served by one worker of two"
        gone = [number for number, person in enumerate(people, 1) if person.ended]
        for number in gone:
            until(
                lambda number=number: (  # type: ignore[misc]
                    b"-- guest-%d left lobby\r" % number in watching.lines
                    or watching.read() is None
                )
            )
        left = [line for line in watching.lines if line.endswith(b" left lobby\r")]
        assert left == [b"-- guest-%d left lobby\r" % number for number in gone]
        until(lambda: victim not in children(household.pid))
        come()
        for person in people:
            person.close()


# --- replacing -----------------------------------------------------------------------------------


@pytest.mark.parametrize("accept", ACCEPT)
def test_workers_are_replaced_under_load_and_nobody_is_refused_or_cut(
    tmp_path: Path, accept: str
) -> None:
    """200 clients at a time come, chat and go, while SIGHUP is sent twice."""
    with workers(tmp_path, "--accept", accept) as household, Crowd(household.port(), 0) as crowd:
        before = household.await_children(2)
        steps: dict[Member, int] = {}
        finished: list[int] = []
        names = iter(range(1_000_000))

        def come() -> None:
            member = Member(crowd.port)
            crowd.admit(member)
            steps[member] = next(names)
            member.say(b"one %d" % steps[member])

        def heard(member: Member, lines: list[bytes]) -> None:
            name = steps[member]
            if b"one %d" % name in lines:
                member.say(b"two %d" % name)
            if b"two %d" % name in lines:
                member.sock.shutdown(socket.SHUT_WR)
                steps[member] = -1
            if member.ended:
                assert name == -1, "cut off"
                finished.append(member.pid)
                del steps[member]
                member.close()
                come()

        for _ in range(200):
            come()
        crowd.pump(lambda: len(finished) > 200, heard)
        generations = [before]
        for _ in range(2):
            kill(household.pid, signal.SIGHUP)
            crowd.pump(
                lambda: (
                    not set(children(household.pid)) & set(generations[-1])
                    and len(children(household.pid)) == 2
                ),
                heard,
            )
            generations.append(children(household.pid))
        done = len(finished)
        crowd.pump(lambda: len(finished) > done + 400, heard)
        assert set(finished[-50:]) <= set(generations[-1])
        assert len({pid for generation in generations for pid in generation}) == 6


def test_who_stays_is_served_by_a_retired_worker_as_long_as_it_likes(tmp_path: Path) -> None:
    with (
        workers(tmp_path, "--log-level", "info") as household,
        Crowd(household.port(), 1) as crowd,
    ):
        staying = crowd.members[0]
        kill(household.pid, signal.SIGHUP)
        household.expect(r"worker 0 retires pid=\d+")
        household.expect(r"worker 1 retires pid=\d+")
        household.await_children(3)
        until(lambda: elsewhere(crowd, staying.pid))  # it may not have heard yet that it retires
        other = crowd.members[-1]
        assert staying.pid in children(household.pid)
        staying.say(b"old to new")
        other.read_to(b"old to new")
        other.say(b"new to old")
        staying.read_to(b"new to old")
        retired = staying.pid
        crowd.leave(staying)
        until(lambda: is_gone(retired))
        assert len(household.await_children(2)) == 2
        other.say(b"still here")
        other.read_to(b"still here")


def elsewhere(crowd: Crowd, retired: int) -> bool:
    """Let somebody enter. Is it served by another process than this one?"""
    member = crowd.enter()
    if member.pid == retired:
        crowd.leave(member)
    return member.pid != retired


# --- ending --------------------------------------------------------------------------------------


def test_sigterm_drains_everybody_and_leaves_nothing(tmp_path: Path) -> None:
    with Household("serve", "chat", LOCAL, "--workers", "2", "--log-level", "warning") as household:
        port = household.port()
        pids = household.await_children(2)
        people = [Member(port) for _ in range(8)]
        for person in people:
            person.read_to(b"-- /nick NAME chooses a name, /help shows the other commands\r")
        kill(household.pid, signal.SIGTERM)
        for person in people:
            while not person.ended:
                person.read()
            assert person.lines[-1] == b"-- disconnected: the server is shutting down\r"
            person.close()
        assert household.ended() == 0
        assert all(map(is_gone, pids))
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port))


UNREAD: t.Final = """
from jackfield import Protocol

class Everyone(Protocol):
    def connection_made(self, transport):
        transport.write(bytes(1 << 25))
"""


def test_a_second_sigterm_ends_at_once(tmp_path: Path) -> None:
    options = ("--workers", "2", "--drain", "3600")
    with Household.of(tmp_path, *options, module=UNREAD) as household:
        port = household.port()
        pids = household.await_children(2)
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as client:
            assert client.recv(1) == b"\0"  # and no more: its outbox cannot be flushed
            kill(household.pid, signal.SIGTERM)
            until(lambda: refused(port))
            assert household.process.poll() is None
            assert household.terminate() == 0
        assert all(map(is_gone, pids))


def refused(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=PATIENCE).close()
    except ConnectionRefusedError:
        return True
    except ConnectionResetError:  # it was in the backlog
        pass
    return False


def test_workers_end_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    with workers(tmp_path) as household, Crowd(household.port(), 2) as crowd:
        pids = household.await_children(2)
        kill(household.pid, signal.SIGKILL)
        crowd.pump(lambda: all(member.ended for member in crowd.members))
        until(lambda: all(map(is_gone_or_zombie, pids)))


def is_gone_or_zombie(pid: int) -> bool:
    """It has ended; whoever inherited it may not have reaped it yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_signals_of_a_terminal_are_the_parent_s(tmp_path: Path) -> None:
    """Ctrl-C and a hangup go to the whole group: workers must not die before they are told."""
    with workers(tmp_path) as household, Crowd(household.port(), 4) as crowd:
        for pid in household.await_children(2):
            for number in processes.PARENTS:
                kill(pid, number)
        for member in crowd.members:
            member.say(b"alive")
            member.read_to(b"alive")


# --- trouble -------------------------------------------------------------------------------------


@pytest.mark.parametrize("accept", ACCEPT)
def test_a_stopped_worker_does_not_stall_the_others(tmp_path: Path, accept: str) -> None:
    """Not even when more is said than fits its link; when it goes on, it has missed nothing."""
    with workers(tmp_path, "--accept", accept) as household, Crowd(household.port(), 2) as crowd:
        served = spread(crowd, 2)
        stopped, going = served
        kill(stopped, signal.SIGSTOP)
        speaker = served[going][0]
        for number in range(64):
            speaker.say(b"%d " % number + bytes(65536).replace(b"\0", b"x"))
            speaker.read_to(b"%d " % number + b"x" * 65536)
        if accept == "shared":  # with a listener each, who is given to the stopped one waits
            assert crowd.enter().pid == going
        speaker.say(b"the last")
        kill(stopped, signal.SIGCONT)
        listener = served[stopped][0]
        listener.read_to(b"the last")
        said = [line.partition(b" ")[0] for line in listener.lines if len(line) > 65536]
        assert said == [b"%d" % number for number in range(64)]


def test_when_the_hub_does_not_keep_up_clients_are_held_back(tmp_path: Path) -> None:
    """By TCP: no process keeps what it cannot hand on, and in the end nothing is lost."""
    line = b"x" * 999 + b"\n"
    with workers(tmp_path, count=1) as household, Crowd(household.port(), 1) as crowd:
        [member] = crowd.members
        kill(household.pid, signal.SIGSTOP)
        member.sock.setblocking(False)
        sent = pour(member.sock, line * 1000, 1 << 28)
        kill(household.pid, signal.SIGCONT)
        assert sent < 1 << 28, "it took everything"
        member.sock.settimeout(PATIENCE)
        member.sock.sendall(line[sent % len(line) :] + b"the end\n")
        member.read_to(b"the end")
        assert member.lines.count(line[:-1]) == sent // len(line) + 1


def pour(sock: socket.socket, data: bytes, most: int) -> int:
    """Send ``data`` over and over until nothing more is taken for a while, or ``most`` bytes."""
    sent = 0
    while sent < most and select.select([], [sock], [], 0.3)[1]:
        sent += sock.send(data[sent % len(data) :])
    return sent


DIES: t.Final = """
import os
from jackfield import Protocol

os.register_at_fork(after_in_child=lambda: os._exit(7))

class Everyone(Protocol):
    pass
"""


def test_a_worker_that_dies_at_once_is_started_again_and_again(tmp_path: Path) -> None:
    with Household.of(tmp_path, "--workers", "1", module=DIES) as household:
        pids = {
            household.expect(r"warning: worker 0 ended pid=(\d+) status 7")[1] for _ in range(4)
        }
        assert len(pids) == 4
        assert household.terminate() == 0


class Sparse(Supervisor):
    """Without processes: what it would have started, and when."""

    def __init__(self, count: int = 1) -> None:
        super().__init__(count, t.cast(t.Any, None), Options())  # nobody is made
        self.delays: list[float] = []
        self.retired: list[int] = []
        self._family: t.Any = self
        self._numbers = iter(range(1, 1 << 20))
        self.refuses = False

    def call_later(self, delay: float, callback: t.Any, *args: t.Any) -> t.Any:
        self.delays.append(delay)
        return super().call_later(delay, callback, *args)

    def bear(self, what: Worker) -> Child:
        if self.refuses:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        child = Child(next(self._numbers), what)
        child.pid = child.process
        return child

    def retire(self, child: t.Any = None) -> None:
        self.retired.append(child.pid)

    def die(self, worker: Worker) -> None:
        assert worker.child is not None
        self.child_ended(worker.child, Ended(7, 0))


@pytest.fixture
def sparse() -> t.Iterator[Sparse]:
    sparse = Sparse()
    yield sparse
    sparse.close()


def test_each_death_soon_after_the_last_waits_twice_as_long(sparse: Sparse) -> None:
    [worker] = sparse._workers
    for _ in range(2000):  # a float overflows at 1024 doublings
        sparse._start(worker)
        sparse.die(worker)
    assert sparse.delays[:5] == [0.1, 0.2, 0.4, 0.8, 1.6]
    assert sparse.delays[20:] == [supervisor.LONGEST_BACK_OFF] * 1980


def test_one_that_has_lived_is_started_again_soon(
    sparse: Sparse, monkeypatch: pytest.MonkeyPatch
) -> None:
    [worker] = sparse._workers
    for _ in range(5):
        sparse._start(worker)
        sparse.die(worker)
    sparse._start(worker)
    worker.started -= supervisor.SETTLED + 1
    sparse.die(worker)
    assert sparse.delays[-1] == supervisor.BACK_OFF


def test_a_fork_that_is_refused_is_tried_again(
    sparse: Sparse, caplog: pytest.LogCaptureFixture
) -> None:
    [worker] = sparse._workers
    sparse.refuses = True
    sparse._start(worker)
    assert worker.child is None
    assert sparse.delays == [0.1]
    assert "could not be forked" in caplog.text


def test_one_place_has_one_worker_whoever_starts_it(sparse: Sparse) -> None:
    """SIGHUP while a start is waiting, or has been asked for: one start is enough."""
    [worker] = sparse._workers
    sparse._start(worker)
    sparse._start(worker)
    assert worker.child is not None
    assert worker.child.pid == 1
    sparse.die(worker)
    sparse.replace_all()
    assert worker.timer is None
    assert worker.child.pid == 2


def test_the_old_one_retires_when_the_new_one_serves_and_not_before(sparse: Sparse) -> None:
    [worker] = sparse._workers
    sparse._start(worker)
    old = worker.child
    assert old is not None
    sparse.replace_all()
    sparse.child_ready(old)  # it was slow to start
    assert sparse.retired == []
    sparse.die(worker)  # the new one does not come up
    sparse._start(worker)
    new = worker.child
    assert new is not None
    sparse.child_ready(new)
    assert sparse.retired == [old.pid]
    sparse.child_ended(old, Ended(0, 0))
    assert worker.child is new
    assert not sparse._to_replace


def test_a_second_request_replaces_those_again_that_were_forked_before_it() -> None:
    sparse = Sparse(2)
    first, second = sparse._workers
    sparse._start(first)
    sparse._start(second)
    sparse.replace_all()
    sparse.replace_all()
    for worker in (first, second, first):
        assert worker.child is not None
        sparse.child_ready(worker.child)
    assert sparse.retired == [1, 2, 3]
    assert not sparse._to_replace
    sparse.close()


# --- sockets -------------------------------------------------------------------------------------


def test_a_unix_socket_outlives_its_workers_and_not_the_server(short_directory: Path) -> None:
    path = short_directory / "echo"
    with Household("serve", "echo", f"unix:{path}", "--workers", "2") as household:
        household.expect("listening unix:.*")
        first = household.await_children(2)
        for pid in first:
            kill(pid, signal.SIGTERM)  # each unlinks nothing: it is not its file
        until(lambda: not set(first) & set(children(household.pid)))
        household.await_children(2)
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(PATIENCE)
            client.connect(str(path))
            client.send(b"hello")
            assert client.recv(10) == b"hello"
        assert household.terminate() == 0
    assert not path.exists()


@pytest.mark.parametrize("accept", ["auto", *ACCEPT])
def test_an_inherited_listener_is_shared(accept: str) -> None:
    """Nobody asked for SO_REUSEPORT when it was bound, so no other can have its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        fd = listener.fileno()
        options = ("--workers", "2", "--accept", accept)
        with Household("serve", "echo", f"fd://{fd}", *options, pass_fds=(fd,)) as household:
            household.expect("listening tcp:.*")
            address = listener.getsockname()
            listener.close()
            for _ in range(4):
                with socket.create_connection(address, timeout=PATIENCE) as client:
                    client.send(b"hello")
                    assert client.recv(10) == b"hello"
            assert household.terminate() == 0


def test_a_port_in_use_is_refused_and_not_shared_with_a_stranger() -> None:
    """Two servers of one user, each with SO_REUSEPORT, would silently share their clients."""
    with Household("serve", "echo", LOCAL, "--workers", "1") as household:
        endpoint = f"tcp://127.0.0.1:{household.port()}"
        second = run("serve", "echo", endpoint, "--workers", "1")
    assert second.returncode != 0
    assert "in use" in second.stderr


def test_datagrams_are_answered_whichever_worker_takes_them() -> None:
    with Household("serve", "echo", "udp://127.0.0.1:0", "--workers", "2") as household:
        port = household.port()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(PATIENCE)
            client.connect(("127.0.0.1", port))
            for number in range(20):
                client.send(b"%d" % number)
                assert client.recv(10) == b"%d" % number


@needs_openssl
def test_tls_and_a_renewed_certificate(tmp_path: Path) -> None:
    """SIGHUP reads the certificate again, and the new workers have it."""
    used = tmp_path / "cert.pem", tmp_path / "key.pem"
    first, second = (
        certificates().issue("127.0.0.1"),
        certificates().issue("127.0.0.1", "127.0.0.2"),
    )

    def install(pair: t.Any) -> None:
        for path, source in zip(used, (pair.certificate, pair.key), strict=True):
            path.write_bytes(Path(source).read_bytes())

    install(first)
    options = ("--tls-cert", str(used[0]), "--tls-key", str(used[1]), "--workers", "2")
    with Household("serve", "echo", "tls://127.0.0.1:0", *options) as household:
        port = int(household.expect(r"listening tls://.*:(\d+) fd=.*")[1])
        context = ssl.create_default_context(cafile=certificates().authority)

        def names() -> int:
            """How many names the certificate of a new connection has."""
            with (
                socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as raw,
                context.wrap_socket(raw, server_hostname="127.0.0.1") as client,
            ):
                client.send(b"hello")
                assert client.recv(10) == b"hello"
                certificate: t.Any = client.getpeercert()
                return len(certificate["subjectAltName"])

        assert names() == 1
        before = household.await_children(2)
        install(second)
        kill(household.pid, signal.SIGHUP)
        until(lambda: not set(before) & set(children(household.pid)))
        assert {names() for _ in range(6)} == {2}


def test_the_proxy_header_under_workers(tmp_path: Path) -> None:
    options = ("--workers", "2", "--proxy-from", "127.0.0.1")
    with Household("serve", "echo", LOCAL, *options) as household:
        port = household.port()
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as client:
            client.sendall(b"PROXY TCP4 192.0.2.7 127.0.0.1 5000 1\r\nhello")
            assert client.recv(10) == b"hello"
        household.expect(r"proxied fd=\d+ peer=192.0.2.7:5000 .*")


@pytest.mark.parametrize("engine", ["fork", "thread"])
def test_workers_with_an_engine_of_many_are_refused(engine: str) -> None:
    said = run("serve", "echo", LOCAL, "--workers", "2", "--engine", engine)
    assert said.returncode == 2
    assert said.stderr.startswith("jackfield: workers run a one-thread engine (")
    assert said.stderr.endswith(f"not {engine}\n")


def test_everything_that_was_printed_in_a_worker_arrives(tmp_path: Path) -> None:
    module = "from jackfield import Protocol\nprint('loading')\n" + (
        "class Everyone(Protocol):\n"
        "    def connection_made(self, transport):\n"
        "        print('served')\n"
        "        transport.close()\n"
    )
    (tmp_path / "household.py").write_text(module)
    said = tmp_path / "said"
    script = f"exec {sys.executable} -m jackfield serve household:Everyone {LOCAL} --workers 2"
    command = ("sh", "-c", f"{script} > {said}")
    with Household(command=command, cwd=tmp_path) as household:
        with socket.create_connection(("127.0.0.1", household.port()), timeout=PATIENCE) as client:
            assert receive_all(client) == b""
        assert household.terminate() == 0
    assert sorted(said.read_text().split()) == ["loading", "served"]


def test_the_number_of_cores() -> None:
    assert 1 <= supervisor.cores() <= (os.cpu_count() or 1)
