"""``jackfield top`` on a screen without a terminal: made-up looks, keys of textual's pilot."""

from __future__ import annotations

import asyncio
import time
import typing as t
from collections.abc import Awaitable, Callable

import pytest
from tests.support import PATIENCE
from tests.tools.top.looks import connection, listener, look
from textual.pilot import Pilot

from jackfield.cli.top_screen import TopApp
from jackfield.cli.top_table import TopTable
from jackfield.kernel.proc_net import Socket
from jackfield.tools.top.looker import Look
from jackfield.tools.top.server import Asker
from jackfield.tools.top.view import View

NEVER: t.Final = 3600.0
"""Seconds between two looks: the tests say when."""

HOSTILE: t.Final = "\x1b[2J[red]x[/red] \u202e\n"
"""A process name, or a path, with what a terminal obeys, markup, a line end."""

Test: t.TypeAlias = Callable[[TopApp, "Pilot[int]"], Awaitable[None]]


class Machine:
    """Sockets that a test changes between two looks."""

    def __init__(self, *sockets: Socket) -> None:
        self.sockets = list(sockets)
        self.facts: dict[str, t.Any] = {}
        self.at = 0.0

    def look(self) -> Look:
        self.at += 1.0
        return look(self.at, *self.sockets, **self.facts)


def usual() -> Machine:
    """A full accept queue, a slow reader, and two that are well."""
    return Machine(
        connection(1),
        connection(2),
        connection(3, wqueue=9000, snd_wnd=0),
        listener(4, waiting=8, backlog=8),
    )


def on_screen(
    machine: Machine,
    test: Test,
    size: tuple[int, int] = (100, 30),
    view: View | None = None,
    asker: Asker | None = None,
) -> int | None:
    """Run ``test`` with the app on a screen of ``size``; what the app returned."""

    async def run() -> int | None:
        app = TopApp(machine.look, NEVER, view or View(), asker)
        async with app.run_test(size=size) as pilot:
            await shown(app, pilot, "sockets")
            app.look()
            await pilot.pause()
            await test(app, pilot)
        return app.return_value

    return asyncio.run(run())


def lines_of(app: TopApp) -> list[str]:
    """What is on the screen, line by line; nothing yet where it is not laid out."""
    strips = app.screen._compositor.render_strips()
    return ["".join(segment.text for segment in strip) for strip in strips]


async def shown(
    app: TopApp, pilot: Pilot[int], *texts: str, without: str | None = None
) -> list[str]:
    """The lines of the screen, once all ``texts`` are on it and ``without`` is not."""
    deadline = time.monotonic() + PATIENCE
    while True:
        await pilot.pause()
        lines = lines_of(app)
        whole = "\n".join(lines)
        there = len(lines) == app.size.height and all(text in whole for text in texts)
        if there and (without is None or without not in whole):
            return lines
        if time.monotonic() > deadline:
            pytest.fail(f"{texts}, without {without!r}: not on the screen:\n{whole}")


def table(app: TopApp) -> TopTable:
    return app.query_one(TopTable)


def key(app: TopApp) -> t.Any:
    """Of the row under the cursor."""
    row = table(app).row
    return row.key[0] if row else None


async def until_on(app: TopApp, wanted: t.Any) -> None:
    """Until the cursor is on the row with this key."""
    await until(lambda: key(app) == wanted)


async def until(condition: Callable[[], bool]) -> None:
    """Until it holds, while the app goes on."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it never holds"
        await asyncio.sleep(0.002)
