"""A plain command line means what it means to click, and anything else is click's."""

from __future__ import annotations

import typing as t

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jackfield.cli import main, serve, serving
from jackfield.cli.options import Option, count, read, seconds
from jackfield.cli.serve_options import OPTIONS, plain, rate

VALUES: t.Final[dict[t.Any, list[str]]] = {
    str: ["", "x", "-", "--drain", "a=b", "\u00e4", "\udcff"],
    count: ["0", "7", "+7", " 7 ", "1_000", "-1", "7.0", "x", "", "\u0667"],
    seconds: ["0", "2.5", "1e3", "inf", "nan", "-1", "-0.0", "x", ""],
    rate: ["off", "2", "0", "-1", "inf", "nan", "OFF"],
}


def words_of(option: Option) -> st.SearchStrategy[list[str]]:
    """The option with a value, right or wrong, in each way to write it; or without one."""
    if option.kind is bool:
        return st.sampled_from([[option.name], [f"{option.name}=1"]])
    values = [*option.kind, "x"] if isinstance(option.kind, tuple) else VALUES[option.kind]
    return st.sampled_from(values).flatmap(
        lambda value: st.sampled_from(
            [[option.name, value], [f"{option.name}={value}"], [option.name[:-1], value]]
        )
    )


PLACES: t.Final = st.sampled_from(
    [["echo"], ["tcp://127.0.0.1:0"], ["-"], ["--"], [""], ["-x"], ["--help"], ["--drain"]]
)
LINES: t.Final = st.lists(st.one_of(*map(words_of, OPTIONS), PLACES), max_size=5).map(
    lambda parts: [word for part in parts for word in part]
)


def by_click(words: list[str]) -> dict[str, t.Any] | None:
    try:
        return serve.command.make_context("serve", list(words)).params
    except (click.ClickException, click.exceptions.Exit):
        return None


@given(words=LINES)
def test_what_is_plain_means_what_it_means_to_click(words: list[str]) -> None:
    read_here = plain(words)
    if read_here is not None:
        theirs = by_click(words)
        assert theirs is not None, words
        assert repr(sorted(read_here.items())) == repr(sorted(like(theirs, read_here).items()))


def like(theirs: dict[str, t.Any], ours: dict[str, t.Any]) -> dict[str, t.Any]:
    """click makes a default of 0 seconds 0.0, which is the same number."""
    return {
        key: ours.get(key) if value == ours.get(key) and value == 0 else value
        for key, value in theirs.items()
    }


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_every_option_is_read_without_click(option: Option) -> None:
    """In both ways to write it. (What is read wrong, the test above sees.)"""
    if option.kind is bool:
        assert plain(["echo", option.name]) is not None
        return
    value = option.kind[0] if isinstance(option.kind, tuple) else "1"
    for words in ([option.name, value], [f"{option.name}={value}"]):
        given = plain(["echo", *words])
        assert given is not None
        assert given != plain(["echo"]) or value == option.default


@pytest.mark.parametrize(
    "words", [[], ["--help"], ["echo", "-h"], ["echo", "--drian", "1"], ["echo", "--drain"]]
)
def test_what_is_not_plain_is_left_to_click(words: list[str]) -> None:
    assert plain(words) is None


def test_an_option_that_may_be_given_several_times() -> None:
    several = Option("--name", "", multiple=True)
    assert read([several], ["--name", "a", "--name=b"]) == ([], {"name": ("a", "b")})
    assert read([several], []) == ([], {"name": ()})


def test_click_has_the_word_where_a_shell_completes(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(**_options: t.Any) -> t.NoReturn:
        pytest.fail("it serves")

    monkeypatch.setattr(serving, "run", run)
    monkeypatch.setenv("_JACKFIELD_COMPLETE", "bash_source")
    with pytest.raises(SystemExit):
        main(["serve", "echo"])
