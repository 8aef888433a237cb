"""Every way to serve, against what each promises to who looks from outside."""

from __future__ import annotations

import typing as t

from tests.contracts.black_box import ConnectionContract
from tests.contracts.black_box_engine import (
    DeadlineContract,
    LimitContract,
    LoopContract,
    RateContract,
    StopContract,
)
from tests.contracts.probing import Way
from tests.households import needs_proc

from jackfield import engines, pollers

pytestmark = needs_proc

CONTRACTS: t.Final = (
    ConnectionContract,
    LoopContract,
    LimitContract,
    RateContract,
    DeadlineContract,
    StopContract,
)
DIFFERENT: t.Final = {
    "thread": Way("thread", one_thread=False),
    "fork": Way("fork", forks=True),
    "iterative": Way("iterative", many=False),
    "workers": Way(pollers.best(), workers=2),
}
"""The ways that are not one thread of one process for many."""

WAYS: t.Final = {name: Way(name) for name in engines.NAMES} | DIFFERENT
NEEDS_COMPANY: t.Any = None
LEFT_OUT: t.Final = {
    # One at a time: who would be one too many waits in the backlog, and is not refused.
    "iterative": {"test_max_connections": NEEDS_COMPANY, "test_max_per_host": NEEDS_COMPANY},
}


def suites(name: str) -> t.Iterator[tuple[str, type]]:
    """A class for each contract, for the way called ``name``."""
    members = {"way": WAYS[name], **LEFT_OUT.get(name, {})}
    for contract in CONTRACTS:
        title = f"Test{name.title()}{contract.__name__.removesuffix('Contract')}"
        yield title, type(title, (contract,), members)


for _name in WAYS:
    if _name == "workers" or engines.missing(_name) is None:
        globals().update(suites(_name))
