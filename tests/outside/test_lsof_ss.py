"""What we say of two hundred sockets of all kinds, against what lsof and ss say of them."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import typing as t
from collections.abc import Callable, Iterator

import pytest
from tests.cli.process import run_here as run
from tests.every_socket import Held, holding
from tests.outside.programs import need
from tests.support import PATIENCE, until

ANONYMOUS: t.Final = {"eventpoll", "eventfd", "pidfd"}


@pytest.fixture(scope="module")
def held() -> Iterator[Held]:
    with holding() as held:
        assert len(held.inodes) >= 200
        yield held


def ask(*command: str) -> str:
    ended = subprocess.run(command, check=False, capture_output=True, timeout=PATIENCE)
    return ended.stdout.decode(errors="replace")


def agree(ours: Callable[[], dict[t.Any, t.Any]], theirs: Callable[[], dict[t.Any, t.Any]]) -> None:
    """Both say the same. A socket changes by itself for a moment yet (its FIN is acknowledged),
    so there is another look until nothing has."""

    def same() -> bool:
        one, other = ours(), theirs()
        keys = [key for key in one.keys() | other.keys() if one.get(key) != other.get(key)]
        different[:] = [(key, one.get(key), other.get(key)) for key in keys]
        return not different

    different: list[tuple[t.Any, t.Any, t.Any]] = []
    with contextlib.suppress(pytest.fail.Exception):
        until(same)
    assert not different


# --- lsof --------------------------------------------------------------------------------------


def lsof(pids: tuple[int, ...]) -> dict[tuple[int, str], dict[str, str]]:
    """(pid, fd) -> lsof's fields by their letter; TST is the state."""
    found: dict[tuple[int, str], dict[str, str]] = {}
    pid, fields = 0, {}
    text = ask("lsof", "-nP", "-p", ",".join(map(str, pids)), "-F", "pfatPnT")
    for line in text.splitlines():
        if line.startswith("p"):
            pid = int(line[1:])
        elif line.startswith("f"):
            fields = found.setdefault((pid, line[1:]), {})
        elif line.startswith("TST="):
            fields["state"] = line[4:].replace("_", "")
        elif line[0] in "atPn":
            fields.setdefault(line[0], line[1:])
    return {key: _lsof_row(row) for key, row in found.items() if key[1].isdigit()}


def _lsof_row(row: dict[str, str]) -> dict[str, str]:
    kind, name = row["t"], row.get("n", "")
    seen = {"mode": row["a"].strip(), "type": kind}
    if kind in ("IPv4", "IPv6"):
        seen |= {"protocol": row["P"].lower(), "name": name}
        if row["P"] == "TCP":
            seen["state"] = row["state"]
    elif kind == "unix":
        said = re.search(r"type=(\w+)(?: \((\w+)\))?$", name)
        assert said, name
        seen |= {"protocol": said[1].lower(), "state": row.get("state") or said[2]}
    elif kind in ("REG", "DIR", "CHR"):
        seen["name"] = name
    return seen


def our_fds(pids: tuple[int, ...]) -> dict[tuple[int, str], dict[str, str]]:
    """The same fields of our rows, in lsof's words."""
    found = {}
    for pid in pids:
        for row in json.loads(run("fds", "--json", str(pid)).stdout):
            found[pid, str(row["fd"])] = _our_row(row)
    return found


def _our_row(row: dict[str, t.Any]) -> dict[str, str]:
    kind, state = row["type"], row["state"].replace("-", "")
    seen = {"mode": row["mode"], "type": kind}
    if kind in ANONYMOUS:
        seen["type"] = "a_inode"
    elif kind == "packet":
        seen["type"] = "pack"
    elif kind in ("IPv4", "IPv6") and row["protocol"] == "raw":
        seen["type"] = "raw" if kind == "IPv4" else "raw6"
    elif kind in ("IPv4", "IPv6") and not row.get("peer") and state in ("CLOSED", ""):
        seen["type"] = "sock"  # lsof knows nothing of a socket that is bound at most
    elif kind in ("IPv4", "IPv6") and "local" not in row:
        seen["type"] = "sock"
    elif kind in ("IPv4", "IPv6"):
        ends = [_as_lsof(row[end]) for end in ("local", "peer") if row[end]]
        seen |= {"protocol": row["protocol"], "name": "->".join(ends)}
        if row["protocol"] == "tcp":
            seen["state"] = state
    elif kind == "unix":
        words = {"ESTABLISHED": "CONNECTED", "UNCONNECTED": "UNCONNECTED", "LISTEN": "LISTEN"}
        seen |= {"protocol": row["protocol"], "state": words[state]}
    elif kind in ("REG", "DIR", "CHR"):
        seen["name"] = row["name"]
    return seen


def _as_lsof(address: str) -> str:
    """It writes "*" for every address, and an IPv4 client of an IPv6 socket as IPv4."""
    address = re.sub(r"^(0\.0\.0\.0|\[::\]):", "*:", address)
    return re.sub(r"^\[::ffff:([0-9.]+)\]", r"\1", address)


