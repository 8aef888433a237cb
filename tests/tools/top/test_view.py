"""Sorting, searching, opening a process, following: over rows that are made up."""

from __future__ import annotations

import typing as t

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.tools.top.looks import connection, listener, look, unix

from jackfield.kernel.inet_diag import InetSocket
from jackfield.kernel.proc_net import Socket
from jackfield.tools.fdtable import Holder
from jackfield.tools.socket_filter import Filter
from jackfield.tools.top.marks import Mark
from jackfield.tools.top.rows import SocketRow, Tracker
from jackfield.tools.top.view import PAST, PROCESS_ORDERS, SOCKET_ORDERS, Following, View, troubles


def rows_of(*sockets: InetSocket, **facts: t.Any) -> list[SocketRow]:
    """After two looks: the bytes that were counted are those of one second."""
    tracker = Tracker()
    fresh = [connection(one.cookie, inode=one.inode, dport=one.dport) for one in sockets]
    tracker.update(look(0.0, *fresh, **facts))
    return tracker.update(look(1.0, *sockets, **facts))


def cookies(view: View, rows: list[SocketRow]) -> list[t.Any]:
    return [row.key[-1] for row in view.arrange(view.chosen(rows))]


BUSY: t.Final = (
    connection(1, bytes_acked=10),
    connection(2, bytes_acked=3000),
    connection(3, bytes_received=500),
    listener(4, waiting=1, backlog=1),
)


def test_trouble_comes_first_then_who_is_busy() -> None:
    assert cookies(View(), rows_of(*BUSY)) == [4, 2, 3, 1]


def test_sort_by_a_column_and_turn_it_around() -> None:
    view, rows = View(), rows_of(*BUSY)
    view.sort_by("in")
    assert cookies(view, rows)[0] == 3
    assert cookies(view, rows)[-1] == 4  # of a listener nothing is counted
    view.sort_by("in")
    assert cookies(view, rows)[-1] == 3
    view.sort_by("out")
    assert (cookies(view, rows)[0], view.descending) == (2, True)
    view.sort_by("address")
    assert (cookies(view, rows), view.descending) == ([4, 1, 2, 3], False)
    view.sort_by("nonsense")
    assert view.sort == "address"


def test_the_next_column_is_one_that_is_shown() -> None:
    view = View()
    for expected in ("in", "address", "mark", "in"):
        view.sort_next(["mark", "in", "address"])
        assert view.sort == expected
    view.sort_next(["mark", "in", "address"], -1)
    assert view.sort == "mark"
    view.sort_by("rtt")  # which the terminal is too narrow for now
    view.sort_next(["mark", "in", "address"])
    assert view.sort == "mark"
    view.sort_next([])
    assert view.sort == "mark"


def test_processes_keep_their_own_order() -> None:
    view = View()
    view.sort_by("rtt")
    view.processes = True
    assert view.sort == "mark"
    view.sort_by("pid")
    view.processes = False
    assert view.sort == "rtt"


@pytest.mark.parametrize("processes", [False, True])
@given(data=st.data())
def test_every_order_keeps_every_row(processes: bool, data: st.DataObject) -> None:
    kinds: list[Socket] = [*BUSY, unix(7), unix(8, name=b"\0\xff"), unix(9, peer=8)]
    sockets = data.draw(st.lists(st.sampled_from(kinds), unique=True))
    rows = Tracker().update(look(1.0, *sockets))
    view = View()
    view.processes = processes
    for name in PROCESS_ORDERS if processes else SOCKET_ORDERS:
        view.sort_by(name)
        seen = view.arrange(rows)
        assert sum(getattr(row, "sockets", 1) for row in seen) == len(rows)
        view.reverse()
        assert len(view.arrange(rows)) == len(seen)


def test_search_takes_rows_that_have_all_words() -> None:
    view = View()
    holders = {101: (Holder(5, 1, "Redis [red]x"),), 102: (Holder(6, 1, "nginx"),)}
    rows = rows_of(connection(1), connection(2), holders=holders)
    for text, found in (
        ("redis", [1]),
        ("REDIS 8888", [1]),
        ("nginx redis", []),
        ("40002", [2]),
        ("[red]", [1]),
        ("established", [1, 2]),
        ("", [1, 2]),
    ):
        view.search(text)
        assert cookies(view, rows) == found, text


def test_words_find_processes_too() -> None:
    view = View()
    view.processes = True
    view.search("serve 4711")
    assert len(view.arrange(rows_of(*BUSY))) == 1
    view.search("accept queue")
    assert len(view.arrange(rows_of(*BUSY))) == 1
    view.search("4712")
    assert view.arrange(rows_of(*BUSY)) == []


def test_the_filter_of_the_command_line_is_that_of_fds() -> None:
    view = View(Filter.of(listening=True))
    assert cookies(view, rows_of(*BUSY)) == [4]
    view = View(Filter.of(peers=["127.0.0.1"], port=40002))
    assert cookies(view, rows_of(*BUSY)) == [2]


def test_one_process_is_opened() -> None:
    holders = {101: (Holder(5, 1, "a"), Holder(6, 1, "b")), 102: (Holder(6, 2, "b"),)}
    rows = rows_of(connection(1), connection(2), connection(3), holders=holders)
    view = View()
    for pid, found in ((5, [1]), (6, [1, 2]), (0, [3]), (7, [])):
        view.process = pid
        assert cookies(view, rows) == found


def test_troubles_are_counted() -> None:
    assert troubles(rows_of(*BUSY)) == {Mark.ACCEPT_QUEUE: 1}


# --- following -----------------------------------------------------------------------------------


def test_a_connection_is_followed_to_its_end() -> None:
    tracker = Tracker()
    following = Following(tracker.update(look(0.0, connection(1), connection(2)))[0])
    assert [*following.sent] == []
    for second in (1, 2):
        rows = tracker.update(look(second, connection(2), connection(1, bytes_acked=second * 50)))
        following.update(rows, second)
    assert [*following.sent] == [50.0, 50.0]
    assert not following.ended
    for second in (3, 4):
        following.update(tracker.update(look(second, connection(2))), second)
    assert (following.row.key, following.ended) == ((1,), 3)


def test_what_is_kept_of_a_followed_connection_is_bounded() -> None:
    tracker = Tracker()
    following = Following(tracker.update(look(0.0, connection(1)))[0])
    for second in range(1, PAST + 50):
        following.update(tracker.update(look(second, connection(1))), second)
    assert len(following.received) == PAST
