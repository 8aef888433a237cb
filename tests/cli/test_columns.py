"""The table at any width: nothing is wider than the terminal, nothing that is kept gets lost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jackfield.cli import socket_cells
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


def test_one_that_is_narrower_takes_the_room_another_needs_more_of() -> None:
    columns = (Column("A", keep=True), Column("WIDE"), Column("B"), Column("NAME"))
    rows = [[Cell("a"), Cell("w" * 20), Cell("b"), Cell("n" * 10)]]
    assert list(draw(columns, rows, 20)) == ["A  B  NAME", "a  b  nnnnnnnnnn"]
    assert list(draw(columns, rows, 15)) == ["A  NAME", "a  nnnnnnnnnn"]


@pytest.mark.parametrize(
    ("timer", "shown"),
    [
        (Cell("keepalive 58s"), {44: "", 51: "CWND", 59: "CWND RTT ms", 74: "CWND RTT ms TIMER"}),
        (Cell("on 0.4s x1", "yellow"), {44: "", 57: "TIMER", 62: "CWND TIMER"}),
    ],
)
def test_a_timer_that_asks_for_a_look_goes_last(timer: Cell, shown: dict[int, str]) -> None:
    columns = (*socket_cells.TCP, Column("NAME", keep=True))
    rows = [[Cell("10"), Cell("0.02"), timer, Cell(""), Cell(NAME)]]
    for width, titles in shown.items():
        assert next(draw(columns, rows, width)).split() == [*titles.split(), "NAME"]


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
