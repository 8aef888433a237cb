"""Does a server keep what its clients left behind? Every kind of client, for ten minutes.

    python bench/soak.py [--engine native]... [--seconds 600] [--players 60] [--save NAME]

Clients come, go, reset, stall, half-close, send garbage, pipeline without reading, join and leave
rooms, make callbacks fail, and send datagrams from ports that are closed when the answer comes
(soak_load.py), to a server with a service for each (soak_server.py). What the server holds is
measured when everybody has left: after a warm-up, after half of the time, and after all of it. A
row of the table is what is told of it, how much more of it there may be afterwards, and why; the
exit status is 1 if anything is beyond that. A leak grows with every connection, so memory has to
stand still in the second half, whatever the first one made the allocator keep.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import typing as t
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from jackfield import engines, limits
from jackfield.bench import cores, machine, processes

HERE: t.Final = Path(__file__).parent
MIB: t.Final = 1 << 20

SAMPLE: t.Final = 0.2
"""Seconds between two looks at memory under load: smaps_rollup takes the server a millisecond."""

WARM_UP: t.Final = 0.1
"""Of the time: each path taken, each cache and history filled, the allocator's pools in place."""

LONGEST_WARM_UP: t.Final = 30.0
"""Seconds. It is hundreds of connections a second."""

QUIET: t.Final = 0.5
"""Seconds without a connection, a descriptor opened or closed: sockets are closed a tick later."""

REST: t.Final = limits.FLUSH + 30
"""Seconds after which who is still there is left behind."""

ARENAS: t.Final = 8
"""MiB. Python takes memory by the MiB and gives one back when nothing is left in it: in which of
them a long-lived object comes to lie is chance, and half of what was used at most stays."""

TIMERS: t.Final = 256
"""Cancelled timers that may wait in a heap for their turn (engines.timers.SWEEP_AT)."""


class Held(t.NamedTuple):
    """What the server has, as itself and as /proc tell."""

    descriptors: int
    threads: int
    memory: int
    own: dict[str, t.Any]


class Row(t.NamedTuple):
    """Something that was counted twice, and how much more is allowed the second time."""

    what: str
    before: float
    after: float
    allowed: float
    why: str

    @property
    def well(self) -> bool:
        return self.after - self.before <= self.allowed


