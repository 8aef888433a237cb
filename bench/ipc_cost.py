"""What rooms across processes cost: the same chat by one process, and by workers and their hub.

    python bench/ipc_cost.py [--rounds 5] [--seconds 2] [--members 500] [--senders 50]

Every round measures each server once, newly started: one process, ``--workers 1`` (all of the
detour and none of the gain) and ``--workers 2``. A server, all of its processes, has one core, and
the load (compiled C) another: so this is the cost of the detour, not what more cores gain. The CPU
time is that of all processes of a server together, counted while the load is at work.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import threading
import time

from jackfield import pollers
from jackfield.bench import compiler, cores, load, machine, processes
from jackfield.bench.servers import Contender, jackfield, running

SIZE = 52
"""Bytes of a delivered line, as in ``jackfield bench fanout``."""

IN_FLIGHT = 500
"""Messages under way, of all senders together."""

WARMUP = 1.0
"""Seconds of load before the measured part: imports, connecting, the first adaptations."""


@dataclasses.dataclass(frozen=True)
class Sample:
    """Of one run: messages and deliveries a second, CPU microseconds for each, cores in use."""

    messages: float
    deliveries: float
    cpu_message: float
    cpu_delivery: float
    cores: float


def contenders() -> list[Contender]:
    alone = jackfield("chat", pollers.best())
    return [
        dataclasses.replace(alone, name="one process"),
        *(
            dataclasses.replace(
                alone,
                name=f"--workers {count}",
                command=(*alone.command, "--workers", str(count)),
            )
            for count in (1, 2)
        ),
    ]


def measure(contender: Contender, members: int, senders: int, seconds: float) -> Sample:
    """One run. The load counts deliveries in its own measured part; the CPU time is taken over
    the same length of time, in the midst of the load."""
    measured: list[load.Measured] = []
    failed: list[BaseException] = []

    with running(contender) as server:

        def work() -> None:
            try:
                measured.append(
                    load.fanout(
                        server.target,
                        adapter=contender.speaks,
                        members=members,
                        senders=senders,
                        in_flight=IN_FLIGHT,
                        size=SIZE,
                        seconds=seconds,
                        warmup=WARMUP,
                    )
                )
            except BaseException as exc:
                failed.append(exc)

        thread = threading.Thread(target=work)
        thread.start()
        time.sleep(WARMUP)
        pids = processes.tree(server.target.pid)
        before, began = processes.used(pids), time.monotonic()
        time.sleep(seconds * 0.8)  # not to its end: the load connects before it warms up
        after, ended = processes.used(pids), time.monotonic()
        thread.join()
    if failed:
        raise failed[0]
    rate = measured[0]["operations"] / measured[0]["seconds"]
    used = (after.cpu - before.cpu) / (ended - began)
    return Sample(rate / members, rate, used / rate * members * 1e6, used / rate * 1e6, used)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--members", type=int, default=500)
    parser.add_argument("--senders", type=int, default=50)
    chosen = parser.parse_args()
    cores.check_system()
    cores.raise_descriptor_limit(chosen.members)
    compiler.build("load", [compiler.SOURCES / part for part in load.PARTS])
    samples: dict[str, list[Sample]] = {one.name: [] for one in contenders()}
    for _ in range(chosen.rounds):
        for contender in contenders():
            samples[contender.name].append(
                measure(contender, chosen.members, chosen.senders, chosen.seconds)
            )
    report(samples, chosen)


def report(samples: dict[str, list[Sample]], chosen: argparse.Namespace) -> None:
    print(f"{chosen.members} members, {chosen.senders} senders, {chosen.rounds} rounds, medians")
    print(" ".join(f"{key}: {value};" for key, value in machine.facts().items()))
    first = next(iter(samples.values()))
    for name, several in samples.items():
        ratios = [
            one.cpu_delivery / base.cpu_delivery for one, base in zip(several, first, strict=True)
        ]
        print(
            f"{name:12}"
            f"{median(several, 'messages'):9,.0f} messages/s"
            f"{median(several, 'deliveries'):13,.0f} deliveries/s"
            f"{median(several, 'cpu_message'):8.1f} us/message"
            f"{median(several, 'cpu_delivery') * 1000:8.1f} ns/delivery"
            f"{median(several, 'cores'):6.2f} cores"
            f"   CPU {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        )


def median(several: list[Sample], field: str) -> float:
    return float(statistics.median(getattr(one, field) for one in several))


if __name__ == "__main__":
    main()
