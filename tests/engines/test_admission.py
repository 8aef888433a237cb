"""Who may come in."""

from __future__ import annotations

import resource

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jackfield import limits
from jackfield.engines.admission import Admission
from jackfield.engines.base import Options
from jackfield.errors import UsageError
from jackfield.tools.status_answer import LIMITS

A, B, A_AGAIN = ("127.0.0.1", 1000), ("127.0.0.2", 1000), ("127.0.0.1", 2000)
V6 = ("::1", 1000, 0, 0)


@pytest.mark.parametrize("name", LIMITS)
@pytest.mark.parametrize("value", [-1, float("nan")])
def test_a_limit_is_nothing_negative(name: str, value: float) -> None:
    options: dict[str, float] = {name: value}
    with pytest.raises(UsageError, match=f"^{name} must be 0 or more, not {value}$"):
        Options(**options)  # type: ignore[arg-type]


def test_connections_in_all() -> None:
    admission = Admission(Options(max_connections=2))
    assert admission.refusal(A) is None
    admission.enter(A)
    admission.enter(B)
    assert admission.refusal(V6) == "max-connections"
    admission.leave(A)
    assert admission.refusal(V6) is None
    assert admission.count == 1


def test_connections_per_host() -> None:
    admission = Admission(Options(max_per_host=1))
    for peer in (A, V6):
        admission.enter(peer)
    assert admission.refusal(A_AGAIN) == "max-per-host"
    assert admission.refusal(V6) == "max-per-host"
    assert admission.refusal(B) is None
    admission.leave(A)
    assert admission.refusal(A_AGAIN) is None


def test_connections_per_second() -> None:
    """A burst of one second's worth, then the rate; who is refused for it costs it nothing."""
    now = 1000.0
    admission = Admission(Options(max_per_second=4), lambda: now)
    assert [admission.refusal(A) for _ in range(4)] == [None] * 4
    assert [admission.refusal(B) for _ in range(9)] == ["max-per-second"] * 9
    now += 0.25
    assert [admission.refusal(V6), admission.refusal(V6)] == [None, "max-per-second"]
    now += 1000
    assert [admission.refusal(A) for _ in range(5)] == [None] * 4 + ["max-per-second"]


def test_less_than_one_connection_per_second() -> None:
    now = 0.0
    admission = Admission(Options(max_per_second=0.1), lambda: now)
    assert [admission.refusal(A), admission.refusal(A)] == [None, "max-per-second"]
    now = 9.9
    assert admission.refusal(A) == "max-per-second"
    now = 10.1
    assert admission.refusal(A) is None


def test_who_is_refused_otherwise_costs_the_rate_nothing() -> None:
    admission = Admission(Options(max_per_second=1, max_per_host=1), lambda: 0.0)
    admission.enter(A)
    assert admission.refusal(A_AGAIN) == "max-per-host"
    assert admission.refusal(B) is None
    assert admission.rename(A, B) is None  # has come in already


@pytest.mark.parametrize("peer", ["", "/run/client", b"\0name"])
def test_unix_peers_are_no_hosts(peer: object) -> None:
    admission = Admission(Options(max_per_host=1))
    for _ in range(3):
        assert admission.refusal(peer) is None
        admission.enter(peer)
    for _ in range(3):
        admission.leave(peer)
    assert admission.count == 0


def test_who_turns_out_to_be_somebody_else() -> None:
    admission = Admission(Options(max_per_host=1))
    admission.enter(A)
    assert admission.rename(A, B) is None
    assert admission.refusal(A_AGAIN) is None
    assert admission.refusal(B) == "max-per-host"
    admission.enter(A)
    assert admission.rename(A, ("127.0.0.2", 7)) == "max-per-host"
    admission.leave(B)
    admission.leave(("127.0.0.2", 7))  # it counted until it was closed
    assert admission.count == 0
    assert admission.refusal(A) is admission.refusal(B) is None


def test_proxies_are_not_counted_but_whom_they_speak_for() -> None:
    admission = Admission(Options(max_connections=4, max_per_host=1, proxies={A}))
    for _ in range(2):
        assert admission.refusal(A) is None
        admission.enter(A)
    assert admission.rename(A, B) is None
    assert admission.rename(A, B) == "max-per-host"
    assert admission.count == 2
    admission.enter(A)
    admission.enter(A)
    assert admission.refusal(A) == "max-connections"


def test_no_limit_is_what_the_descriptors_allow() -> None:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    admission = Admission(Options())
    if soft == resource.RLIM_INFINITY:
        pytest.skip("RLIMIT_NOFILE is unlimited")
    admission.count = soft - limits.DESCRIPTOR_RESERVE - 1
    assert admission.refusal(A) is None
    admission.count += 1
    assert admission.refusal(A) == "max-connections"


@pytest.mark.parametrize("soft", [0, 1, limits.DESCRIPTOR_RESERVE])
def test_even_a_tiny_limit_lets_one_in(soft: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jackfield.engines.admission.descriptor_limit", lambda: soft)
    assert Admission(Options()).refusal(A) is None


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=60))
def test_the_table_is_no_larger_than_who_is_connected(steps: list[tuple[int, bool]]) -> None:
    admission = Admission(Options(max_per_host=2))
    inside: list[tuple[str, int]] = []
    for number, comes in steps:
        peer = (f"127.0.0.{number}", 1)
        if comes and admission.refusal(peer) is None:
            admission.enter(peer)
            inside.append(peer)
        elif peer in inside:
            admission.leave(peer)
            inside.remove(peer)
        assert admission.count == len(inside)
        assert max((inside.count(p) for p in inside), default=0) <= 2
        assert set(admission._by_host) == {host for host, _ in inside}
