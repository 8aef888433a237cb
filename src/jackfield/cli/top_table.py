"""The table on the screen of ``jackfield top``: draws the lines that are in sight, no others.

Two thousand rows cost what forty do, and after a look only those lines are drawn again in which
something changed. Text goes to the screen as segments, in which nothing is markup. The cursor stays
on its row, wherever that is sorted to; on the first line it stays there. Must not know sockets.
"""

from __future__ import annotations

import typing as t
from collections.abc import Sequence

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from jackfield.cli.columns import Cell, size
from jackfield.cli.top_cells import COLOURS, GAP, TopColumn, fitting
from jackfield.tools.top.rows import Key
from jackfield.tools.top.view import Row

ELLIPSIS: t.Final = "…"

Line: t.TypeAlias = tuple[tuple[Cell, ...], str]
"""What is drawn in a line: cells, and the name of a style for all of it."""


class TopTable(ScrollView, can_focus=True):
    """A head, and a line for each row."""

    DEFAULT_CSS = """
    TopTable { height: 1fr; overflow-x: hidden; overflow-y: scroll; scrollbar-size-vertical: 1; }
    TopTable > .head { text-style: bold; background: $panel; }
    TopTable > .plain { background: $background; }
    TopTable > .red { background: $error 35%; text-style: bold; }
    TopTable > .yellow { background: $warning 15%; }
    TopTable > .cursor { background: $primary 60%; text-style: bold; }
    TopTable > .cursor-red { background: $error 80%; text-style: bold; }
    TopTable > .cursor-yellow { background: $warning 50%; text-style: bold; }
    """
    COMPONENT_CLASSES: t.ClassVar[set[str]] = {
        *("head", "plain", "red", "yellow"),
        *("cursor", "cursor-red", "cursor-yellow"),
    }
    BINDINGS: t.ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "Up", show=False),
        Binding("down,j", "move(1)", "Down", show=False),
        Binding("pageup", "move_page(-1)", "Page up", show=False),
        Binding("pagedown", "move_page(1)", "Page down", show=False),
        Binding("home", "first", "First", show=False),
        Binding("end", "last", "Last", show=False),
    ]

    class Moved(Message):
        """The cursor is on another row."""

    class Chosen(Message):
        """Somebody clicked on a row twice."""

    class HeadClicked(Message):
        """Somebody clicked on the head of the column ``name``."""

        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

    def __init__(self) -> None:
        super().__init__()
        self._columns: Sequence[TopColumn] = ()
        self._shown: list[TopColumn] = []
        self._rows: Sequence[Row] = ()
        self._sort = ("", False)
        self._drawn: dict[int, Line] = {}
        self._cursor = 0
        self._key: Key | None = None  # of the row on which the cursor is to stay

    # --- what is shown -------------------------------------------------------------------------

    def show(
        self, columns: Sequence[TopColumn], rows: Sequence[Row], sort: str, descending: bool
    ) -> None:
        """Show ``rows`` from now on."""
        in_sight = self._cursor_in_sight()
        self._columns, self._rows, self._sort = columns, rows, (sort, descending)
        self._shown = fitting(columns, max(self.size.width, 1))
        self._find_cursor()
        self.virtual_size = Size(self.size.width, len(rows) + 1)
        if in_sight:
            self._bring_cursor_in_sight()
        self._redraw()

    def stay_on(self, key: Key | None) -> None:
        """Keep the cursor on this row; with None, on its line."""
        self._key = key

    def to_top(self) -> None:
        """The cursor on the first line, to stay there."""
        self._place(0)

    @property
    def row(self) -> Row | None:
        """Where the cursor is."""
        return self._rows[self._cursor] if self._cursor < len(self._rows) else None

    @property
    def titles(self) -> list[str]:
        """Names of the columns that the width leaves."""
        return [column.name for column in self._shown]

    def _find_cursor(self) -> None:
        found = None
        if self._key is not None:
            keys = (i for i, row in enumerate(self._rows) if row.key == self._key)
            found = next(keys, None)
        last = max(len(self._rows) - 1, 0)
        self._cursor = min(self._cursor, last) if found is None else found

    def _redraw(self) -> None:
        """Have those lines drawn that are not as they were."""
        for y in range(self.size.height):
            if self._drawn.get(y) != self._line(y):
                self.refresh(Region(0, y, self.size.width, 1))

    # --- drawing -------------------------------------------------------------------------------

    def render_line(self, y: int) -> Strip:
        cells, name = self._drawn[y] = self._line(y)
        style = self.get_component_rich_style(name)
        segments = []
        for column, cell in zip(self._shown, cells, strict=False):
            colour = cell.colour or None if name == "plain" else None
            segments.append(Segment(_padded(cell.text, column), style + Style(color=colour)))
            segments.append(Segment(" " * GAP, style))
        return Strip(segments).adjust_cell_length(self.size.width, style)

    def _line(self, y: int) -> Line:
        if y == 0:
            return tuple(self._head(column) for column in self._shown), "head"
        index = y - 1 + self.scroll_offset.y
        if index >= len(self._rows):
            return (), "plain"
        row = self._rows[index]
        names = ["cursor"] if index == self._cursor else []
        names += [COLOURS[row.mark]] if row.mark else []
        return tuple(column.cell(row) for column in self._shown), "-".join(names) or "plain"

    def _head(self, column: TopColumn) -> Cell:
        name, descending = self._sort
        if column.name != name:
            return Cell(column.title)
        return Cell(column.title[: max(column.width - 1, 0)] + ("▼" if descending else "▲"))

    # --- moving --------------------------------------------------------------------------------

    def action_move(self, lines: int) -> None:
        self._place(self._cursor + lines)

    def action_move_page(self, pages: int) -> None:
        self._place(self._cursor + pages * max(self.size.height - 2, 1))

    def action_first(self) -> None:
        self._place(0)

    def action_last(self) -> None:
        self._place(len(self._rows) - 1)

    def _place(self, index: int) -> None:
        self._cursor = max(0, min(index, len(self._rows) - 1))
        row = self.row
        self._key = row.key if row is not None and self._cursor else None
        self._bring_cursor_in_sight()
        self._redraw()
        self.post_message(self.Moved())

    def _cursor_in_sight(self) -> bool:
        return 0 <= self._cursor - self.scroll_offset.y < max(self.size.height - 1, 1)

    def _bring_cursor_in_sight(self) -> None:
        top, height = self.scroll_offset.y, max(self.size.height - 1, 1)
        if self._cursor < top:
            self.scroll_to(y=self._cursor, animate=False)
        elif self._cursor >= top + height:
            self.scroll_to(y=self._cursor - height + 1, animate=False)

    def on_click(self, event: events.Click) -> None:
        if event.y > 0:
            if event.y - 1 + self.scroll_offset.y < len(self._rows):
                self._place(event.y - 1 + self.scroll_offset.y)
                if event.chain == 2:
                    self.post_message(self.Chosen())
            return
        end = 0
        for column in self._shown:
            end += column.width + GAP
            if event.x < end:
                self.post_message(self.HeadClicked(column.name))
                return

    def on_resize(self) -> None:
        self._drawn.clear()
        if self._columns:
            self.show(self._columns, self._rows, *self._sort)
        self._bring_cursor_in_sight()


def _padded(text: str, column: TopColumn) -> str:
    text = _cropped(text, column.width)
    space = " " * (column.width - size(text))
    return space + text if column.right else text + space


def _cropped(text: str, width: int) -> str:
    """At most ``width`` places, with a sign that there was more."""
    if size(text) <= width:
        return text
    kept = text[: max(width - 1, 0)]
    while size(kept) > width - 1 and kept:
        kept = kept[:-1]
    return kept + ELLIPSIS if width > 0 else ""
