"""The table at any width: nothing is wider than the terminal, nothing that is kept gets lost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jackfield.cli.columns import Cell, Column, draw, fold, safe, size

COLUMNS = (Column("FD", keep=True), Column("CWND", right=True), Column("RTT"), Column("NAME"))
NAME = "127.0.0.1:8888->127.0.0.1:63062 (ESTABLISHED)"
ROWS = [
    [Cell("3u"), Cell("10"), Cell(""), Cell(NAME)],
    [Cell("14u"), Cell("7"), Cell(""), Cell("")],
]


def test_without_a_width_everything_is_there_and_empty_columns_are_not() -> None:
    assert list(draw(COLUMNS, ["python (pid 1)", *ROWS], None)) == [
        "FD   CWND  NAME",
        "python (pid 1)",
        f"3u     10  {NAME}",
        "14u     7",
    ]


def test_a_column_makes_room_for_the_last_one() -> None:
    assert list(draw(COLUMNS, ROWS, 52)) == ["FD   NAME", f"3u   {NAME}", "14u"]


def test_the_last_column_wraps_where_it_reads_best() -> None:
    assert list(draw(COLUMNS, ROWS[:1], 40)) == [
        "FD  NAME",
        "3u  127.0.0.1:8888->127.0.0.1:63062",
        "    (ESTABLISHED)",
    ]
    assert list(draw(COLUMNS, ROWS[:1], 34))[1:] == [
        "3u  127.0.0.1:8888->",
        "    127.0.0.1:63062 (ESTABLISHED)",
    ]


def test_the_last_column_gets_lines_of_its_own() -> None:
    columns = (Column("PROCESS", keep=True), Column("NAME"))
    rows = [[Cell("p" * 30), Cell(NAME)]]
    assert list(draw(columns, rows, 40))[2:] == [
        "p" * 30,
        "    127.0.0.1:8888->127.0.0.1:63062",
        "    (ESTABLISHED)",
    ]


def test_wide_characters_take_two_places() -> None:
    assert size("漢字") == 4
    assert fold("漢字漢字", 5) == ["漢字", "漢字"]
    lines = list(draw((Column("A", keep=True), Column("B")), [[Cell("漢"), Cell("x")]], None))
    assert lines == ["A   B", "漢  x"]


@given(st.text(), st.integers(2, 40))
def test_folding_loses_nothing_and_fits(text: str, width: int) -> None:
    shown = safe(text)
    pieces = fold(shown, width)
    assert "".join(pieces).replace(" ", "") == shown.replace(" ", "")
    assert all(size(piece) <= width for piece in pieces)


@pytest.mark.parametrize(
    "text", ["\x1b[2J", "a\nb", "\u202eabc", "\x9b31m", "a\rb", "\u2028", "\x00"]
)
def test_what_a_terminal_obeys_is_escaped(text: str) -> None:
    assert safe(text).isprintable()
    assert safe("[bold]x[/bold]") == "[bold]x[/bold]"  # shown, not obeyed
