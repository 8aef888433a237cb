"""The chat in several processes: whatever travels when, all copies agree, and users notice nothing.

The processes are objects here, and a hub hands operations on as slowly as a test likes.
"""

from __future__ import annotations

import typing as t
from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.services.by_hand import HandEngine, HandTransport
from tests.services.chat.people import Person

from jackfield import limits, replicated
from jackfield.errors import ServerStopping
from jackfield.services.chat import names
from jackfield.services.chat.line_door import LineDoor
from jackfield.services.chat.replica import PROCESS_BITS, ChatReplica

LOSS: t.Final = -1


class Process:
    """One process: its copy of the chat, its users' engine, and what waits in both directions."""

    def __init__(self, hub: Hub, number: int) -> None:
        self.number = number
        self.replica = ChatReplica()
        self.engine = HandEngine()
        self.to_hub: deque[bytes] = deque()
        self.told: deque[tuple[int, bytes]] = deque()
        self.replica.bus = self
        self._hub = hub

    def publish(self, topic: int, operation: bytes) -> None:
        assert topic == self.replica.topic
        self.to_hub.append(operation)

    def come(self) -> Person:
        """Somebody connects here."""
        door = LineDoor(self.replica, flood=0)
        transport = HandTransport(self.engine)
        transport.protocol = door
        with pytest.MonkeyPatch.context() as monkeypatch:
            monkeypatch.setattr(replicated, "_process", self.number)
            door.connection_made(transport)
        return Person(door, transport)

    def apply(self) -> None:
        """The next operation's turn has come."""
        process, operation = self.told.popleft()
        if process == LOSS:
            self.replica.process_lost(int(operation))
        else:
            self.replica.apply(operation)


class Hub:
    """Takes from whom it is told to; everybody gets everything in that order."""

    def __init__(self, count: int) -> None:
        self.processes = [Process(self, number) for number in range(count)]
        self.lost: set[int] = set()

    @property
    def living(self) -> list[Process]:
        return [process for process in self.processes if process.number not in self.lost]

    def order(self, process: Process) -> None:
        """The next thing that ``process`` said gets its place."""
        if process.to_hub:
            self._tell(process.number, process.to_hub.popleft())

    def _tell(self, process: int, operation: bytes) -> None:
        for each in self.living:
            each.told.append((process, operation))

    def lose(self, process: Process) -> None:
        """It is gone, and so is what it said that had not arrived."""
        self.lost.add(process.number)
        self._tell(LOSS, b"%d" % process.number)

    def settle(self) -> None:
        """Until nothing is under way any more."""
        while any(process.to_hub or process.told or process.engine.ends for process in self.living):
            for process in self.living:
                self.order(process)
                while process.told:
                    process.apply()
                process.engine.settle()


@pytest.fixture
def hub() -> t.Iterator[Hub]:
    """Three processes, of which the first has no users: the parent. Afterwards all agree."""
    hub = Hub(3)
    yield hub
    hub.settle()
    check(hub)


