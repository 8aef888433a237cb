"""A process that holds two hundred sockets of all kinds, and another that shares them by fork.

Run as a program it makes them, prints what it is (JSON, one line) and lives until its standard
input ends. ``holding`` starts it for a test.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import typing as t
from collections.abc import Iterator

V4, V6 = ("127.0.0.1", 0), ("::1", 0)

HOSTILE: t.Final = b"\0jackfield \x1b[2J\n\xe2\x80\xae[red]x[/red] %d-%d"
"""An abstract name with what a terminal obeys, a line end, an override of direction, markup."""


class Keeper:
    """Makes sockets and keeps them. ``closing`` are (port, peer's port) in TIME-WAIT."""

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self.kept: list[socket.socket] = []
        self.fds: list[int] = []
        self.closing: list[tuple[int, int]] = []

    def keep(self, sock: socket.socket) -> socket.socket:
        self.kept.append(sock)
        return sock

    def listener(self, where: tuple[str, int], backlog: int, **options: t.Any) -> socket.socket:
        family = socket.AF_INET6 if ":" in where[0] else socket.AF_INET
        return self.keep(socket.create_server(where, family=family, backlog=backlog, **options))

    def pair(self, listener: socket.socket, host: str = "") -> tuple[socket.socket, socket.socket]:
        """A client of ``listener``, and its other end."""
        name = listener.getsockname()
        client = self.keep(socket.create_connection((host or name[0], name[1])))
        return client, self.keep(listener.accept()[0])

    def tcp(self) -> None:
        listeners = [self.listener(V4, n + 1) for n in range(8)]
        listeners += [self.listener(V6, n + 1) for n in range(4)]
        for listener in listeners:
            for number in range(6):
                client, server = self.pair(listener)
                if number == 1:
                    client.sendall(bytes(100 + number))
                if number == 2:  # FIN-WAIT-2 here, CLOSE-WAIT there
                    client.shutdown(socket.SHUT_WR)
                if number == 3:
                    server.sendall(b"unread")
                    server.shutdown(socket.SHUT_WR)
        both = self.listener(("::", 0), 5, dualstack_ipv6=True)
        self.pair(both, "127.0.0.1")
        self.keep(socket.socket())
        self.keep(socket.socket()).bind(V4)
        self.full(listeners[-1])
        for _ in range(3):
            client, server = self.pair(listeners[0])
            self.closing.append((client.getsockname()[1], server.getsockname()[1]))
            client.close()
            assert server.recv(1) == b""
            server.close()
        for listener in listeners[:3]:  # who waits to be accepted
            self.keep(socket.create_connection(listener.getsockname()[:2]))

    def full(self, listener: socket.socket) -> None:
        """A connection with both queues full."""
        client, _ = self.pair(listener)
        client.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                client.send(bytes(1 << 16))

    def udp(self) -> None:
        for where, family in ((V4, socket.AF_INET), (V6, socket.AF_INET6)):
            for _ in range(5):
                bound = self.keep(socket.socket(family, socket.SOCK_DGRAM))
                bound.bind(where)
                sender = self.keep(socket.socket(family, socket.SOCK_DGRAM))
                sender.connect(bound.getsockname())
                sender.send(b"nobody reads this")
        self.keep(socket.socket(type=socket.SOCK_DGRAM))

    def unix(self) -> None:
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET):
            for _ in range(6):
                one, _ = map(self.keep, socket.socketpair(socket.AF_UNIX, kind))
                one.send(b"unread")
            for name in (
                os.fsencode(f"{self.directory}/s {int(kind)}"),
                HOSTILE % (os.getpid(), kind),
                b"\0jackfield-%d-%d" % (os.getpid(), kind),
            ):
                self.unix_named(kind, name)

    def unix_named(self, kind: int, name: bytes) -> None:
        bound = self.keep(socket.socket(socket.AF_UNIX, kind))
        bound.bind(name)
        if kind != socket.SOCK_DGRAM:
            bound.listen(3)
        for _ in range(2):  # one is accepted, one waits
            self.keep(socket.socket(socket.AF_UNIX, kind)).connect(name)
        if kind != socket.SOCK_DGRAM:
            self.keep(bound.accept()[0])

    def others(self) -> None:
        netlink = self.keep(socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0))
        netlink.bind((0, 1))
        with contextlib.suppress(PermissionError):
            self.keep(socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3)))
            self.keep(socket.socket(socket.AF_INET, socket.SOCK_RAW, 1))
            self.keep(socket.socket(socket.AF_INET6, socket.SOCK_RAW, 58))
        epoll = self.epoll = select.epoll()
        epoll.register(self.kept[0], select.EPOLLIN)
        epoll.register(self.kept[1], select.EPOLLIN | select.EPOLLOUT | select.EPOLLET)
        self.fds += [os.eventfd(7), os.pidfd_open(os.getpid()), *os.pipe()]
        self.fds.append(os.open(self.directory, os.O_RDONLY))
        self.fds.append(os.open(f"{self.directory}/file", os.O_RDWR | os.O_CREAT))
        self.fds.append(os.open(os.devnull, os.O_WRONLY))


def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        keeper = Keeper(directory)
        keeper.tcp()
        keeper.udp()
        keeper.unix()
        keeper.others()
        child = os.fork()
        if not child:
            signal.pause()
        inodes = {
            one.fileno(): os.fstat(one.fileno()).st_ino for one in keeper.kept if one.fileno() >= 0
        }
        facts = {
            "child": child,
            "inodes": inodes,
            "closing": keeper.closing,
            "watched": [keeper.kept[0].fileno(), keeper.kept[1].fileno()],
            "directory": directory,
        }
        print(json.dumps(facts), flush=True)
        try:
            sys.stdin.read()
        finally:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


class Held(t.NamedTuple):
    """What the process says of itself. ``pids`` are its own and that of its fork."""

    pids: tuple[int, int]
    inodes: dict[int, int]
    closing: list[tuple[int, int]]
    watched: list[int]
    directory: str


@contextlib.contextmanager
def holding(*before: str) -> Iterator[Held]:
    """Start it, by way of the command ``before`` (``setpriv ...``) if one is given."""
    command = [*before, sys.executable, __file__]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        try:
            facts = json.loads(process.stdout.readline())
            yield Held(
                (process.pid, facts["child"]),
                {int(fd): inode for fd, inode in facts["inodes"].items()},
                [(one, other) for one, other in facts["closing"]],
                facts["watched"],
                facts["directory"],
            )
        finally:
            process.stdin.close()
            process.wait()


if __name__ == "__main__":
    main()
