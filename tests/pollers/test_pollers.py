"""Pollers by name."""

from __future__ import annotations

import select
import socket
import subprocess
import sys

import pytest

from jackfield import pollers
from jackfield.pollers.base import READ, WRITE


@pytest.mark.parametrize("name", pollers.NAMES)
def test_missing_agrees_with_make(name: str) -> None:
    why = pollers.missing(name)
    if why is None:
        pollers.make(name).close()
    else:
        assert "(2) is" in why or "(7) is" in why
        assert "\n" not in why


def test_best_is_the_first_that_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    assert pollers.missing(pollers.best()) is None
    for gone, then in (("epoll", None), ("kqueue", "poll"), ("poll", "select")):
        monkeypatch.delattr(select, gone, raising=False)
        if then is not None:
            assert pollers.best() == then
        assert pollers.missing(gone) is not None


def test_making_one_does_not_hide_the_others() -> None:
    """Our module ``pollers.select`` and the standard library's have one name."""
    best = pollers.best()
    pollers.make("select").close()
    assert pollers.best() == best


def test_an_unknown_name() -> None:
    with pytest.raises(KeyError):
        pollers.make("devpoll")


def test_only_the_chosen_poller_is_imported() -> None:
    code = (
        "import sys; from jackfield import pollers; pollers.make('select').close(); "
        "print([n for n in ('epoll', 'kqueue', 'poll') if 'jackfield.pollers.' + n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_flags_are_distinct_bits() -> None:
    flags = (READ, WRITE, pollers.ERROR, pollers.HANGUP)
    assert len({*flags}) == 4
    assert all(flag.bit_count() == 1 for flag in flags)


@pytest.mark.skipif(pollers.best() not in pollers.NESTED, reason="no poller is a descriptor")
def test_one_poller_waits_for_another() -> None:
    inner, outer = pollers.make_nested(), pollers.make(pollers.best())
    ours, theirs = socket.socketpair()
    with ours, theirs:
        inner.register(ours.fileno(), pollers.READ)
        outer.register(inner.fileno(), pollers.READ)
        assert not list(outer.poll(0))
        theirs.send(b"x")
        assert list(outer.poll(0)) == [(inner.fileno(), pollers.READ)]
        assert list(inner.poll(0)) == [(ours.fileno(), pollers.READ)]
        ours.recv(1)
        assert not list(outer.poll(0))
        outer.unregister(inner.fileno())
        inner.close()
        outer.close()


def test_without_a_poller_that_is_a_descriptor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pollers, "best", lambda: "select")
    with pytest.raises(KeyError):
        pollers.make_nested()
