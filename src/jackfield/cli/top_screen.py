"""The screen of ``jackfield top``: keys and time in, the model asked, the table and texts out.

Looks are taken in the loop of the screen itself: one costs some tens of milliseconds for thousands
of sockets, so that keys never wait noticeably. Must not know how rows come about.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import time
import typing as t
from collections.abc import Callable

from textual import events
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Footer, Input, Static

from jackfield.cli import top_cells, top_text
from jackfield.cli.socket_cells import INTERRUPTED
from jackfield.cli.top_table import TopTable
from jackfield.tools.top.looker import Look
from jackfield.tools.top.rows import ProcessRow, SocketRow, Tracker
from jackfield.tools.top.server import Asker
from jackfield.tools.top.view import Following, View

SOON: t.Final = 0.5
"""Seconds until the second look: rates need two, and a person should not wait long for them."""


SCROLLING: t.Final = ("up", "down", "pageup", "pagedown", "home", "end")
"""Keys that the help needs for itself where the terminal is low."""


class Help(ModalScreen[None]):
    """What the keys do and the columns say."""

    def compose(self) -> ComposeResult:
        with VerticalScroll():
            yield Static(top_text.HELP, markup=False)

    def on_key(self, event: events.Key) -> None:
        if event.key not in SCROLLING:
            event.stop()
            self.dismiss()

    def on_click(self) -> None:
        self.dismiss()


class TopApp(App[int]):
    """Shows what ``look`` gives, every ``interval`` seconds. Returns the exit status."""

    CSS = """
    Screen { layout: vertical; }
    #notes { color: $text-warning; max-height: 3; }
    #detail { border-top: solid $primary; height: auto; max-height: 60%; display: none; }
    #row { height: 1; background: $panel; }
    #search { display: none; border: none; height: 1; padding: 0; }
    Help { align: center middle; }
    Help VerticalScroll { width: 58; height: auto; max-height: 100%; padding: 0 1;
                          border: round $primary; background: $panel;
                          scrollbar-size-vertical: 1; }
    Help Static { width: auto; }
    """
    BINDINGS: t.ClassVar[list[BindingType]] = [
        Binding("s", "sort(1)", "Sort"),
        Binding("S", "sort(-1)", "Sort back", show=False),
        Binding("r", "reverse", "Turn", show=False),
        Binding("slash", "search", "Filter", key_display="/"),
        Binding("enter", "follow", "Follow"),
        Binding("space", "freeze", "Freeze", key_display="␣"),
        Binding("p", "processes", "Processes"),
        Binding("question_mark", "help", "Help", key_display="?"),
        Binding("q", "quit_here", "Quit"),
        Binding("escape", "step_back", "Back", show=False),
        Binding("ctrl+c", "interrupt", "Quit", show=False, priority=True),
    ]
    ENABLE_COMMAND_PALETTE = False

    def __init__(
        self,
        look: Callable[[], Look],
        interval: float,
        view: View,
        asker: Asker | None = None,
    ) -> None:
        super().__init__()
        self.animation_level = "none"
        self.view = view
        self.following: Following | None = None
        self._look_at = look
        self._interval = interval
        self._asker = asker
        self._tracker = Tracker()
        self._look = Look(0.0, [])
        self.rows: list[SocketRow] = []
        """What was asked for, of the last look."""
        self._frozen = ""
        self._status: int | None = None
        self._own_loop: asyncio.AbstractEventLoop | None = None

    def compose(self) -> ComposeResult:
        yield Static(id="summary", markup=False)
        yield Static(id="trouble", markup=False)
        yield Static(id="notes", markup=False)
        yield TopTable()
        yield Static(id="detail", markup=False)
        yield Static(id="row", markup=False)
        search = Input(id="search", placeholder="words that a row has to have; enter, esc: none")
        search.cursor_blink = False
        yield search
        yield Footer(compact=True, show_command_palette=False)

    def on_mount(self) -> None:
        self._table.focus()
        self._own_loop = asyncio.get_running_loop()
        if self._status is not None:  # a signal was faster
            self.exit(self._status)
        self.call_after_refresh(self._begin)  # when every widget knows its size

    def _begin(self) -> None:
        self.look()
        self.set_timer(min(SOON, self._interval), self._tick)
        self.set_interval(self._interval, self._tick)
        gc.collect()
        gc.freeze()  # a screen's many objects stay: looking through them again costs for nothing

    def leave(self, status: int) -> None:
        """End in order, with the terminal as it was; from a signal handler at any time."""
        self._status = status
        with contextlib.suppress(RuntimeError):  # its loop has ended
            if self._own_loop:
                self._own_loop.call_soon_threadsafe(self.exit, status)

    @property
    def _table(self) -> TopTable:
        return self.screen_stack[0].query_one(TopTable)

    def _static(self, name: str) -> Static:
        return self.screen_stack[0].query_one(f"#{name}", Static)

    # --- looking -------------------------------------------------------------------------------

    def _tick(self) -> None:
        if not self._frozen:
            self.look()

    def look(self) -> None:
        """Look now, and show it."""
        if self._asker:
            self._asker.ask()
        self._look = self._look_at()
        told = self._asker.told if self._asker else None
        self.rows = self.view.chosen(self._tracker.update(self._look, told))
        if self.following:
            self.following.update(self.rows, self._look.at)
        self.show()

    def show(self) -> None:
        """Show the last look as it is wanted now."""
        view = self.view
        columns = top_cells.columns_of(view.processes, bool(self._asker))
        self._table.show(columns, view.arrange(self.rows), view.sort, view.descending)
        self._static("summary").update(top_text.summary(self.rows, self._interval, self._frozen))
        self._static("trouble").update(top_text.trouble(self.rows, view))
        more = [self._asker.note] if self._asker else []
        said = "\n".join(top_text.notes(self._look, more))
        self._static("notes").update(said)
        self._static("notes").display = bool(said)
        self._show_row()

    def _show_row(self) -> None:
        detail = self._static("detail")
        detail.display = self.following is not None
        self._static("row").display = self.following is None
        if self.following:
            detail.update(top_text.followed(self.following, self._look.at))
        else:
            self._static("row").update(top_text.in_words(self._table.row))

    def on_top_table_moved(self) -> None:
        self._show_row()

    def on_top_table_chosen(self) -> None:
        self.action_follow()

    def on_top_table_head_clicked(self, message: TopTable.HeadClicked) -> None:
        self.view.sort_by(message.name)
        self.show()

    # --- keys ----------------------------------------------------------------------------------

    def action_sort(self, step: int) -> None:
        self.view.sort_next(self._table.titles, step)
        self.show()

    def action_reverse(self) -> None:
        self.view.reverse()
        self.show()

    def action_follow(self) -> None:
        """Follow the connection under the cursor, or stop; open a process."""
        row = self._table.row
        if isinstance(row, ProcessRow):
            self.view.process, self.view.processes = row.pid, False
            self._table.to_top()
        elif row is not None:
            same = self.following is not None and self.following.key == row.key
            self.following = None if same else Following(row)
            self._table.stay_on(row.key)
        self.show()

    def action_step_back(self) -> None:
        """One step: what was chosen last goes first."""
        search = self.query_one("#search", Input)
        if search.display or self.view.words:
            search.value = ""
            self.view.search("")
            self._end_search()
        elif self.following:
            self.following = None
        elif self.view.process is not None:
            self.view.process, self.view.processes = None, True
            self._table.to_top()
        self.show()

    def action_processes(self) -> None:
        self.view.processes = not self.view.processes
        self.view.process = self.following = None
        self._table.to_top()
        self.show()

    def action_freeze(self) -> None:
        self._frozen = "" if self._frozen else time.strftime("%H:%M:%S")
        if self._frozen:
            self.show()
        else:
            self.look()

    def action_search(self) -> None:
        search = self.query_one("#search", Input)
        search.display = True
        self.screen.set_focus(search)  # at once, which focus() is not

    def on_key(self, event: events.Key) -> None:
        """Letters that came so fast after the slash that the table was given them. Those that the
        input is given itself do not come here."""
        search = self.screen_stack[0].query_one("#search", Input)
        if self.focused is search and event.is_printable:
            event.prevent_default()
            event.stop()
            search.post_message(events.Key(event.key, event.character))

    def on_input_changed(self, event: Input.Changed) -> None:
        self.view.search(event.value)
        self.show()

    def on_input_submitted(self) -> None:
        self._end_search()

    def _end_search(self) -> None:
        self.query_one("#search", Input).display = False
        self.screen.set_focus(self._table)

    def action_help(self) -> None:
        self.push_screen(Help())

    def action_quit_here(self) -> None:
        self.exit(0)

    def action_interrupt(self) -> None:
        self.exit(INTERRUPTED)
