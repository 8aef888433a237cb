"""A table for any width: columns that are empty or do not fit are left out, the last one wraps.

Cells are text that is safe to print already; colour comes on top of it. Wide characters take two
places. Without a width (the output is no terminal) nothing is left out or wrapped.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import typing as t
from collections.abc import Iterator, Sequence

import click

from jackfield.address import printable

GAP: t.Final = "  "
TEXT_LIMIT: t.Final = 4096
"""Characters of one cell: no path is longer (PATH_MAX)."""

LAST_WANTS: t.Final = 44
"""Places that the last column should have before another column may take them: two IPv4 addresses
with ports and the state."""

LAST_NEEDS: t.Final = 24
"""With fewer places the last column goes to a line of its own: an IPv4 address, port and "->"."""

INDENT: t.Final = "    "
"""Of a last column that has its own line."""

BREAK: t.Final = re.compile(r"->|[ /,]")
"""Where a long text is broken at best: behind these."""


class Column(t.NamedTuple):
    """``keep``: it is never left out for want of room. Others go from right to left; those that
    may go ``early`` go first where a cell of another has a colour, since that asks for a look."""

    title: str
    right: bool = False
    keep: bool = False
    early: bool = False


class Cell(t.NamedTuple):
    """``colour`` is one of click's names, or ""."""

    text: str
    colour: str = ""


Line: t.TypeAlias = Sequence[Cell] | str
"""A row, or a heading that stands across all columns."""


def safe(text: str) -> str:
    """Untrusted text as a cell: escaped, of bounded length."""
    if text.isprintable() and len(text) <= TEXT_LIMIT:
        return text  # nearly every text, and printable() looks at each character
    return printable(text, TEXT_LIMIT)


def terminal_width() -> int | None:
    """Columns of the terminal; None where the output goes elsewhere. COLUMNS overrides both."""
    if sys.stdout.isatty() or os.environ.get("COLUMNS", "").isdecimal():
        return max(shutil.get_terminal_size().columns, 1)
    return None


def with_colour() -> bool:
    """Only on a terminal, and not where somebody asked for none (no-color.org)."""
    return sys.stdout.isatty() and "NO_COLOR" not in os.environ


def draw(columns: Sequence[Column], lines: Sequence[Line], width: int | None) -> Iterator[str]:
    """The table, line by line, with its head."""
    drawing = _Drawing(columns, [line for line in lines if not isinstance(line, str)], width)
    yield from drawing.row([Cell(column.title, "bold") for column in columns])
    for line in lines:
        yield from drawing.heading(line) if isinstance(line, str) else drawing.row(line)


class _Drawing:
    """Which columns are ``shown``, and how many places each has ``taken``."""

    def __init__(
        self, columns: Sequence[Column], rows: Sequence[Sequence[Cell]], width: int | None
    ) -> None:
        self._columns = columns
        self._width = width
        self._colour = with_colour()
        every = range(len(columns))
        taken = [max((size(row[i].text) for row in rows), default=0) for i in every]
        self._shown = [i for i in every[:-1] if columns[i].keep or taken[i]]
        self._taken = [max(taken[i], size(columns[i].title)) for i in every]
        if width is not None:
            self._fit(width, rows)
        self._room = None if width is None else width - self._used()

    def _used(self) -> int:
        return sum(self._taken[i] + len(GAP) for i in self._shown)

    def _fit(self, width: int, rows: Sequence[Sequence[Cell]]) -> None:
        """Leave out the columns that leave the last one too little room."""
        optional = [i for i in self._shown if not self._columns[i].keep]
        early = {i for i in optional if self._columns[i].early}
        if any(row[i].colour for i in optional if i not in early for row in rows):
            optional.sort(key=early.__contains__)
        self._shown = [i for i in self._shown if self._columns[i].keep]
        most = width - min(self._taken[-1], LAST_WANTS)
        for i in optional:
            if self._used() + self._taken[i] + len(GAP) <= most:
                self._shown.append(i)
        self._shown.sort()

    def heading(self, text: str) -> Iterator[str]:
        """A line across all columns."""
        for piece in fold(text, self._width):
            yield _coloured(piece, "bold", self._colour)

    def row(self, row: Sequence[Cell]) -> Iterator[str]:
        """A row, in as many lines as its last cell takes."""
        cells = [self._padded(i, row[i]) for i in self._shown]
        before, last = GAP.join(cells), row[-1]
        if self._room is None or self._room >= min(self._taken[-1], LAST_NEEDS):
            first, *rest = fold(last.text, self._room)
            yield (before + GAP + _coloured(first, last.colour, self._colour)).rstrip()
            indent = " " * self._used()
        else:
            yield before.rstrip()
            indent = INDENT
            rest = fold(last.text, max((self._width or 0) - len(INDENT), 1))
        for piece in filter(None, rest):
            yield indent + _coloured(piece, last.colour, self._colour)

    def _padded(self, i: int, cell: Cell) -> str:
        space = " " * (self._taken[i] - size(cell.text))
        text = _coloured(cell.text, cell.colour, self._colour)
        return space + text if self._columns[i].right else text + space


def _coloured(text: str, name: str, colour: bool) -> str:
    if not colour or not name or not text:
        return text
    return click.style(text, bold=True) if name == "bold" else click.style(text, fg=name)


def size(text: str) -> int:
    """Places that ``text`` takes on a terminal."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len  # a table of Unicode, for those who need it

    return cell_len(text)


def fold(text: str, width: int | None) -> list[str]:
    """``text`` in pieces of at most ``width`` places, broken where it reads best."""
    pieces = []
    while width is not None and size(text) > width:
        most = _most(text, width)
        breaks = [found.end() for found in BREAK.finditer(text, 0, most)]
        at = breaks[-1] if breaks and breaks[-1] > most // 2 else most
        pieces.append(text[:at].rstrip(" "))
        text = text[at:]
    return [*pieces, text]


def _most(text: str, width: int) -> int:
    """How many characters of ``text`` take at most ``width`` places; one at least."""
    if text.isascii():
        return max(width, 1)
    count = places = 0
    for character in text:
        places += size(character)
        if places > width:
            break
        count += 1
    return max(count, 1)
