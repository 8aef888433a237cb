"""The floors of docs/architecture.md: imports go down, and nothing else does either.

Every import counts, also one inside a function or under TYPE_CHECKING: who needs a type from
above knows what is above.
"""

from __future__ import annotations

import ast
import graphlib
import importlib
import re
import subprocess
import sys
import typing as t
from collections.abc import Iterator
from pathlib import Path

import pytest

import jackfield

ROOT: t.Final = Path(__file__).parent.parent
SRC: t.Final = ROOT / "src"
PACKAGE: t.Final = SRC / "jackfield"

FLOORS: t.Final = (
    {
        *("errors", "limits", "endpoint_options", "endpoint", "address", "instrument"),
        *("protocol", "replicated", "log", "lazy_typing"),
    },
    {"wire", "capture", "rooms", "_native"},
    {"services", "kernel", "tls"},
    {"pollers"},
    {"transports"},
    {"bus", "engines"},
    {"server", "server_checks", "supervisor", "tools", "bench"},
    {"cli"},
    {"__main__", "__init__"},  # __init__ gives names their home when they are first used
)

SIDEWAYS: t.Final = {
    ("endpoint", "errors"),
    ("wire", "_native"),  # a splitter and its compiled twin
    ("address", "errors"),
    ("endpoint", "endpoint_options"),  # a text, and what stands behind its question mark
    ("address", "endpoint"),  # what a text says, and what it resolves to
    ("address", "endpoint_options"),
    ("replicated", "log"),
    ("protocol", "errors"),  # Protocol.closing is told a JackfieldError
    ("engines", "bus"),  # a family of processes talks by way of its hub
    ("server", "server_checks"),
    ("server", "supervisor"),
    ("server", "tools"),  # every server logs who comes and goes
    *((part, "lazy_typing") for part in FLOORS[0]),  # as if it were the standard library's
}
"""Imports between two packages of one floor. ``graphlib`` sees that they make no cycle."""

SANS_IO: t.Final = {"protocol", "instrument", "wire", "capture", "rooms", "services"}
IO_MODULES: t.Final = {"socket", "select", "selectors", "socketserver", "threading", "asyncio"}

THIRD_PARTY: t.Final = {
    "cli": {"click", "rich", "textual"},
    "bench": {"click", "rich", "uvloop", "gevent", "twisted"},
    "engines": {"uvloop"},  # where it is installed
}
"""What may be imported beside the standard library, and by whom."""

MOST_LINES: t.Final = 400
"""Of a file; 300 is the aim. What is longer does two things."""

MACHINE_PATH: t.Final = re.compile(r"/(home|root|Users)/\w")


def name_of(path: Path) -> str:
    """``jackfield.wire.lines`` for .../jackfield/wire/lines.py."""
    parts = path.relative_to(SRC).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 2 else parts)


CYTHON_IMPORT: t.Final = re.compile(r"(?:from (?!cpython|libc|posix)\S+ c?import|import) .*")


def parsed(path: Path) -> ast.Module:
    """Of Cython only its docstring and its imports, cimports included, as Python would say it."""
    text = path.read_text()
    if path.suffix != ".py":
        docstring, _, rest = text.removeprefix('"""').partition('"""')
        lines = [line.replace(" cimport ", " import ") for line in rest.splitlines()]
        kept = [line if CYTHON_IMPORT.fullmatch(line) else "" for line in lines]
        text = "\n".join([f'"""{docstring}"""', *kept])
    return ast.parse(text, str(path))


TREES: t.Final = {
    # Last wins: a .pxd is a module of its own where there is no .pyx.
    name_of(path): parsed(path)
    for suffix in ("pxd", "pyx", "py")
    for path in PACKAGE.rglob(f"*.{suffix}")
}


def part_of(module: str) -> str:
    """The package or module directly below jackfield that ``module`` belongs to."""
    return module.split(".")[1]


def floor_of(module: str) -> int:
    for number, parts in enumerate(FLOORS):
        if part_of(module) in parts:
            return number
    pytest.fail(f"{module} has no floor; give {part_of(module)} one in FLOORS and the docs")


