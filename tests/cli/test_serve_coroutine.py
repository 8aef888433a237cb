"""``jackfield serve module:handle``: a coroutine for each connection."""

from __future__ import annotations

import signal
import socket
import typing as t
from pathlib import Path

import pytest
from tests.cli.process import Serving, run
from tests.support import receive_all, receive_until

from jackfield import engines

ANY: t.Final = "tcp://127.0.0.1:0"
LOOPS: t.Final = [name for name in engines.COROUTINES if engines.missing(name) is None]

SOURCE: t.Final = """
import asyncio

async def handle(stream):
    try:
        async for line in stream:
            await asyncio.sleep(0.001)
            stream.write(line.upper())
    except asyncio.CancelledError:
        stream.write(b"we close")
        raise
"""


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "mine.py").write_text(SOURCE)
    return tmp_path


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("engine", LOOPS)
def test_served_until_a_signal(here: Path, engine: str, number: signal.Signals) -> None:
    with Serving("serve", "mine:handle", ANY, "--engine", engine, cwd=here) as server:
        with server.connect(server.port()) as client, client.makefile("rb") as stream:
            client.sendall(b"hello\nthere\n")
            assert stream.readline() == b"HELLO\n"
            assert stream.readline() == b"THERE\n"
            server.process.send_signal(number)
            assert stream.read() == b"we close"
        assert server.ended() == 0
        assert [line.split()[0] for line in server.said[1:]] == ["connected", "disconnected"]


@pytest.mark.parametrize("engine", LOOPS)
def test_workers(here: Path, engine: str) -> None:
    command = ("serve", "mine:handle", ANY, "--engine", engine, "--workers", "2")
    with Serving(*command, cwd=here) as server:
        port = server.port()
        for _ in range(8):
            with server.connect(port) as client:
                client.sendall(b"hello\n")
                client.shutdown(socket.SHUT_WR)
                assert receive_all(client) == b"HELLO\n"
        with server.connect(port) as client:
            client.sendall(b"hello\n")
            assert receive_until(client, b"\n") == b"HELLO\n"
            server.process.send_signal(signal.SIGTERM)
            assert receive_all(client) == b"we close"
        assert server.ended() == 0


@pytest.mark.parametrize("engine", ["auto", "thread"])
def test_refused_by_other_engines(here: Path, engine: str) -> None:
    ended = run("serve", "mine:handle", ANY, "--engine", engine, cwd=here)
    assert ended.returncode == 2
    assert ended.stderr.startswith("jackfield: handle is a coroutine function, which the engine ")
    assert ended.stderr.endswith("; use --engine asyncio or uvloop, or give a protocol class\n")
    assert ended.stderr.count("\n") == 1


def test_refused_for_datagrams(here: Path) -> None:
    command = ("serve", "mine:handle", "udp://127.0.0.1:0", "--engine", "asyncio")
    ended = run(*command, cwd=here)
    assert ended.returncode == 2
    assert ended.stderr.startswith("jackfield: udp://127.0.0.1:0: handle serves streams; ")
