"""The ring in C against this kernel: ``ring_checks.c``, compiled with sanitizers and run."""

from __future__ import annotations

import subprocess
import tempfile
import typing as t
from pathlib import Path

import pytest
from tests.support import PATIENCE

import jackfield._native
from jackfield.bench.compiler import find_compiler
from jackfield.errors import SystemRefused
from jackfield.kernel import io_uring

HERE: t.Final = Path(__file__).parent
CHECKS: t.Final = tuple(
    name
    for text in (HERE / "ring_checks.c").read_text().partition("#define EVERY")[2].split("check(")
    if (name := text.partition(")")[0]).isidentifier() and name != "check"
)

pytestmark = pytest.mark.skipif(io_uring.missing() is not None, reason=str(io_uring.missing()))


@pytest.fixture(scope="module")
def program() -> t.Iterator[Path]:
    """The checks, compiled; without sanitizers where the compiler has none."""
    try:
        compiler = find_compiler()
    except SystemRefused as exc:
        pytest.skip(f"the checks of the ring are in C: {exc}")
    headers = Path(jackfield._native.__file__).parent
    with tempfile.TemporaryDirectory() as place:
        command = [compiler, "-std=c11", "-g", "-O1", "-Wall", "-Wextra", "-Werror", "-Wno-psabi"]
        command += [f"-I{headers}", str(HERE / "ring_checks.c"), "-o", f"{place}/ring_checks"]
        sanitizers = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
        if subprocess.run([*command, *sanitizers], capture_output=True, check=False).returncode:
            subprocess.run(command, check=True)
        yield Path(place) / "ring_checks"


def test_none_is_forgotten(program: Path) -> None:
    listed = subprocess.run([program], capture_output=True, text=True, check=True).stdout.split()
    assert tuple(listed) == CHECKS


@pytest.mark.parametrize("name", CHECKS)
def test_check(program: Path, name: str) -> None:
    command = [str(program), name]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
