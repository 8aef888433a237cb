"""Rates, marks and sums: from looks that are made up."""

from __future__ import annotations

import typing as t

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.tools.top.looks import LISTEN, connection, listener, look, unix

from jackfield.kernel.proc_net import Socket
from jackfield.tools.fdtable import Holder
from jackfield.tools.server_view import Facts
from jackfield.tools.top.marks import Mark
from jackfield.tools.top.rows import SocketRow, Tracker, by_process
from jackfield.tools.top.server import Told


def history(*looks: tuple[float, Socket]) -> SocketRow:
    """The row after all of these looks at one socket."""
    tracker = Tracker()
    for at, sock in looks:
        (row,) = tracker.update(look(at, sock))
    return row


# --- rates ---------------------------------------------------------------------------------------


def test_rates_are_what_was_counted_between_two_looks() -> None:
    row = history(
        (10.0, connection(bytes_received=1000, bytes_acked=5)),
        (12.0, connection(bytes_received=5000, bytes_acked=5)),
    )
    assert (row.received, row.sent) == (2000.0, 0.0)


def test_the_first_look_has_no_rates() -> None:
    row = history((10.0, connection(bytes_received=1000)))
    assert (row.received, row.sent) == (None, None)


def test_a_new_connection_with_the_same_addresses_begins_anew() -> None:
    row = history(
        (1.0, connection(1, bytes_received=10**9)),
        (2.0, connection(2, dport=40001, bytes_received=7)),
    )
    assert row.received is None


def test_without_cookies_addresses_and_inode_tell_sockets_apart() -> None:
    one, other = connection(cookie=0, dport=1), connection(cookie=0, dport=2, inode=101)
    tracker = Tracker()
    tracker.update(look(1.0, one, other))
    rows = tracker.update(look(2.0, other, one))
    assert [row.sent for row in rows] == [0.0, 0.0]
    assert len({row.key for row in rows}) == 2


def test_two_looks_at_the_same_time_make_no_rate() -> None:
    row = history((1.0, connection()), (1.0, connection(bytes_acked=5)))
    assert row.sent is None


@given(st.lists(st.tuples(st.floats(0.001, 1e6), st.integers(0, 2**64 - 1)), max_size=6))
def test_any_counts_give_rates_that_are_not_negative(steps: list[tuple[float, int]]) -> None:
    tracker, at = Tracker(), 0.0
    for passed, count in steps:
        at += passed
        (row,) = tracker.update(look(at, connection(bytes_acked=count, bytes_received=count)))
        assert row.sent is None or row.sent >= 0
        assert row.mark == Mark.NONE


# --- marks ---------------------------------------------------------------------------------------


def test_a_full_accept_queue_is_marked_at_once() -> None:
    assert history((1.0, listener(waiting=7, backlog=8))).mark == Mark.NONE
    row = history((1.0, listener(waiting=8, backlog=8)))
    assert (row.mark, row.reason) == (Mark.ACCEPT_QUEUE, "accept queue full: 8 wait, 8 may")


def test_a_backlog_of_none_has_room_for_one() -> None:
    assert history((1.0, listener(waiting=0, backlog=0))).mark == Mark.NONE
    assert history((1.0, listener(waiting=1, backlog=0))).mark == Mark.ACCEPT_QUEUE


def test_a_backlog_that_is_not_told_is_never_full() -> None:
    from_proc = listener(cookie=0, waiting=3, backlog=0)
    assert history((1.0, from_proc)).mark == Mark.NONE


def test_a_unix_listener_can_be_full_too() -> None:
    row = history((1.0, unix(5, state=LISTEN, rqueue=2, wqueue=2)))
    assert row.mark == Mark.ACCEPT_QUEUE


def test_a_closed_window_is_marked_at_once() -> None:
    row = history((1.0, connection(wqueue=9000, snd_wnd=0)))
    assert row.mark == Mark.SLOW_READER
    assert row.reason == "the peer has closed its window; 9000 bytes wait"


@pytest.mark.parametrize(
    ("taken", "mark"), [(0, Mark.SLOW_READER), (8000, Mark.SLOW_READER), (9000, Mark.NONE)]
)
def test_who_closes_its_window_for_moments_of_a_fast_transfer_is_not_slow(
    taken: int, mark: Mark
) -> None:
    before = connection(wqueue=9000, snd_wnd=0)
    after = connection(wqueue=9000, snd_wnd=0, bytes_acked=taken)
    assert history((1.0, before), (2.0, after)).mark == mark


def test_the_persist_timer_says_it_where_the_window_is_not_told() -> None:
    plain = connection(wqueue=9000, snd_wnd=0)
    old = plain._replace(raw_tcp=plain.raw_tcp[:200])
    assert history((1.0, old)).mark == Mark.NONE
    assert history((1.0, old._replace(timer=4, retransmits=3))).mark == Mark.SLOW_READER


def test_a_closed_window_with_nothing_to_send_is_nobodys_trouble() -> None:
    assert history((1.0, connection(snd_wnd=0))).mark == Mark.NONE


def test_a_send_queue_that_does_not_drain_is_marked_when_it_has_settled() -> None:
    stuck = connection(wqueue=9000, bytes_acked=1)
    assert history((1.0, stuck), (1.9, stuck)).mark == Mark.NONE
    row = history((1.0, stuck), (1.5, stuck), (2.0, stuck))
    assert (row.mark, row.marked_for) == (Mark.SLOW_READER, 0.0)
    row = history((1.0, stuck), (2.0, stuck), (9.0, stuck))
    assert row.marked_for == 7.0


