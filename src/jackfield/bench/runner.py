"""Rounds: every contender once, then every contender again: A B C A B C, each newly started.

What slows the machine for a while (a neighbour, its clock) then hits all of them alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from jackfield.bench.cases import Case
from jackfield.bench.summary import Sample, Spread, ratio, spreads

LOAD_LIMIT = 90.0
"""Per cent of its core above which the load may be what limits."""

SERVER_BUSY = 97.0
"""Per cent of its core from which the server is the limit, whatever the load does."""

DISTURBED = 5.0
"""Per cent of the time in which other processes had the server's or the load's core: above
this a figure says more about them."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a case measured: contender name -> one sample a round, in the order of rounds."""

    case: Case
    samples: dict[str, list[Sample]]

    def spreads(self, name: str) -> dict[str, Spread]:
        """The median, lowest and highest of each metric of contender ``name``."""
        return spreads(self.samples[name])

    def ratio(self, name: str, other: str, metric: str = "") -> Spread | None:
        """``name``'s figure (the headline if none is named) by ``other``'s, round by round; None
        where the other's is nothing."""
        return ratio(self.samples[name], self.samples[other], metric or self.case.headline)

    def warnings(self) -> list[str]:
        """A line for each contender whose figure is not to be trusted, and why."""
        found = []
        for name in self.samples:
            medians = {key: value.median for key, value in self.spreads(name).items()}
            found += [f"{name}: {line}" for line in _doubts(medians)]
        return found


def _doubts(medians: dict[str, float]) -> Iterator[str]:
    load, server = medians.get("load_core", 0.0), medians.get("server_core", 100.0)
    if load > LOAD_LIMIT and server < SERVER_BUSY:
        yield (
            f"the load generator used {load:.0f} % of its core and the server {server:.0f} %: "
            "the server may be faster than this figure"
        )
    disturbed = medians.get("disturbed", 0.0)
    if disturbed > DISTURBED:
        yield (
            f"other processes had its core or the load's for {disturbed:.0f} % of the time: "
            "repeat this on a quiet machine"
        )


def run(case: Case, rounds: int, step: Callable[[str], None] = lambda _: None) -> Result:
    """Measure ``rounds`` rounds; ``step`` is told each contender's name before its turn."""
    samples: dict[str, list[Sample]] = {contender.name: [] for contender in case.contenders}
    for _ in range(rounds):
        for contender in case.contenders:
            step(contender.name)
            samples[contender.name].append(case.measure(contender))
    return Result(case, samples)
