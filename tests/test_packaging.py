"""What is published: the source archive, and what pip installs of it. Nothing is compiled here."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("setuptools", reason="setuptools is missing; it builds the archive")
pytest.importorskip("Cython", reason="Cython is missing; it builds the archive")

ROOT = Path(__file__).parents[1]
FOLDERS = (".ci", "bench", "docs", "examples", "fuzz", "scripts", "src", "tests")
MADE = shutil.ignore_patterns("__pycache__", "*.so", "*.egg-info")
"""What is made where it is built."""


def build(what: str, tree: Path, out: Path, **environment: str) -> Path:
    """Call setuptools as pip does in ``tree``: ``what`` is ``sdist`` or ``wheel``."""
    code = f"import setuptools.build_meta as b; b.build_{what}({str(out)!r})"
    subprocess.run(
        [sys.executable, "-c", code],
        cwd=tree,
        env=os.environ | environment,
        check=True,
        stdout=subprocess.DEVNULL,
        timeout=120,
    )
    (made,) = out.iterdir()
    return made


def files(tree: Path) -> set[str]:
    return {str(path.relative_to(tree)) for path in tree.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the repository, in which nothing has been built."""
    copy = tmp_path_factory.mktemp("copy")
    for path in ROOT.iterdir():
        if path.name in FOLDERS:
            shutil.copytree(path, copy / path.name, ignore=MADE, symlinks=True)
        elif path.is_file() and path.name not in {".git", "PKG-INFO", "setup.cfg"}:
            shutil.copy(path, copy)
    return copy


@pytest.fixture(scope="module")
def wanted(tree: Path) -> set[str]:
    return files(tree)


@pytest.fixture(scope="module")
def unpacked(tree: Path, wanted: set[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source archive of it, which must not depend on what can be compiled here."""
    (tree / "src/jackfield/_native/loop.abi3.so").touch()  # as an editable install leaves it
    (tree / "tests/__pycache__").mkdir()
    (tree / "tests/__pycache__/conftest.cpython-311.pyc").touch()
    archive = build("sdist", tree, tmp_path_factory.mktemp("sdist"), JACKFIELD_PURE="1")
    out = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(archive) as tar:
        tar.extractall(out, filter="data")
    (top,) = out.iterdir()
    return top


def test_the_source_archive_is_the_repository(unpacked: Path, wanted: set[str]) -> None:
    """So that `make test` runs in it. A file that is not there: name it in MANIFEST.in."""
    found = {name for name in files(unpacked) if ".egg-info/" not in name}
    assert found - {"PKG-INFO", "setup.cfg"} == wanted


@pytest.fixture(scope="module")
def installed(unpacked: Path, tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """What a wheel made of the source archive holds, where nothing is to be compiled."""
    tree = shutil.copytree(unpacked, tmp_path_factory.mktemp("there") / "tree")
    wheel = build("wheel", tree, tmp_path_factory.mktemp("wheel"), JACKFIELD_PURE="1")
    assert wheel.name.endswith("-py3-none-any.whl")
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


def test_a_wheel_holds_what_runs_and_no_more(installed: set[str]) -> None:
    """The C that bench compiles on the spot, and the types; not what was compiled already."""
    sources = ROOT / "src"
    wanted = {
        str(path.relative_to(sources))
        for path in (sources / "jackfield").rglob("*")
        if path.suffix in {".py", ".pyi"}
        or path.name == "py.typed"
        or path.parent.match("bench/c/")
    }
    assert installed == {name for name in wanted if "__pycache__" not in name}
    assert {"jackfield/py.typed", "jackfield/bench/c/load.c"} < installed


def test_without_a_compiler_the_install_succeeds(unpacked: Path, tmp_path: Path) -> None:
    """And lacks what would have been compiled. One part stands for all: Cython takes its time."""
    tree = shutil.copytree(unpacked, tmp_path / "tree")
    for part in (tree / "src/jackfield/_native").glob("*.pyx"):
        if part.stem != "addresses":
            part.unlink()
    wheel = build("wheel", tree, tmp_path / "wheel", CC="false", JACKFIELD_PURE="")
    assert not wheel.name.endswith("-any.whl"), "it did not try"
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert "jackfield/_native/__init__.py" in names
    assert not [name for name in names if name.endswith((".so", ".pyd"))]
