"""Pinning and descriptor limits."""

from __future__ import annotations

import os
import resource
import sys

import pytest

from jackfield.bench import cores
from jackfield.errors import SystemRefused, UsageError


def test_pinned_holds_inside_and_is_undone_after_a_failure() -> None:
    before = os.sched_getaffinity(0)
    inside: set[int] = set()

    def fail() -> None:
        with cores.pinned("load"):
            inside.update(os.sched_getaffinity(0))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert os.sched_getaffinity(0) == before
    assert inside == ({sorted(before)[1]} if len(before) > 1 else before)


def test_roles_have_different_cores() -> None:
    assigned = cores.cores()
    if assigned is None:
        assert len(cores.usable()) == 1
    else:
        assert assigned["server"] != assigned["load"]


def test_one_core_is_not_divided(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores, "usable", lambda: [5])
    before = os.sched_getaffinity(0)
    assert cores.cores() is None
    with cores.pinned("server"):
        assert os.sched_getaffinity(0) == before


def test_the_descriptor_limit_is_raised_or_refused() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    cores.raise_descriptor_limit(1)
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)
    if hard != resource.RLIM_INFINITY:
        with pytest.raises(UsageError, match=f"the limit is {hard}"):
            cores.raise_descriptor_limit(hard)


def test_other_systems_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(SystemRefused, match="bench needs Linux"):
        cores.check_system()
