"""The screen of ``jackfield top``: keys pressed by textual's pilot, looks that are made up."""

from __future__ import annotations

import asyncio
import typing as t

import pytest

pytest.importorskip(
    "textual", reason="the screen is drawn by textual: pip install 'jackfield[see]'"
)

from tests.cli.screens import (
    HOSTILE,
    NEVER,
    Machine,
    key,
    on_screen,
    shown,
    table,
    until,
    until_on,
    usual,
)
from tests.tools.top.looks import connection, listener, unix
from textual.pilot import Pilot

from jackfield.cli import top_screen
from jackfield.cli.top_screen import TopApp
from jackfield.cli.top_table import TopTable
from jackfield.tools.fdtable import Holder
from jackfield.tools.server_view import Facts
from jackfield.tools.top.server import Asker, Told


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """No second look by itself; and no sleep of the pilot's after it has waited until every widget
    has handled its messages (of tests by hand, and a tenth of a second for each key)."""

    async def at_once(*_: float) -> None:
        await asyncio.sleep(0)

    monkeypatch.setattr(top_screen, "SOON", NEVER)
    monkeypatch.setattr("textual.pilot.wait_for_idle", at_once, raising=False)
    monkeypatch.setattr("textual._wait.wait_for_idle", at_once, raising=False)
    monkeypatch.setattr("textual.app.wait_for_idle", at_once, raising=False)


# --- what is shown -----------------------------------------------------------------------------


def test_trouble_stands_out() -> None:
    async def test(app: TopApp, pilot: Pilot[int]) -> None:
        lines = await shown(app, pilot, "accept queue full: 8 wait, 8 may")
        assert lines[0].startswith("4 sockets  1 process  ")
        assert lines[1].startswith("1 accept queue full  1 slow reader")
        assert lines[2].startswith("MARK▼")
        assert lines[3].split()[:2] == ["full", "serve[4711]"]
        assert lines[4].split()[:2] == ["slow", "serve[4711]"]
        assert lines[-2].startswith("accept queue full")
        plain, red = (table(app).render_line(y)._segments[0].style for y in (3, 2))
        assert plain is not None
        assert red is not None
        assert plain.bgcolor != red.bgcolor

    on_screen(usual(), test)


def test_any_size_will_do() -> None:
    async def test(app: TopApp, pilot: Pilot[int]) -> None:
        for size in ((200, 50), (60, 8), (20, 5), (1, 1)):
            await pilot.resize_terminal(*size)
            for pressed in ("end", "enter", "p", "p", "question_mark"):
                await pilot.press(pressed)
                await shown(app, pilot)
            await pilot.press("x")

    on_screen(usual(), test)


def test_sixty_columns_show_the_marks_the_rates_and_both_ends() -> None:
    async def test(app: TopApp, pilot: Pilot[int]) -> None:
        keys = ("Sort", "Filter", "Follow", "Freeze", "Processes", "Help", "Quit")
        lines = await shown(app, pilot, *keys)
        assert lines[2].split() == ["MARK▼", "IN/s", "OUT/s", "SEND-Q", "LOCAL->PEER"]
        assert lines[4].rstrip().endswith("9000 127.0.0.1:8888->127.0.0.1:40003")
        assert all(word in lines[-1] for word in keys)

    on_screen(usual(), test, (60, 20))


def test_a_terminal_that_grows() -> None:
    async def test(app: TopApp, pilot: Pilot[int]) -> None:
        await pilot.press("down")
        for size in ((120, 40), (60, 20), (100, 6), (60, 30)):
            await pilot.resize_terminal(*size)
            wide = size[0] >= 100
            await shown(app, pilot, *(["STATE"] * wide), without=None if wide else "STATE")
            await until_on(app, 3)

    on_screen(usual(), test)


def test_names_are_neither_obeyed_nor_read_as_markup() -> None:
    machine = Machine(unix(7, name=b"\0\x1b[2J[red]x[/red]"), connection(1, wqueue=5, snd_wnd=0))
    machine.facts["holders"] = {101: (Holder(5, 1, HOSTILE),), 7: (Holder(6, 1, HOSTILE),)}
    machine.facts["notes"] = (HOSTILE,)

    async def test(app: TopApp, pilot: Pilot[int]) -> None:
        for pressed in ("enter", "down", "enter", "p"):
            await pilot.press(pressed)
            lines = await shown(app, pilot, "[red]")
            assert not {"\x1b", "\u202e", "\n"} & set("".join(lines))

    on_screen(machine, test)


