"""Is what a terminal shows what docs/tour.md says? Only what must differ may differ.

Both texts are cut into tokens. Those of one kind in ``KINDS`` stand for each other: times match
any time; a port or pid must be the same one wherever the page has the same. All else is compared
as it is; in a table, with the title of the column that it stands under. Sockets of the machine may
come in another order: it is that of their ports. Must not know terminals.
"""

from __future__ import annotations

import re
import typing as t
from collections.abc import Callable, Sequence

BOUND: t.Final = ("port", "pid", "pts")
"""Kinds whose values are names for something: one value of the page is one of the machine."""

KINDS: t.Final = {
    "clock": r"\d\d:\d\d:\d\d\.\d{6}",
    "date": r"\w+day, \w+ \d+, \d{4} \d\d:\d\d:\d\d-UTC",
    "seconds": r"\b\d+\.\d{6}\b",  # since a connection began
    "duration": r"\+?\b\d+(?:\.\d+)? ?(?:us|ms|s)\b",
    "pts": r"(?<=/dev/pts/)\d+",
    "pid": r"(?<=pid )\d+|(?<=[a-z3]\[)\d+(?=\])|(?<=\.\d{6}) +\d+(?= )",  # the last in a trace
    "port": r"(?<=[\d\]]:)\d{4,5}\b|(?<=', )\d{4,5}(?=\))",
    "cwnd": r"(?<=CWND=)\d+",  # a congestion window grows, as the kernel likes
    "again": r"(?<=RETR=)\d+|(?<=\ds x)\d+",  # segments sent again: of a SYN, one more every second
    "rtt": r"(?<=RTT ms=)\d+\.\d\d",
    "window": r"(?<=win=)\d+|(?<=scale=)\d+",  # by the machine's tcp_rmem
    "moved": r"\b\d{3,}/\d{4,}\b",  # bytes sent of those asked: all of them, or not all
    "many": r"(?<=-Q=)\d{4,}\b|(?<![=/\d.])\d{5,}\b",  # what a buffer holds, by tcp_rmem and such
    "line": r"─+",
}
TOKEN: t.Final = re.compile("|".join(f"(?P<{kind}>{rule})" for kind, rule in KINDS.items()))

TABLE: t.Final = re.compile(r"(?:FD|PROTO)  +\S.*")
"""The head of a table, below which every line is a row."""

Token: t.TypeAlias = tuple[str, str]
Compare: t.TypeAlias = Callable[[list[list[Token]], list[list[Token]], dict[Token, str]], bool]

ELLIPSIS: t.Final[list[Token]] = [("", "...")]
"""A line of the page that stands for any number of lines."""


class Names:
    """Which port, pid or terminal of the machine one of the page stands for."""

    def __init__(self, ports: dict[str, str] | None = None) -> None:
        self._found = {("port", shown): real for shown, real in (ports or {}).items()}

    def same(self, shown: Sequence[str], real: Sequence[str]) -> bool:
        """Is ``real`` what the page shows? If so, what it says of names holds from here on."""
        wanted, got = [[tokens(line) for line in rows(text)] for text in (shown, real)]
        compare = _rows if shown and shown[0].startswith("PROTO ") else _lines
        return _tried(compare, wanted, got, self._found)

    def real(self, typed: str) -> str:
        """A command of the page with the machine's ports and pids."""
        known = {shown: real for (_, shown), real in self._found.items()}
        return re.sub(r"\b\d{3,}\b", lambda number: known.get(number[0], number[0]), typed)


def rows(lines: Sequence[str]) -> list[str]:
    """Lines without their spacing; of a table, each cell with its column's title before it."""
    head: list[tuple[int, int, str]] = []
    written = []
    for line in lines:
        if TABLE.fullmatch(line):
            head = [(*cell.span(), cell[0]) for cell in _cells(line)]
            written.append(line)
        elif head:
            written.append(" | ".join(f"{_title(head, c)}={c[0]}" for c in _cells(line)))
        else:
            written.append(line)
    return [re.sub(r"(?<=\S) +", " ", line) for line in written]


def _cells(line: str) -> list[re.Match[str]]:
    """What two blanks or more stand between."""
    return list(re.finditer(r"\S+(?: \S+)*", line))


def _title(head: list[tuple[int, int, str]], cell: re.Match[str]) -> str:
    """Of the first column that the cell stands under: their sides never overlap."""
    under = (title for start, end, title in head if start < cell.end() and cell.start() < end)
    return next(under, "")


def tokens(line: str) -> list[Token]:
    """The line as (kind, text); kind is "" for what is compared as it is."""
    found: list[Token] = []
    at = 0
    for match in TOKEN.finditer(line):
        found.append(("", line[at : match.start()]))
        found.append((match.lastgroup or "", match[0].strip()))
        at = match.end()
    return [*found, ("", line[at:])]


def _lines(wanted: list[list[Token]], got: list[list[Token]], names: dict[Token, str]) -> bool:
    for number, line in enumerate(wanted):
        if line == ELLIPSIS:
            rest = wanted[number + 1 :]
            return any(
                _tried(_lines, rest, got[skipped:], names)
                for skipped in range(number, len(got) + 1)
            )
        if number >= len(got) or not _line(line, got[number], names):
            return False
    return len(wanted) == len(got)


def _rows(wanted: list[list[Token]], got: list[list[Token]], names: dict[Token, str]) -> bool:
    """The same in any order."""
    if not wanted:
        return not got
    return any(
        _tried(_one_row, wanted, [row, *got[:number], *got[number + 1 :]], names)
        for number, row in enumerate(got)
    )


def _one_row(wanted: list[list[Token]], got: list[list[Token]], names: dict[Token, str]) -> bool:
    return _line(wanted[0], got[0], names) and _rows(wanted[1:], got[1:], names)


def _tried(
    compare: Compare, wanted: list[list[Token]], got: list[list[Token]], names: dict[Token, str]
) -> bool:
    """``compare`` them; ``names`` learns from it only where they are the same."""
    trial = dict(names)
    if not compare(wanted, got, trial):
        return False
    names.update(trial)
    return True


def _line(wanted: list[Token], got: list[Token], names: dict[Token, str]) -> bool:
    if [kind for kind, _ in wanted] != [kind for kind, _ in got]:
        return False
    return all(_token(one, text, names) for one, (_, text) in zip(wanted, got, strict=True))


def _token(wanted: Token, text: str, names: dict[Token, str]) -> bool:
    kind, shown = wanted
    if kind == "moved":
        return _share(shown) == _share(text)
    if kind not in BOUND:
        return bool(kind) or shown == text
    known = names.setdefault(wanted, text)
    taken = [one for one, real in names.items() if one[0] == kind and real == text]
    return known == text and taken == [wanted]


def _share(moved: str) -> tuple[str, bool]:
    """Of ``3724/7030``: how many were asked for (with five digits, any), and all moved?"""
    some, _, every = moved.partition("/")
    return every if len(every) < 5 else "many", some == every