def test_fds_agrees_with_lsof_row_by_row(held: Held) -> None:
    need("lsof")
    agree(lambda: our_fds(held.pids), lambda: lsof(held.pids))
    rows = our_fds(held.pids)
    kinds = {row["type"] for row in rows.values()}
    assert kinds >= {"IPv4", "IPv6", "unix", "netlink", "a_inode", "FIFO", "CHR", "REG", "DIR"}
    assert {pid for pid, _ in rows} == set(held.pids)  # each has rows of its own
    assert {fd for pid, fd in rows if pid == held.pids[1]} >= {str(fd) for fd in held.inodes}


# --- ss ----------------------------------------------------------------------------------------

SS_STATES: t.Final = {"ESTAB": "ESTABLISHED", "UNCONN": "UNCONNECTED", "SYN-RECV": "SYN-RECEIVED"}


def ss_inet(held: Held) -> dict[t.Any, t.Any]:
    """Inode, or for TIME-WAIT the two ports -> state, queues, addresses."""
    found: dict[t.Any, t.Any] = {}
    for line in ask("ss", "-Htuaneo").splitlines():
        protocol, state, first, second, here, there, *rest = line.split()
        inode = re.search(r"\bino:([1-9]\d*)", " ".join(rest))
        key = int(inode[1]) if inode else (_port(here), _port(there))
        state = re.sub(r"^FIN-WAIT-?", "FIN-WAIT-", SS_STATES.get(state, state))
        found[key] = (protocol, state, int(first), int(second), here, there)
    return _those_of(held, found)


def our_inet(held: Held) -> dict[t.Any, t.Any]:
    found: dict[t.Any, t.Any] = {}
    for one in json.loads(run("sockets", "--tcp", "--udp", "--json").stdout):
        if one["state"] == "CLOSED":
            continue  # bound only: this ss does not ask for them
        key = one["inode"] or (_port(one["local"]), _port(one["peer"]))
        first, second = _queues(one)
        here, there = (_as_ss(one[end], one) for end in ("local", "peer"))
        found[key] = (one["protocol"], one["state"], first, second, here, there)
    return _those_of(held, found)


def _queues(one: dict[str, t.Any]) -> tuple[int, int]:
    if "waiting" in one:
        return one["waiting"], one["backlog"]
    return one["receive_queue"], one["send_queue"]


def _as_ss(address: str, one: dict[str, t.Any]) -> str:
    if not address:
        return "0.0.0.0:*" if one["type"] == "IPv4" else "*:*" if _dual(one) else "[::]:*"
    return address.replace("[::]:", "*:") if _dual(one) else address


def _dual(one: dict[str, t.Any]) -> bool:
    """ss writes "*" for an IPv6 socket on every address that takes IPv4, too."""
    return bool(one["type"] == "IPv6" and one["local"].startswith("[::]:"))


def _port(address: str) -> str:
    return address.rpartition(":")[2]


def _those_of(held: Held, found: dict[t.Any, t.Any]) -> dict[t.Any, t.Any]:
    """Others make and close sockets while we compare."""
    wanted = {*held.inodes.values(), *((str(one), str(other)) for one, other in held.closing)}
    return {key: value for key, value in found.items() if key in wanted}


def test_tcp_and_udp_sockets_agree_with_ss(held: Held) -> None:
    need("ss")
    agree(lambda: our_inet(held), lambda: ss_inet(held))
    seen = our_inet(held)
    assert len(seen) > 100
    states = {one[1] for one in seen.values()}
    assert states >= {"LISTEN", "ESTABLISHED", "CLOSE-WAIT", "FIN-WAIT-2", "TIME-WAIT"}
    assert any(one[1] == "LISTEN" and one[2] for one in seen.values()), "nobody waits"


SS_UNIX: t.Final = {"u_str": "stream", "u_dgr": "dgram", "u_seq": "seqpacket"}


def ss_unix(held: Held) -> dict[int, t.Any]:
    """By inode. Of names the plain ones: ss writes others to the terminal as they are."""
    found = {}
    shape = re.compile(r"(u_\w+)\s+(\S+)\s+(\d+)\s+(\d+) +(.*) (\d+) +(\S.*?|\*) (\d+)\s")
    for line in ask("ss", "-Hxan").splitlines():
        said = shape.match(line + " ")
        if said and int(said[6]) in held.inodes.values():
            name = said[5].strip().removeprefix("*").replace("*", "")
            state = SS_STATES.get(said[2], said[2])
            kind = SS_UNIX[said[1]]
            plain = name if "jackfield \x1b" not in name else ""
            found[int(said[6])] = (kind, state, int(said[3]), int(said[4]), plain)
    return found


def our_unix(held: Held) -> dict[int, t.Any]:
    found = {}
    for one in json.loads(run("sockets", "--unix", "--json").stdout):
        if one["inode"] in held.inodes.values() and "\n" not in one["local"]:
            found[one["inode"]] = (one["protocol"], one["state"], *_queues(one), one["local"])
    return found


def test_unix_sockets_agree_with_ss(held: Held) -> None:
    need("ss")
    hostile = {
        one["inode"]
        for one in json.loads(run("sockets", "--unix", "--json").stdout)
        if "\n" in one["local"]
    }
    assert len(hostile & set(held.inodes.values())) >= 3

    def theirs() -> dict[int, t.Any]:
        return {inode: one for inode, one in ss_unix(held).items() if inode not in hostile}

    agree(lambda: our_unix(held), theirs)
    assert len(our_unix(held)) >= 40
