"""What it costs to list a machine's TCP sockets: our reader of sock_diag, and ``ss -tin``.

    python bench/list_sockets.py [--sockets 2300] [--rounds 31] [--save bench/results/sockets.json]

Makes connections over loopback, in a network namespace of its own where it may (as root; else in
this one, where other sockets are listed, too). Every round measures each once, in turn:

reader       sockdiag.tcp() in this process: every socket as a record
in full      the same, and of each struct tcp_info, the memory and both addresses as text
ss -tin      its whole process, its output thrown away
top's look   a Snapshot with TCP, UDP and Unix, who holds each, and the cells of a row of each
sockets      the whole command ``jackfield sockets --tcp``: Python's start, and all processes
             searched for their sockets, which -tin does not ask of ss
ss -tinp     what compares with it: ss when it has to say whose sockets they are
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import resource
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

from isolation import ISOLATED, isolate

from jackfield.bench import machine
from jackfield.cli import socket_cells
from jackfield.kernel import sockdiag
from jackfield.tools.fdtable import Snapshot


def in_full() -> None:
    for one in sockdiag.tcp():
        _ = one.tcp, one.memory, one.congestion, one.local, one.peer, one.timer_name


def top_look() -> None:
    snapshot = Snapshot()
    for one in snapshot.sockets:
        snapshot.holders(one.inode)
        socket_cells.name(one, snapshot.unix_peer(one), names=False)
        socket_cells.tcp_cells(one)


def command(*words: str) -> Callable[[], object]:
    return lambda: subprocess.run(words, check=True, stdout=subprocess.DEVNULL)


CONTENDERS: dict[str, Callable[[], object]] = {
    "reader": sockdiag.tcp,
    "in full": in_full,
    "ss -tin": command("ss", "-tin"),
    "top's look": top_look,
    "jackfield sockets --tcp": command(sys.executable, "-m", "jackfield", "sockets", "--tcp"),
    "ss -tinp": command("ss", "-tinp"),
}


def connections(count: int) -> list[socket.socket]:
    """``count`` established sockets, two ends for each connection."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    ends: list[socket.socket] = []
    while len(ends) < count:
        ends.append(socket.create_connection(listener.getsockname()))
        ends.append(listener.accept()[0])
    return [listener, *ends]


def measure(rounds: int) -> dict[str, list[float]]:
    """Milliseconds of each, by round."""
    samples: dict[str, list[float]] = {name: [] for name in CONTENDERS}
    for number in range(rounds + 1):
        for name, work in CONTENDERS.items():
            began = time.perf_counter()
            work()
            if number:  # the first round reads programs from disk
                samples[name].append((time.perf_counter() - began) * 1000)
    return samples


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sockets", type=int, default=2300)
    parser.add_argument("--rounds", type=int, default=31)
    parser.add_argument("--save", metavar="FILE")
    parser.add_argument(ISOLATED, action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if not chosen.isolated:
        isolate(__file__, sys.argv[1:])
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with contextlib.ExitStack() as stack:
        for one in connections(chosen.sockets):
            stack.enter_context(one)
        listed = len(sockdiag.tcp())
        samples = measure(chosen.rounds)
    report = {
        "command": f"python bench/list_sockets.py --sockets {chosen.sockets}",
        "when": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": machine.facts(),
        "ss": subprocess.check_output(["ss", "-V"], text=True).strip(),
        "sockets": listed,
        "rounds": chosen.rounds,
        "milliseconds": {name: summary(several, samples) for name, several in samples.items()},
    }
    show(report, samples)
    if chosen.save:
        with open(chosen.save, "w") as file:
            file.write(json.dumps(report, indent=2) + "\n")


def summary(several: list[float], samples: dict[str, list[float]]) -> dict[str, float]:
    ratios = [one / ss for one, ss in zip(several, samples["ss -tin"], strict=True)]
    return {
        "median": round(statistics.median(several), 2),
        "low": round(min(several), 2),
        "high": round(max(several), 2),
        "of ss -tin in the same round": round(statistics.median(ratios), 3),
    }


def show(report: dict[str, object], samples: dict[str, list[float]]) -> None:
    print(f"{report['sockets']} TCP sockets, {report['rounds']} rounds, milliseconds")
    print(" ".join(f"{key}: {value};" for key, value in machine.facts().items()))
    for name, several in samples.items():
        one = summary(several, samples)
        print(
            f"{name:24}{one['median']:8.1f} ({one['low']:.1f} to {one['high']:.1f})"
            f"{one['of ss -tin in the same round']:8.2f} of ss -tin"
        )


if __name__ == "__main__":
    main()
