"""How long a server takes from its start until it listens, beside ``python -c pass``.

The interpreter's own start is the yardstick: what is above it is jackfield's imports and set-up.
All run on the server's core, one after the other, nothing else under way; each was started
once before, so that its modules are compiled and in memory, as they are where it is installed.
"""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import time
import typing as t
from collections.abc import Sequence

from jackfield.bench.cases import Case, Metric
from jackfield.bench.cores import pinned
from jackfield.bench.servers import END_TIMEOUT, Contender
from jackfield.bench.summary import Sample
from jackfield.errors import SystemRefused

UNCOMPILED: t.Final = "PYTHONDONTWRITEBYTECODE"
"""Where the environment says this, Python compiles what has changed anew at every start."""

LISTENING: t.Final = b"listening "
"""How the line begins that a server says when it listens."""

BARE: t.Final = Contender(
    "python -c pass", (sys.executable, "-c", "pass"), platform.python_version()
)
"""Never listens: its time is until it has ended."""


def case(contenders: Sequence[Contender], *, starts: int = 10) -> Case:
    """The median of ``starts`` starts; ``python -c pass`` is one of the contenders."""

    def measure(contender: Contender) -> Sample:
        _start(contender)
        times = [_start(contender) * 1e3 for _ in range(starts)]
        return {"median_ms": statistics.median(times), "best_ms": min(times)}

    return Case(
        "start",
        f"start, {starts} a round",
        [*contenders, BARE],
        measure,
        (Metric("median_ms", "until it listens", "ms", 1), Metric("best_ms", "at best", "ms", 1)),
        "median_ms",
        more_is_better=False,
    )


def _start(contender: Contender) -> float:
    """Seconds until it listens, or until it has ended if it is ``BARE``."""
    environment = {key: value for key, value in os.environ.items() if key != UNCOMPILED}
    with pinned("server"):
        began = time.perf_counter()
        process = subprocess.Popen(
            contender.command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            cwd="/",
            env=environment,
        )
    with process:
        try:
            return _wait(contender, process) - began
        finally:
            process.terminate()
            process.wait(END_TIMEOUT)


def _wait(contender: Contender, process: subprocess.Popen[bytes]) -> float:
    assert process.stderr is not None
    line = process.stderr.readline()  # or the end of what has ended
    moment = time.perf_counter()
    if contender is not BARE and not line.startswith(LISTENING):
        said = line.decode("utf-8", "backslashreplace").strip() or "it said nothing"
        raise SystemRefused(f"{contender.name} does not listen: {said}")
    return moment