def test_hidden_descriptors_are_said_above() -> None:
    machine = usual()
    machine.facts["hidden"] = 43

    async def test(app: TopApp, pilot: Pilot[int]) -> None:
        lines = await shown(app, pilot, "43 processes of other users hide")
        assert lines[2].startswith("43 processes")
        machine.facts["hidden"] = 0
        app.look()
        lines = await shown(app, pilot, without="43 processes")
        assert lines[2].startswith("MARK")

    on_screen(machine, test, (60, 20))


def test_two_thousand_rows_and_the_last_of_them() -> None:
    machine = Machine(*(connection(number, dport=number) for number in range(1, 2001)))

    async def test(app: TopApp, pilot: Pilot[int]) -> None:
        await pilot.press("end")
        lines = await shown(app, pilot, "->127.0.0.1:2000 ")
        assert "->127.0.0.1:2000 " in lines[-3]
        await pilot.press("pageup", "home")
        lines = await shown(app, pilot, "->127.0.0.1:1 ")
        assert "->127.0.0.1:1 " in lines[3]

    on_screen(machine, test)


def test_only_what_changed_is_drawn_again(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(*(connection(number) for number in range(1, 20)))
    drawn: set[int] = set()
    original = TopTable.render_line

    def render_line(self: TopTable, y: int) -> t.Any:
        drawn.add(y)
        return original(self, y)

    async def test(app: TopApp, pilot: Pilot[int]) -> None:
        app.view.sort_by("address")
        app.look()
        await shown(app, pilot, "LOCAL->PEER▲")
        app.look()
        await shown(app, pilot)
        drawn.clear()
        machine.sockets[4] = connection(5, bytes_acked=4321)
        app.look()
        await shown(app, pilot, " 4.32k ")
        assert drawn == {5}

    monkeypatch.setattr(TopTable, "render_line", render_line)
    on_screen(machine, test)


# --- keys ----------------------------------------------------------------------------------------


def test_sort_by_the_next_column_and_turn_around() -> None:
    async def test(app: TopApp, pilot: Pilot[int]) -> None:
        await pilot.press("s")
        await shown(app, pilot, "PROCESS▲")
        await pilot.press("r")
        await shown(app, pilot, "PROCESS▼")
        await pilot.press("S", "S")
        await shown(app, pilot, "LOCAL->PEER▲")

    on_screen(usual(), test)


def test_a_click_on_a_head_sorts_and_one_on_a_row_chooses() -> None:
    async def test(app: TopApp, pilot: Pilot[int]) -> None:
        head = (await shown(app, pilot, "OUT/s"))[2]
        await pilot.click(TopTable, offset=(head.index("OUT/s"), 0))
        await shown(app, pilot, "OUT/▼")
        await pilot.click(TopTable, offset=(3, 20))  # below the last row
        await pilot.click(TopTable, offset=(3, 2))
        await until_on(app, table(app)._rows[1].key[0])

    on_screen(usual(), test)


def test_a_filter_is_typed_and_taken_back() -> None:
    async def test(app: TopApp, pilot: Pilot[int]) -> None:
        await pilot.press("slash", *"03")
        await shown(app, pilot, "with 03", ":40003", without=":40001")
        await pilot.press("enter")
        await shown(app, pilot, "with 03", "Processes", without=":40001")
        await pilot.press("escape")
        await shown(app, pilot, ":40001", without="with 03")
        await pilot.press("slash", *"qp ", "escape")  # keys are letters there
        await shown(app, pilot, ":40001")
        assert (app.view.words, app.view.processes, app.return_value) == ((), False, None)

    on_screen(usual(), test)


def test_the_cursor_stays_on_its_row_and_on_the_top() -> None:
    machine = usual()

    async def test(app: TopApp, pilot: Pilot[int]) -> None:
        await pilot.press("down")
        await until_on(app, 3)
        machine.sockets[0] = connection(1, wqueue=9000, snd_wnd=0, bytes_acked=500)
        app.look()
        assert (key(app), table(app)._cursor) == (3, 2)
        await pilot.press("home")
        await until_on(app, 4)
        machine.sockets.pop()
        app.look()
        assert (key(app), table(app)._cursor) == (1, 0)

    on_screen(machine, test)


def test_one_is_followed_to_its_end() -> None:
    machine = usual()

    async def test(app: TopApp, pilot: Pilot[int]) -> None:
        await pilot.press("down", "enter")
        await shown(app, pilot, "the peer has closed its window; 9000 bytes", "peer's window 0")
        machine.sockets[2] = connection(3, bytes_acked=500)
        app.look()
        await shown(app, pilot, "█", "out   500")
        del machine.sockets[2]
        for _ in range(2):
            app.look()
        await shown(app, pilot, "ended 1 s ago")
        await pilot.press("escape")
        await shown(app, pilot, without="ended")

    on_screen(machine, test)


def test_a_listener_and_a_unix_socket_can_be_followed() -> None:
    async def test(app: TopApp, pilot: Pilot[int]) -> None:
        await pilot.press("enter")
        await shown(app, pilot, "8 wait to be accepted, 8 may")
        await pilot.press("enter", "down", "enter")
        await shown(app, pilot, "receive queue 3  send queue 0")

    on_screen(Machine(unix(7, rqueue=3), listener(4, waiting=8, backlog=8)), test)


def test_processes_and_the_way_back() -> None:
    machine = usual()
    machine.facts["holders"] = {
        101: (Holder(5, 1, "one"),),
        102: (Holder(5, 2, "one"), Holder(6, 1, "two")),
    }

    async def test(app: TopApp, pilot: Pilot[int]) -> None:
        await pilot.press("p")
        lines = await shown(app, pilot, "1 full", "(no process)")
        assert lines[2].split()[-1] == "PROCESS"
        await pilot.press("down", "down", "enter")
        await shown(app, pilot, "of process", "LOCAL->PEER")
        await pilot.press("escape")
        await shown(app, pilot, "1 full", without="of process")
        await pilot.press("p")
        await shown(app, pilot, ":40001", ":40002", ":40003")

    on_screen(machine, test)


def test_frozen_nothing_is_looked_at() -> None:
    machine = usual()

    async def test(app: TopApp, pilot: Pilot[int]) -> None:
        await pilot.press("space")
        await shown(app, pilot, "frozen ")
        before = machine.at
        app._tick()
        assert machine.at == before
        await pilot.press("s")  # what was seen last can still be sorted
        await shown(app, pilot, "PROCESS▲", "frozen ")
        await pilot.press("space")
        await shown(app, pilot, "every", without="frozen ")
        assert machine.at == before + 1

    on_screen(machine, test)


def test_help_comes_and_goes() -> None:
    async def test(app: TopApp, pilot: Pilot[int]) -> None:
        await pilot.press("question_mark")
        await shown(app, pilot, "follow the connection")
        await pilot.press("pagedown")
        app.look()  # time goes on behind it
        await shown(app, pilot, "slow reader", without="follow the connection")
        await pilot.press("q")
        await shown(app, pilot, "LOCAL->PEER")
        assert app.return_value is None

    on_screen(usual(), test, (60, 20))


def test_quit_and_interrupt() -> None:
    async def quits(app: TopApp, pilot: Pilot[int]) -> None:
        await pilot.press("q")
        await until(lambda: app.return_value is not None)

    async def interrupts(app: TopApp, pilot: Pilot[int]) -> None:
        await pilot.press("slash", "ctrl+c")
        await until(lambda: app.return_value is not None)

    assert on_screen(usual(), quits) == 0
    assert on_screen(usual(), interrupts) == 130


def test_all_sockets_gone() -> None:
    machine = usual()

    async def test(app: TopApp, pilot: Pilot[int]) -> None:
        await pilot.press("end")
        machine.sockets.clear()
        app.look()
        await pilot.press("up", "pagedown", "end", "enter", "p", "enter")
        await shown(app, pilot, "0 sockets")

    on_screen(machine, test)


def test_a_server_that_is_asked_adds_names() -> None:
    here = {"pid": 4711, "fd": 5, "label": "alice\x1b", "outbox": 7000}
    asker = Asker(t.cast(t.Any, None), lambda endpoint: Facts({"connections": [here]}))
    asker.told = Told(Facts({"connections": [here]}))

    async def test(app: TopApp, pilot: Pilot[int]) -> None:
        lines = await shown(app, pilot, "NAME", "OUTBOX", "alice\\x1b")
        assert any("alice\\x1b" in line and " 7k " in line for line in lines)
        asker.note = "unix:/x: nobody listens there"
        asker.ask = lambda: None  # type: ignore[method-assign]
        app.look()
        await shown(app, pilot, "nobody listens there")

    on_screen(usual(), test, (120, 30), asker=asker)