def imports(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and full name of all that is imported; of ``from a import b`` both may be modules."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: write the whole name, not dots"
            for alias in node.names:
                yield node.lineno, f"{node.module}.{alias.name}"


def own_imports(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and module of each import from jackfield itself."""
    for line, name in imports(tree):
        if name.partition(".")[0] == "jackfield" and name != "jackfield.__version__":
            module = name if name in TREES else name.rpartition(".")[0]
            assert module in TREES, f"line {line}: there is no {name}"
            yield line, module


def arrow_trouble(importer: str, imported: str) -> str | None:
    """Why one module may not import the other, or None if it may."""
    above, below = floor_of(importer), floor_of(imported)
    if below < above or part_of(importer) == part_of(imported):
        return None
    if below > above:
        return f"goes up, from floor {above} to {below}"
    if (part_of(importer), part_of(imported)) in SIDEWAYS:
        return None
    return f"goes sideways on floor {above}"


@pytest.mark.parametrize("module", sorted(TREES))
def test_imports_go_down(module: str) -> None:
    wrong = [
        f"{module}:{line} imports {imported}: {trouble}"
        for line, imported in own_imports(TREES[module])
        if (trouble := arrow_trouble(module, imported))
    ]
    assert not wrong, "\n".join(wrong)


def test_an_upward_arrow_is_found() -> None:
    tree = ast.parse("def late():\n    from jackfield.server import Server")
    assert list(own_imports(tree)) == [(2, "jackfield.server")]
    assert arrow_trouble("jackfield.wire.lines", "jackfield.server")
    assert arrow_trouble("jackfield.services.echo", "jackfield.kernel.sockets")
    assert arrow_trouble("jackfield.errors", "jackfield.endpoint")
    assert arrow_trouble("jackfield.server", "jackfield.wire.lines") is None


def test_no_cycle() -> None:
    graph = {
        module: {imported for _, imported in own_imports(tree) if imported != module}
        for module, tree in TREES.items()
    }
    graphlib.TopologicalSorter(graph).prepare()  # CycleError names the modules


def test_every_floor_stands() -> None:
    parts = {part_of(module) for module in TREES}
    assert set().union(*FLOORS) == parts


@pytest.mark.parametrize("module", sorted(m for m in TREES if part_of(m) in SANS_IO))
def test_sans_io(module: str) -> None:
    used = {name.partition(".")[0] for _, name in imports(TREES[module])}
    assert not used & IO_MODULES


@pytest.mark.parametrize("module", sorted(TREES))
def test_the_library_needs_the_standard_library_alone(module: str) -> None:
    used = {name.partition(".")[0] for _, name in imports(TREES[module])}
    foreign = used - sys.stdlib_module_names - {"jackfield"}
    assert foreign <= THIRD_PARTY.get(part_of(module), set())


def sets_no_options(module: str) -> bool:
    """All but the kernel floor, and but peers that are written as their own users would."""
    return part_of(module) != "kernel" and not module.startswith("jackfield.bench.peers.")


@pytest.mark.parametrize("module", sorted(filter(sets_no_options, TREES)))
def test_only_the_kernel_floor_sets_options(module: str) -> None:
    lines = [
        node.lineno
        for node in ast.walk(TREES[module])
        if isinstance(node, ast.Attribute) and node.attr == "setsockopt"
    ]
    assert not lines, f"{module}: setsockopt in lines {lines}; it belongs in kernel/options.py"


@pytest.mark.parametrize("module", sorted(TREES))
def test_a_module_says_what_it_is(module: str) -> None:
    assert ast.get_docstring(TREES[module])


def sources() -> list[Path]:
    return sorted(p for p in PACKAGE.rglob("*") if p.suffix in {".py", ".c", ".h", ".pyx"})


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_files_are_short(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= MOST_LINES


def written_files() -> Iterator[Path]:
    """The project's own text: what stands at the top and in its directories."""
    yield from (path for path in ROOT.iterdir() if path.is_file() and path.name != ".git")
    for name in (".ci", "bench", "docs", "examples", "fuzz", "scripts", "src", "tests"):
        for path in (ROOT / name).rglob("*"):
            if path.is_file() and not re.search(r"__pycache__|\.egg-info", str(path)):
                yield path


def test_no_path_of_somebodys_machine() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in written_files()
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1)
        if MACHINE_PATH.search(line)
    ]
    assert not found


# --- the public names --------------------------------------------------------------------------


def names_for_type_checkers() -> dict[str, str]:
    """Name -> module of the block under TYPE_CHECKING in jackfield/__init__.py."""
    blocks = [node for node in TREES["jackfield.__init__"].body if isinstance(node, ast.If)]
    assert len(blocks) == 1
    imported = [node for node in blocks[0].body if isinstance(node, ast.ImportFrom)]
    return {alias.name: str(node.module) for node in imported for alias in node.names}


def test_public_names_agree() -> None:
    homes = {name: f"jackfield.{home}" for name, home in jackfield._HOMES.items()}
    # A name may be handed on by its home from another module, but not the other way round.
    for name, module in names_for_type_checkers().items():
        assert getattr(importlib.import_module(module), name) is getattr(jackfield, name)
    assert set(names_for_type_checkers()) == set(homes)
    assert jackfield.__all__ == sorted({*homes, "__version__"})


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = jackfield.nonsense


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import jackfield", {"socket", "asyncio", "jackfield.server", "logging"}),
        ("from jackfield import Protocol, Room", {"socket", "select", "asyncio"}),
        ("from jackfield import serve, Server", {"asyncio", "click", "rich", "uvloop"}),
    ],
)
def test_an_import_costs_what_is_used(statement: str, absent: set[str]) -> None:
    program = f"{statement}\nimport sys\nprint(*sys.modules)"
    said = subprocess.run(
        [sys.executable, "-I", "-c", program], capture_output=True, text=True, check=True
    )
    assert not absent & set(said.stdout.split())
