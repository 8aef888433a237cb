"""The command line as a whole: its verbs, its help, its exit statuses."""

from __future__ import annotations

import pytest
from tests.cli.process import run

import jackfield
from jackfield.cli import main
from jackfield.cli.verbs import VERBS


def test_without_a_verb_it_shows_its_help_and_that_is_a_mistake() -> None:
    ended = run()
    assert ended.returncode == 2
    assert ended.stdout == ""
    for verb in VERBS:
        assert f"\n  {verb} " in ended.stderr


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_lists_every_verb(option: str) -> None:
    ended = run(option)
    assert ended.returncode == 0
    assert ended.stderr == ""
    for verb in VERBS:
        assert f"\n  {verb} " in ended.stdout


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([verb, "--help"]) == 0
    assert f"Usage: jackfield {verb} " in capsys.readouterr().out


def test_the_version() -> None:
    assert run("--version").stdout == f"jackfield, version {jackfield.__version__}\n"


@pytest.mark.parametrize("arguments", [["frobnicate"], ["--frobnicate"], ["engines", "extra"]])
def test_an_unknown_word_is_one_line_and_status_2(arguments: list[str]) -> None:
    ended = run(*arguments)
    assert ended.returncode == 2
    assert ended.stderr.startswith("jackfield: ")
    assert ended.stderr.count("\n") == 1
    assert " --help" in ended.stderr
