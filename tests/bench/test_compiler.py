"""Compiling on the spot: once, again when a source changes, and clearly when it cannot."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from jackfield.bench import compiler
from jackfield.errors import SystemRefused


def source(place: Path, status: int) -> Path:
    path = place / "tiny.c"
    path.write_text(f"int main(void) {{ return {status}; }}\n")
    return path


def test_builds_once_and_keeps_the_program(tmp_path: Path) -> None:
    path = source(tmp_path, 3)
    program = compiler.build("tiny", [path], tmp_path)
    built = program.stat().st_mtime_ns
    assert subprocess.run([program], check=False).returncode == 3
    assert compiler.build("tiny", [path], tmp_path) == program
    assert program.stat().st_mtime_ns == built
    assert sorted(tmp_path.iterdir()) == sorted([path, program])


def test_a_changed_source_or_header_is_another_program(tmp_path: Path) -> None:
    first = compiler.build("tiny", [source(tmp_path, 3)], tmp_path)
    second = compiler.build("tiny", [source(tmp_path, 4)], tmp_path)
    (tmp_path / "tiny.h").write_text("/* new */\n")
    third = compiler.build("tiny", [tmp_path / "tiny.c"], tmp_path)
    assert len({first, second, third}) == 3
    assert subprocess.run([second], check=False).returncode == 4


def test_without_a_compiler_one_line_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    with pytest.raises(SystemRefused, match="found no C compiler") as caught:
        compiler.build("tiny", [source(tmp_path, 0)], tmp_path)
    assert "\n" not in str(caught.value)


def test_the_compiler_can_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / "own-cc"
    own.write_text("#!/bin/sh\necho 'tiny.c:1: error: no such luck' >&2\nexit 1\n")
    own.chmod(0o700)
    monkeypatch.setenv("CC", str(own))
    assert compiler.find_compiler() == str(own)
    with pytest.raises(SystemRefused, match="no such luck"):
        compiler.build("tiny", [source(tmp_path, 0)], tmp_path)


def test_a_broken_source_gives_the_compilers_first_error(tmp_path: Path) -> None:
    path = tmp_path / "broken.c"
    path.write_text("int main(void) { return nothing; }\n")
    with pytest.raises(SystemRefused, match="error") as caught:
        compiler.build("broken", [path], tmp_path)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == [path]


def test_the_cache_is_the_users_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    place = compiler.cache_directory()
    assert place == tmp_path / "jackfield"
    assert place.stat().st_mode & 0o777 == 0o700


def test_a_cache_that_cannot_be_made_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))
    place = compiler.cache_directory()
    assert place.is_dir()
    assert place.stat().st_mode & 0o777 == 0o700
    assert compiler.cache_directory() == place