class Town:
    """People by name, in processes 1 and 2, who have read everything so far."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.people: list[Person] = []

    def come(self, name: str, process: int) -> Person:
        person = self.hub.processes[process].come()
        person.type(f"/nick {name}")
        self.hub.settle()
        self.people.append(person)
        for each in self.people:
            each.read()
        return person

    def ask(self, person: Person, *lines: str) -> list[str]:
        """Type, and read what came of it alone."""
        person.read()
        person.type(*lines)
        self.hub.settle()
        return person.read()


@pytest.fixture
def town(hub: Hub) -> Town:
    return Town(hub)


# --- agreement -----------------------------------------------------------------------------------


def table(process: Process) -> object:
    """Everything that must be alike in every process."""
    chat = process.replica.chat
    return (
        {key: user.id for key, user in chat._users.items()},
        {
            user.id: (user.name, list(user.rooms), user.ignoring, user.prefix)
            for user in map(chat.by_id, chat.ids)
            if user
        },
        {key: (room.name, list(room.users)) for key, room in chat._rooms.items()},
        {key: room.room.history.last() for key, room in chat._rooms.items() if room.room.history},
    )


def check(hub: Hub) -> None:
    first = table(hub.processes[0])
    for process in hub.living:
        assert table(process) == first
        chat = process.replica.chat
        for user in chat._users.values():
            mine = user.id >> PROCESS_BITS == process.number
            assert (user.transport is not None) == mine == (user.id in process.replica._doors)
        for room in chat._rooms.values():
            here = {user.transport for user in room.users.values() if user.transport is not None}
            assert set(room.room) == here
            assert room.users or names.fold(room.name) == names.LOBBY


LINES = (
    "hello",
    "/nick alice",
    "/nick bob",
    "/nick ALICE",
    "/join tea",
    "/join coffee",
    "/part",
    "/part tea",
    "/me waves",
    "/msg alice psst",
    "/ignore alice",
    "/ignore bob",
    "/who",
    "/history 3",
    "/nonsense",
    "/quit",
)

scripts = st.lists(
    st.one_of(
        st.tuples(st.just("come"), st.integers(1, 2), st.just("")),
        st.tuples(st.just("type"), st.integers(0, 9), st.sampled_from(LINES)),
        st.tuples(st.just("type"), st.integers(0, 9), st.sampled_from(LINES)),
        st.tuples(st.just("leave"), st.integers(0, 9), st.just("")),
        st.tuples(st.just("order"), st.integers(0, 3), st.just("")),
        st.tuples(st.just("apply"), st.integers(0, 3), st.just("")),
        st.tuples(st.just("apply"), st.integers(0, 3), st.just("")),
        st.tuples(st.just("lose"), st.just(3), st.just("")),
    ),
    max_size=60,
)


@given(scripts)
def test_whatever_happens_all_copies_are_alike(script: list[tuple[str, int, str]]) -> None:
    hub = Hub(4)
    people = [hub.processes[1].come(), hub.processes[2].come(), hub.processes[3].come()]
    for verb, number, line in script:
        person = people[number % len(people)]
        process = hub.processes[number % 4]
        if verb == "come":
            people.append(hub.processes[number].come())
        elif verb == "type":
            person.send(line.encode() + b"\n")
        elif verb == "leave" and not person.transport.closing:
            person.leave()
        elif verb == "order" and process in hub.living:
            hub.order(process)
        elif verb == "apply" and process in hub.living and process.told:
            process.apply()
        elif verb == "lose" and process in hub.living:
            hub.lose(process)
    hub.settle()
    check(hub)


def test_members_everywhere_read_the_same(town: Town) -> None:
    people = [town.come(f"user{number}", 1 + number % 2) for number in range(4)]
    for turn in range(5):
        for number, person in enumerate(people):
            person.type(f"line {turn} of {number}")
    town.hub.settle()
    transcripts = [person.read() for person in people]
    assert all(transcript == transcripts[0] for transcript in transcripts)
    assert len(transcripts[0]) == 20


# --- names ---------------------------------------------------------------------------------------


def test_of_two_who_want_a_name_at_once_one_gets_it(town: Town) -> None:
    one, two = town.come("one", 1), town.come("two", 2)
    one.type("/nick alice")
    two.type("/nick Alice")
    town.hub.order(town.hub.processes[2])  # arrives first
    town.hub.settle()
    assert two.read() == ["-- two is now Alice"]
    assert one.read() == ["-- two is now Alice", "-- alice is taken"]


def test_guests_have_different_names_wherever_they_come(hub: Hub) -> None:
    people = [hub.processes[1 + number % 2].come() for number in range(6)]
    hub.settle()
    welcomes = [person.read()[0].split(";")[0] for person in people]
    assert len(set(welcomes)) == 6


def test_a_name_is_free_when_its_process_is_lost(town: Town) -> None:
    alice, bob = town.come("alice", 2), town.come("bob", 1)
    town.hub.lose(town.hub.processes[2])
    town.hub.settle()
    assert bob.read() == ["-- alice left lobby"]
    assert town.ask(bob, "/nick alice") == ["-- bob is now alice"]
    assert alice.read() == []  # the dead are told nothing


# --- from one to one -----------------------------------------------------------------------------


def test_a_message_reaches_who_is_elsewhere_and_is_confirmed_once(town: Town) -> None:
    alice, bob, carol = town.come("alice", 1), town.come("bob", 2), town.come("carol", 2)
    assert town.ask(alice, "/msg bob hi") == ["[you -> bob] hi"]
    assert bob.read() == ["[alice -> you] hi"]
    assert town.ask(bob, "/msg carol hi") == ["[you -> carol] hi"]
    assert carol.read() == ["[bob -> you] hi"]


def test_who_does_not_read_is_sent_nothing_and_the_sender_is_told(town: Town) -> None:
    alice, bob = town.come("alice", 1), town.come("bob", 2)
    bob.transport.waiting = limits.LAG_SOFT + 1
    assert town.ask(alice, "/msg bob hi") == [
        "-- bob is not reading at the moment; nothing was sent"
    ]
    assert bob.read() == []


def test_who_is_ignored_is_not_told_so(town: Town) -> None:
    alice, bob = town.come("alice", 1), town.come("bob", 2)
    assert town.ask(bob, "/ignore alice") == ["-- you ignore alice from now on"]
    assert town.ask(alice, "/msg bob hi") == ["[you -> bob] hi"]
    assert bob.read() == []
    assert town.ask(alice, "hello") == ["<alice> hello"]
    assert bob.read() == []
    assert town.ask(bob, "/ignore alice") == ["-- you hear alice again"]
    assert town.ask(alice, "hello again") == ["<alice> hello again"]
    assert bob.read() == ["<alice> hello again"]


def test_to_nobody(town: Town) -> None:
    alice = town.come("alice", 1)
    assert town.ask(alice, "/msg bob hi") == ["-- nobody here is called bob"]


def test_an_answer_to_who_has_left_meanwhile_is_nothing(town: Town) -> None:
    alice, bob = town.come("alice", 1), town.come("bob", 2)
    alice.type("/msg bob hi")
    town.hub.order(town.hub.processes[1])
    alice.leave()
    town.hub.settle()
    assert bob.read() == ["[alice -> you] hi", "-- alice left lobby"]


@pytest.mark.parametrize("line", ["/who", "/rooms", "/help", "/history", "/nick", "/ignore"])
def test_a_question_is_answered_once_and_to_its_asker(town: Town, line: str) -> None:
    alice, bob = town.come("alice", 1), town.come("bob", 2)
    answer = town.ask(alice, line)
    assert answer
    assert len(answer) == len(set(answer))
    assert bob.read() == []


# --- coming and going ----------------------------------------------------------------------------


def test_who_joins_reads_the_history_of_all(town: Town) -> None:
    alice, bob = town.come("alice", 1), town.come("bob", 2)
    town.ask(alice, "from alice")
    town.ask(bob, "from bob")
    late = town.hub.processes[1].come()
    town.hub.settle()
    assert late.read()[2:] == ["<alice> from alice", "<bob> from bob", "-- guest-3 joined lobby"]


def test_who_is_gone_before_it_came_leaves_no_trace(hub: Hub) -> None:
    watcher = hub.processes[1].come()
    hub.settle()
    watcher.read()
    brief = hub.processes[2].come()
    brief.leave()
    hub.settle()
    assert watcher.read() == ["-- guest-2 joined lobby", "-- guest-2 left lobby"]
    assert brief.read() == []


def test_who_ends_its_input_is_answered_before_it_is_closed(town: Town) -> None:
    alice, bob = town.come("alice", 1), town.come("bob", 2)
    bob.door.data_received(b"last words, no end of line")
    assert bob.door.eof_received()
    assert not bob.transport.closing
    town.hub.settle()
    assert bob.transport.closing
    assert bob.read() == ["<bob> last words, no end of line"]
    assert alice.read() == ["<bob> last words, no end of line", "-- bob left lobby"]


def test_a_server_that_stops_says_no_farewell_for_its_users(town: Town) -> None:
    alice, bob = town.come("alice", 1), town.come("bob", 2)
    bob.transport.evict(ServerStopping("the server is shutting down"))
    town.hub.settle()
    assert bob.read() == ["-- disconnected: the server is shutting down"]
    assert alice.read() == []


def test_quit_is_said_once(town: Town) -> None:
    alice, bob = town.come("alice", 1), town.come("bob", 2)
    bob.type("/quit", "not any more")
    town.hub.settle()
    bob.leave()
    town.hub.settle()
    assert bob.read() == ["-- goodbye"]
    assert alice.read() == ["-- bob left lobby"]
