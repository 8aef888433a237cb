"""Which engine ``auto`` takes, and what it says where the best one is refused."""

from __future__ import annotations

import logging

import pytest

from jackfield import engines


@pytest.fixture(autouse=True)
def _first_time(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(engines, "_passed_over", set())
    caplog.set_level(logging.INFO, logger="jackfield")


def allow(monkeypatch: pytest.MonkeyPatch, reasons: dict[str, str]) -> None:
    """Only these are missing, for these reasons."""
    monkeypatch.setattr(engines, "missing", reasons.get)


def test_the_best_is_taken_without_a_word(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    allow(monkeypatch, {})
    assert engines.choose("auto") == engines.AUTOMATIC[0]
    assert caplog.messages == []


def test_where_it_is_refused_the_next_serves_and_says_so_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(engines, "_ELSEWHERE", frozenset())
    allow(monkeypatch, {"uring": "the sysctl is 2"})
    assert [engines.choose("auto") for _ in range(3)] == ["native"] * 3
    assert caplog.messages == ["engine uring is not used: the sysctl is 2; native serves"]


def test_where_nothing_was_compiled(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(engines, "_ELSEWHERE", frozenset({"uring"}))
    allow(monkeypatch, {"uring": "it is Linux's", "native": "no compiler", "epoll": "Linux's"})
    assert engines.choose("auto") == "kqueue"
    assert caplog.messages == ["engine native is not used: no compiler; kqueue serves"]