class Server:
    """soak_server.py at work."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.ports: dict[str, int] = json.loads(self._line())

    def _line(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"soak: the server has ended with status {self.process.wait()}")
        return line

    def own(self) -> dict[str, t.Any]:
        assert self.process.stdin is not None
        self.process.stdin.write("measure\n")
        self.process.stdin.flush()
        told: dict[str, t.Any] = json.loads(self._line())
        return told

    def descriptors(self) -> int:
        return sum(_entries(pid, "fd") for pid in processes.tree(self.process.pid))

    def memory(self) -> int:
        return processes.memory_of_all(processes.tree(self.process.pid))

    def held(self) -> Held:
        """When everybody has left, or should have."""
        self._rest()
        own = self.own()  # first: it gives memory back
        threads = sum(_entries(pid, "task") for pid in processes.tree(self.process.pid))
        return Held(self.descriptors(), threads, self.memory(), own)

    def _rest(self) -> None:
        deadline = time.monotonic() + REST
        before, quiet_since = self.descriptors(), time.monotonic()
        while time.monotonic() < min(deadline, quiet_since + QUIET) or self.own()["connections"]:
            if time.monotonic() > deadline:
                return
            time.sleep(SAMPLE)
            if (now := self.descriptors()) != before:
                before, quiet_since = now, time.monotonic()


def _entries(pid: int, directory: str) -> int:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return len(list((processes.PROC / str(pid) / directory).iterdir()))
    return 0


@contextlib.contextmanager
def serving(engine: str, pair: tuple[str, ...]) -> Iterator[Server]:
    """A server, ended by the end of its input. It has to end well."""
    command = [sys.executable, str(HERE / "soak_server.py"), engine, *pair]
    with cores.pinned("server"):
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
    with process:
        try:
            yield Server(process)
            assert process.stdin is not None
            process.stdin.close()
            status = process.wait(timeout=REST)
        finally:
            process.kill()
    if status:
        raise SystemExit(f"soak: the server ended with status {status}")


@contextlib.contextmanager
def certificate() -> Iterator[tuple[str, ...]]:
    """Paths of a certificate and its key; nothing where there is no openssl to make them."""
    if shutil.which("openssl") is None:
        print("soak: no TLS: openssl is not installed", file=sys.stderr)
        yield ()
        return
    with tempfile.TemporaryDirectory() as directory:
        pair = (f"{directory}/certificate.pem", f"{directory}/key.pem")
        files = ("-out", pair[0], "-keyout", pair[1])
        curve = ("ec", "-pkeyopt", "ec_paramgen_curve:P-256")
        subprocess.run(
            ["openssl", "req", "-x509", "-noenc", "-newkey", *curve, *files, "-subj", "/CN=soak"],
            check=True,
            capture_output=True,
        )
        yield pair


def load(server: Server, seconds: float, players: int, seed: int) -> tuple[t.Any, list[int]]:
    """Let them play: what the players tell, and the server's memory meanwhile, in bytes."""
    arguments = (str(seconds), str(players), json.dumps(server.ports), str(seed))
    with cores.pinned("load"):
        process = subprocess.Popen(
            [sys.executable, str(HERE / "soak_load.py"), *arguments],
            stdout=subprocess.PIPE,
            text=True,
        )
    memory: list[int] = []
    began = time.monotonic()
    with process:
        try:
            while process.poll() is None and server.process.poll() is None:
                passed = time.monotonic() - began
                if passed < seconds:
                    memory.append(server.memory())
                    show(f"{passed:6.0f} of {seconds:.0f} s {memory[-1] / MIB:8.1f} MiB")
                time.sleep(SAMPLE)
            if process.poll() is None:
                raise SystemExit(f"soak: the server ended, status {server.process.poll()}")
            assert process.stdout is not None
            return json.load(process.stdout), memory
        finally:
            process.kill()
            show("")


def show(line: str) -> None:
    if sys.stderr.isatty():
        print(f"\r{line:60}\r", end="", file=sys.stderr, flush=True)


def compare(held: list[Held], memory: list[list[int]], players: int) -> list[Row]:
    """The rows of the table. ``held``: at the beginning, in the middle and at the end."""
    before, middle, after = held
    own, then = after.own, before.own
    rows = [
        Row("descriptors", before.descriptors, after.descriptors, 0, "who left is closed"),
        Row("threads", before.threads, after.threads, 0, "none is a client's for ever"),
        Row("connections", 0, own["connections"], 0, "the engine's own count"),
        Row("uncollectable", 0, own["uncollectable"], 0, "gc.garbage"),
        Row("objects", then["objects"], own["objects"], 3 * TIMERS,
            f"{TIMERS} cancelled timers may wait in the heap"),
        Row("blocks", then["blocks"], own["blocks"], 6 * TIMERS,
            "the same timers, and free lists of the interpreter"),
        Row("MiB at rest", before.memory / MIB, after.memory / MIB, ARENAS,
            "arenas that few objects keep; blocks and malloc count what is in use"),
        Row("MiB, 2nd half", middle.memory / MIB, after.memory / MIB, ARENAS,
            "the same"),
        Row("MiB under load", median(memory[0]) / MIB, median(memory[1]) / MIB,
            players * 2 * limits.HIGH_WATER / MIB, "the players' outboxes: chance has its part"),
    ]  # fmt: skip
    if own["allocated"] is not None:
        halfway = middle.own["allocated"] / MIB
        why = "each timer and outbox that is left has some"
        rows.insert(6, Row("MiB malloc, 2nd", halfway, own["allocated"] / MIB, 0.25, why))
    if own["references"] is not None:  # a debug build
        why = "some for each of those objects"
        rows.insert(6, Row("references", then["references"], own["references"], 20 * TIMERS, why))
    return rows


