"""What ``jackfield top`` costs while it runs: its CPU time as a share of one core.

    python bench/top_cost.py [--sockets 2000] [--seconds 30] [--save bench/results/top.json]

A process of its own makes connections over loopback, in a network namespace of its own where it may
(as root; else in this one, where other sockets are listed, too), and has a tenth of them exchange
messages all the time, so that rates and order change with every look. Beside it ``jackfield top``
runs on a pseudo-terminal of 120 by 40 with its default interval, whose output is read and thrown
away. Measured is the CPU time, user and system, of the whole command:

whole    from before Python starts until it has been told to quit, of the time that this took
steady   the same without the first seconds, in which Python starts and textual is loaded
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import fcntl
import json
import os
import pty
import resource
import select
import socket
import struct
import subprocess
import sys
import termios
import time

from isolation import ISOLATED, isolate

from jackfield.bench import machine
from jackfield.kernel import sockdiag

TALK = "--talk"
"""Given to itself when it starts itself again: as who talks."""

SETTLED = 5.0
"""Seconds until the steady state is measured."""

ROWS, COLUMNS = 40, 120


def talk(sockets: int) -> None:
    """Make connections, say so, and send on every tenth until standard input ends."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    pairs = []
    while 2 * len(pairs) < sockets:
        client = socket.create_connection(listener.getsockname())
        pairs.append((client, listener.accept()[0]))
    print("ready", flush=True)
    busy = pairs[::10]
    while not select.select([sys.stdin], [], [], 0.05)[0]:
        for number, (client, server) in enumerate(busy):
            client.sendall(bytes(100 + number))
            server.sendall(server.recv(1 << 16))
            client.recv(1 << 16)


def cpu_seconds(pid: int) -> float:
    """User and system time of a process that runs, from /proc/PID/stat (proc(5), 14 and 15)."""
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def watch(seconds: float) -> dict[str, float]:
    """Run the command for ``seconds``; its CPU seconds and those that passed."""
    fd, inner = pty.openpty()
    fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    environment = {**os.environ, "TERM": "xterm-256color"}
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "jackfield", "top", "--tcp"],
        stdin=inner,
        stdout=inner,
        stderr=inner,
        env=environment,
        start_new_session=True,
    )
    os.close(inner)
    early = early_at = 0.0
    shown = 0
    while (passed := time.monotonic() - began) < seconds:
        if select.select([fd], [], [], 0.1)[0]:
            shown += len(os.read(fd, 1 << 16))
        if not early and passed >= SETTLED:
            early, early_at = cpu_seconds(process.pid), passed
    late, late_at = cpu_seconds(process.pid), time.monotonic() - began
    os.write(fd, b"q")
    with contextlib.suppress(OSError):  # EIO: the last program on the terminal has ended
        while os.read(fd, 1 << 16):
            pass
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    whole = time.monotonic() - began
    if process.returncode or not shown:
        raise SystemExit(f"jackfield top ended with {process.returncode}")
    used = usage.ru_utime + usage.ru_stime
    return {
        "seconds": round(whole, 2),
        "cpu_seconds": round(used, 2),
        "whole_percent_of_a_core": round(100 * used / whole, 2),
        "steady_percent_of_a_core": round(100 * (late - early) / (late_at - early_at), 2),
        "bytes_to_the_terminal": shown,
        "memory_mib": round(usage.ru_maxrss / 1024, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sockets", type=int, default=2000)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--save", metavar="FILE")
    parser.add_argument(ISOLATED, action="store_true", help=argparse.SUPPRESS)
    parser.add_argument(TALK, action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.talk:
        return talk(chosen.sockets)
    if not chosen.isolated:
        isolate(__file__, sys.argv[1:])
    talking = [sys.executable, __file__, TALK, "--sockets", str(chosen.sockets)]
    with subprocess.Popen(talking, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as talker:
        assert talker.stdout is not None
        talker.stdout.readline()
        listed = len(sockdiag.tcp())
        found = watch(chosen.seconds)
        assert talker.stdin is not None
        talker.stdin.close()
    report = {
        "command": f"python bench/top_cost.py --sockets {chosen.sockets} "
        f"--seconds {chosen.seconds:g}",
        "when": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": machine.facts(),
        "sockets": listed,
        "terminal": f"{COLUMNS}x{ROWS}",
        **found,
    }
    print(json.dumps(report, indent=2))
    if chosen.save:
        with open(chosen.save, "w") as file:
            file.write(json.dumps(report, indent=2) + "\n")
    return None


if __name__ == "__main__":
    main()
