"""What the pages say is so: their code is the examples' code, their commands exist, their links
lead somewhere. The examples themselves are run by test_examples.
"""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
import sys
import typing as t
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from jackfield import engines, limits, services
from jackfield.cli.verbs import VERBS, Verbs
from jackfield.cli.verbs import command as jackfield
from jackfield.endpoint import Endpoint

ROOT: t.Final = Path(__file__).parent.parent
README: t.Final = (ROOT / "README.md").read_text()
PAGES: t.Final = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])

BLOCK: t.Final = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK: t.Final = re.compile(r"\[[^]]*\]\(([^)\s]+)\)")
COMMAND: t.Final = re.compile(r"(?:\.venv/bin/)?jackfield ")


def blocks(language: str) -> list[str]:
    """The README's code blocks of one language."""
    return [code for found, code in BLOCK.findall(README) if found == language]


def without_docstring(source: str) -> str:
    """A program's code alone, however it is spaced and commented."""
    tree = ast.parse(source)
    if ast.get_docstring(tree) is not None:
        del tree.body[0]
    return ast.unparse(tree)


def commands() -> Iterator[tuple[str, str]]:
    """Each ``$ command`` of the README's console blocks, and what it prints there."""
    for block in blocks("console"):
        for entry in block.removeprefix("$ ").split("\n$ "):
            command, _, output = entry.partition("\n")
            yield command, output.rstrip("\n")


def test_python_blocks_are_the_examples() -> None:
    examples = {without_docstring(p.read_text()): p.name for p in (ROOT / "examples").glob("*.py")}
    found = [examples.get(without_docstring(block)) for block in blocks("python")]
    assert found == ["room.py", "embed.py"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(page.read_text()):
        path, _, anchor = link.partition("#")
        if link.startswith("https://"):
            continue
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        if anchor:
            headings = re.findall(r"^#+ (.*)$", target.read_text(), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", h).lower().replace(" ", "-") for h in headings}


def test_make_targets_exist() -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"(?:^\$ |`)make ([a-z-]+)", README, re.MULTILINE))
    assert {"serve", "test"} <= named <= targets


def verb_of(words: list[str]) -> click.Command:
    assert words[0] in VERBS
    assert isinstance(jackfield, Verbs)
    found = jackfield.get_command(click.Context(jackfield), words[0])
    assert found is not None
    return found


def test_commands_exist() -> None:
    seen = 0
    for command, _ in commands():
        for part in command.split(" | "):
            if COMMAND.match(part):
                words = shlex.split(part)[1:]
                verb = verb_of(words)
                known = {option for param in verb.params for option in param.opts}
                assert {word for word in words if word.startswith("--")} <= known, command
                seen += 1
    assert seen >= 4
    for name in re.findall(r"`(?:\.venv/bin/)?jackfield (\w+)", README):
        verb_of([name])


@pytest.mark.parametrize(
    ("command", "output"), [(c, out) for c, out in commands() if out.startswith("jackfield: ")]
)
def test_mistakes_are_answered_as_shown(command: str, output: str) -> None:
    assert COMMAND.match(command)
    said = subprocess.run(
        [sys.executable, "-m", "jackfield", *shlex.split(command)[1:]],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (said.stderr.rstrip("\n"), said.stdout, said.returncode) == (output, "", 2)


def table(heading: str) -> list[str]:
    """The first cells of the README's table under a header that begins with ``heading``."""
    _, _, rest = README.partition(f"\n| {heading} |")
    rows = rest.split("\n\n")[0].splitlines()[2:]
    return [row.split(" | ")[0].removeprefix("| ") for row in rows]


def test_tables_are_complete() -> None:
    assert {cell.strip("`") for cell in table("service")} == set(services.NAMES)
    assert [cell.strip("`") for cell in table("engine")] == list(engines.NAMES)


def test_the_services_over_udp_are_those_that_are_served_there() -> None:
    rows = re.findall(r"^\| `(\w+)` \|.*\| (yes|no) \|$", README, re.MULTILINE)
    assert len(rows) == len(services.NAMES)
    for name, udp in rows:
        made = services.make(name, services.ServiceOptions())
        assert (made.datagram is not None) == (udp == "yes"), name


@pytest.mark.parametrize("text", [cell.strip("`") for cell in table("endpoint")])
def test_endpoints_are_endpoints(text: str) -> None:
    assert str(Endpoint.parse(text)) == text


def test_figures_are_the_limits() -> None:
    mebibytes = re.search(r"more than (\d+) MiB of its room's", README)
    assert mebibytes
    assert int(mebibytes[1]) * 1024 * 1024 == limits.LAG_HARD


def test_the_picture_shows_what_the_server_says() -> None:
    picture = (ROOT / "docs" / "pictures" / "session.svg").read_text()
    for words in ("listening tcp://127.0.0.1:8888 fd=3", "welcome, you are guest-1", "coffee?"):
        assert words in picture
