"""``jackfield wire`` between two machines on Ethernet: network namespaces joined by a veth pair."""

from __future__ import annotations

import json
import sys
import typing as t
from pathlib import Path

import pytest
from tests.cli.process import JACKFIELD, Serving
from tests.outside.namespaces import INTERFACE, two_machines

SERVER: t.Final = """
import socket, sys
with socket.create_server((sys.argv[1], 0)) as door:
    print(door.getsockname()[1], flush=True)
    accepted, _ = door.accept()
    with accepted:
        accepted.sendall(accepted.recv(100))
        accepted.recv(100)
"""
CLIENT: t.Final = """
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2])), 20) as client:
    client.sendall(b"over the wire")
    client.recv(100)
"""


@pytest.mark.parametrize("interface", [(), ("--interface", INTERFACE)])
def test_each_packet_once_in_both_directions(tmp_path: Path, interface: tuple[str, ...]) -> None:
    with two_machines() as (here, there):
        server = here.run(sys.executable, "-c", SERVER, here.address)
        with server:
            port = server.read_line()
            options = ("--json", "--count", "9", *interface)
            endpoint = f"tcp://{here.address}:{port}"
            with (
                (tmp_path / "out").open("wb") as output,
                Serving(
                    "wire", endpoint, *options, command=here.command(*JACKFIELD), stdout=output
                ) as wire,
            ):
                place = INTERFACE if interface else "every interface"
                wire.expect(rf"capturing on {place}; .*")
                with there.run(sys.executable, "-c", CLIENT, here.address, port) as client:
                    client.read_all()
                assert wire.ended() == 0
    records = [json.loads(line) for line in (tmp_path / "out").read_text().splitlines()]
    segments = records[:-1]
    assert not [each["marks"] for each in segments if each["marks"]]
    assert records[-1]["client"]["end"].startswith(there.address)
    assert (records[-1]["client"]["bytes"], records[-1]["server"]["bytes"]) == (13, 13)
