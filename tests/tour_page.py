"""The console blocks of docs/tour.md as steps. Must not run anything.

A block is what somebody sees in one terminal. Its lines, by how they begin:

    alice$ nc 127.0.0.1 8888    a command in the terminal called alice; "$ " is one without name
    alice> hello                a line typed to what runs there; ^C and ^D are those keys
    alice>>> s.send(b"x")       the same to Python, which answers with a prompt
    (alice)                     what has come in that terminal since
    anything else               what the terminal shows then
    ...                         as output: any number of lines
"""

from __future__ import annotations

import re
import typing as t

CHAPTER: t.Final = re.compile(r"^## (\d+\. .*)$", re.MULTILINE)
FENCE: t.Final = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PROMPT: t.Final = re.compile(r"([a-z]*)(\$|>>>|>) (.*)|\(([a-z]+)\)")
PORT: t.Final = re.compile(r"\b888\d\b")


class Step(t.NamedTuple):
    """``kind``: "$", ">", ">>>" as in the page, or "" where nothing is typed. ``shown`` is what
    the terminal then prints; ``line`` is where in the page it stands."""

    line: int
    terminal: str
    kind: str
    typed: str
    shown: tuple[str, ...]


class Chapter(t.NamedTuple):
    """``port`` is what its commands name: a reader's own, which a test replaces."""

    title: str
    text: str
    steps: tuple[Step, ...]
    port: str


def chapters(page: str) -> list[Chapter]:
    """Those of the page. ``ValueError`` for a block that could not be executed."""
    starts = [found.start() for found in CHAPTER.finditer(page)]
    rest = page[: starts[0]] + FENCE.sub("", page[starts[0] :])
    if left := re.search(r"^[ >]*(```|~~~).*", rest, re.MULTILINE):
        raise ValueError(f"a block that nobody would execute: {left[0]}")
    return [
        _chapter(page, start, end)
        for start, end in zip(starts, [*starts[1:], len(page)], strict=True)
    ]


def _chapter(page: str, start: int, end: int) -> Chapter:
    steps: list[Step] = []
    found = CHAPTER.match(page, start)
    assert found
    for block in FENCE.finditer(page, start, end):
        first = page.count("\n", 0, block.start()) + 2
        if block[1] != "console":
            raise ValueError(f"line {first - 1}: a block of {block[1] or 'nothing'}, not console")
        steps += _steps(block[2].splitlines(), first)
    if not steps:
        raise ValueError(f"{found[1]}: nothing to execute")
    ports = {port for step in steps for port in PORT.findall(step.typed)}
    if len(ports) > 1:
        raise ValueError(f"{found[1]}: more ports than one: {sorted(ports)}")
    return Chapter(found[1], page[start:end], tuple(steps), ports.pop() if ports else "")


def _steps(lines: list[str], first: int) -> list[Step]:
    steps: list[Step] = []
    for number, line in enumerate(lines, first):
        prompt = PROMPT.fullmatch(line)
        if prompt:
            name, kind, typed, after = prompt.groups()
            steps.append(Step(number, after or name or "you", kind or "", typed or "", ()))
        elif not steps:
            raise ValueError(f"line {number}: a block that begins with output: {line}")
        else:
            steps[-1] = steps[-1]._replace(shown=(*steps[-1].shown, line))
    return steps