def median(memory: list[int]) -> float:
    return statistics.median(memory or [0])


def grown(before: Held, after: Held) -> dict[str, int]:
    """The types of which there are more, most first."""
    more = {
        name: count - before.own["types"].get(name, 0)
        for name, count in after.own["types"].items()
        if name in before.own["types"] or count > 10
    }
    return dict(sorted(((k, v) for k, v in more.items() if v > 10), key=lambda one: -one[1])[:8])


def soak(engine: str, pair: tuple[str, ...], chosen: argparse.Namespace) -> dict[str, t.Any]:
    """One engine: play, compare, tell. The result says in ``well`` whether nothing was left."""
    print(f"engine {engine}, {chosen.seconds:g} s, {chosen.players} players, seed {chosen.seed}")
    half = chosen.seconds / 2
    with serving(engine, pair) as server:
        load(server, min(chosen.seconds * WARM_UP, LONGEST_WARM_UP), chosen.players, chosen.seed)
        held, told, memory = [server.held()], [], []
        for turn in (1, 2):
            played, used = load(server, half, chosen.players, chosen.seed + turn * 1_000_000)
            told.append(played)
            memory.append(used)
            held.append(server.held())
    connections = held[2].own["accepted"] - held[0].own["accepted"]
    kept = (held[2].memory - held[1].memory) / max(
        1, held[2].own["accepted"] - held[1].own["accepted"]
    )
    print(f"{connections:,} connections; memory kept for each in the second half: {kept:.1f} bytes")
    rows = compare(held, memory, chosen.players)
    for row in rows:
        print(
            f"{row.what:15}{row.before:11,.6g}{row.after:11,.6g}"
            f"{row.after - row.before:+10,.4g} of {row.allowed:5,.4g}"
            f"  {'ok  ' if row.well else 'LEFT'}  {row.why}"
        )
    types = grown(held[0], held[2])
    if types:
        print("more of:", ", ".join(f"{name} {count:+d}" for name, count in types.items()))
    wrong = sum((Counter(one["wrong"]) for one in told), Counter[str]())
    for what, count in wrong.items():
        print(f"WRONG {count} times: {what}")
    return {
        "engine": engine,
        "connections": connections,
        "played": sum((Counter(one["played"]) for one in told), Counter[str]()),
        "wrong": wrong,
        "rows": [row._asdict() for row in rows],
        "memory": [half[:: max(1, len(half) // 150)] for half in memory],
        "more_of": types,
        "well": not wrong and all(row.well for row in rows),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--engine", action="append", choices=engines.NAMES, metavar="NAME")
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--players", type=int, default=60)
    parser.add_argument("--seed", type=int, default=int(time.time()) % 1_000_000)
    parser.add_argument("--save", metavar="NAME", help="write bench/results/NAME.json")
    chosen = parser.parse_args()
    cores.check_system()
    here = [name for name in engines.COMPILED if engines.missing(name) is None]
    with certificate() as pair:
        results = [soak(engine, pair, chosen) for engine in chosen.engine or here]
    if chosen.save:
        save(results, chosen)
    sys.exit(not all(result["well"] for result in results))


def save(results: list[dict[str, t.Any]], chosen: argparse.Namespace) -> None:
    told = {
        "command": f"python bench/soak.py --seconds {chosen.seconds:g} --players {chosen.players} "
        f"--seed {chosen.seed}",
        "when": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": machine.facts(),
        "results": results,
    }
    (HERE / "results" / f"{chosen.save}.json").write_text(json.dumps(told, indent=2) + "\n")


if __name__ == "__main__":
    main()