@pytest.mark.parametrize(
    "later",
    [
        connection(wqueue=9000, bytes_acked=2),  # the peer has taken some, we have written more
        connection(wqueue=8999, bytes_acked=1),
        connection(wqueue=0, bytes_acked=1),
    ],
)
def test_a_send_queue_that_moves_is_not_marked(later: Socket) -> None:
    stuck = connection(wqueue=9000, bytes_acked=1)
    row = history((1.0, stuck), (5.0, later))
    assert row.mark == Mark.NONE
    assert history((1.0, stuck), (5.0, later), (5.5, later)).mark == Mark.NONE


def test_who_does_not_answer_is_no_slow_reader() -> None:
    lost = connection(wqueue=9000, timer=1, retransmits=2)
    row = history((1.0, lost), (9.0, lost))
    assert (row.mark, row.reason) == (Mark.NO_ANSWER, "the peer does not answer; 9000 bytes wait")


def test_what_our_own_program_does_not_read() -> None:
    unread = connection(rqueue=10, bytes_received=10)
    assert history((1.0, unread), (2.0, unread)).mark == Mark.UNREAD
    more = connection(rqueue=30, bytes_received=30)  # more has come, and nothing was taken
    assert history((1.0, unread), (2.0, more)).mark == Mark.UNREAD
    read = connection(rqueue=10, bytes_received=20)  # as much has come as was taken
    assert history((1.0, unread), (2.0, read)).mark == Mark.NONE


def test_what_waits_to_be_accepted_is_not_called_unread() -> None:
    waiting = connection(rqueue=10, bytes_received=10, inode=0)
    row = history((1.0, waiting), (9.0, waiting))
    assert (row.mark, row.waits) == (Mark.NONE, True)


def test_a_unix_socket_that_nobody_reads() -> None:
    stuck = unix(5, wqueue=4000)
    assert history((1.0, stuck), (3.0, stuck)).mark == Mark.SLOW_READER


# --- who -----------------------------------------------------------------------------------------


def test_unix_sockets_know_their_other_end() -> None:
    one, other = unix(1, peer=2), unix(2, peer=1, name=b"\0bus")
    (row, _) = Tracker().update(look(1.0, one, other))
    assert row.peer is not None
    assert (row.peer.name, row.peer.holders[0].pid, row.peer.waits) == ("@bus", 4711, False)
    waits = Tracker().update(look(1.0, unix(3), unix(4, state=LISTEN, waiting=(3,))))[0]
    assert waits.peer is not None
    assert waits.peer.waits


def test_processes_are_sums_of_their_sockets() -> None:
    shared = (Holder(1, 3, "parent"), Holder(2, 3, "child"), Holder(2, 4, "child"))
    holders = {199: shared, 101: (Holder(2, 5, "child"),)}
    tracker = Tracker()
    for at in (1.0, 2.0):
        full, busy = listener(99, waiting=9, backlog=9), connection(1, bytes_acked=int(at) * 100)
        orphan = connection(3, rqueue=5, inode=0)
        rows = tracker.update(look(at, full, busy, orphan, holders=holders))
    sums = {one.pid: one for one in by_process(rows)}
    assert set(sums) == {0, 1, 2}
    assert (sums[2].sockets, sums[2].listening, sums[2].established) == (2, 1, 1)
    assert (sums[2].sent, sums[1].sent) == (100.0, None)
    assert (sums[1].rqueue, sums[1].wqueue) == (0, 0)  # connections are no bytes
    assert (sums[2].mark, sums[2].marked) == (Mark.ACCEPT_QUEUE, 1)
    assert (sums[0].process, sums[0].rqueue) == ("", 5)


# --- what a server tells -------------------------------------------------------------------------


def told(**more: t.Any) -> Told:
    here = {"pid": 4711, "fd": 5, "local": "127.0.0.1:8888", "peer": "127.0.0.1:40001"}
    one = here | {"label": "alice", "outbox": 700, "state": "open"}
    return Told(Facts({"connections": [one]} | more))


def test_a_server_tells_of_its_connections() -> None:
    (row,) = Tracker().update(look(1.0, connection(1)), told())
    assert row.own is not None
    assert (row.own.label, row.own.outbox, row.own.lags_in) == ("alice", 700, "")
    assert row.mark == Mark.NONE
    assert "alice" in row.text


def test_who_lags_is_a_slow_reader() -> None:
    lagging = [{"pid": 4711, "fd": 5, "room": "lobby"}]
    (row,) = Tracker().update(look(1.0, connection(1)), told(lagging=lagging))
    assert row.mark == Mark.SLOW_READER
    assert "lags in lobby, 700 bytes in its outbox" in row.reason


def test_hidden_descriptors_are_found_by_their_addresses() -> None:
    rows = Tracker().update(look(1.0, connection(1), connection(2), holders={}), told())
    assert [row.own is not None for row in rows] == [True, False]


def test_another_descriptor_of_the_server_is_none_of_its_connections() -> None:
    holders = {101: (Holder(4711, 6, "serve"),)}
    (row,) = Tracker().update(look(1.0, connection(1), holders=holders), told())
    assert row.own is None


@pytest.mark.parametrize("nonsense", [{}, {"connections": 5}, {"connections": [[], {"fd": "x"}]}])
def test_whatever_a_server_says(nonsense: dict[str, t.Any]) -> None:
    (row,) = Tracker().update(look(1.0, connection(1)), Told(Facts(nonsense)))
    assert row.own is None
