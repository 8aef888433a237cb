"""Descriptors out of /proc: the parsers on text, the whole on this process and on ones that end."""

from __future__ import annotations

import errno
import os
import select
import socket
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jackfield.errors import SystemRefused
from jackfield.kernel import fdinfo
from jackfield.kernel.fdinfo import Watch

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's /proc")

EPOLL = """\
pos:\t0
flags:\t02000002
mnt_id:\t17
ino:\t1038
tfd:        7 events: 8000001d data:                7  pos:0 ino:4eac81 sdev:9
tfd:        5 events:       19 data: ffffffffffffffff  pos:0 ino:4eac7f sdev:9
tfd: nonsense
"""


def test_parse_fdinfo() -> None:
    info = fdinfo.parse_fdinfo(EPOLL)
    assert (info.flags, info.position) == (0o2000002, 0)
    assert info.watches == (Watch(7, 0x8000001D, 0x4EAC81), Watch(5, 0x19, 0x4EAC7F))
    assert [watch.names for watch in info.watches] == [["IN", "OUT", "ET"], ["IN"]]
    assert info.fields["mnt_id"] == "17"


@given(st.text())
def test_parsers_survive_any_text(text: str) -> None:
    fdinfo.parse_maps(text)
    for feed in (text, f"flags:{text}\npos:{text}\ntfd:{text}", f"tfd: {text} events: {text}"):
        fdinfo.parse_fdinfo(feed)


def test_parse_maps() -> None:
    text = (
        "7f00-7f01 r-xp 00000000 fe:00 29755   /usr/lib/with space.so\n"
        "7f02-7f03 rw-p 00000000 fe:00 29755   /usr/lib/with space.so\n"
        "7f04-7f05 rw-p 00000000 00:00 0       [heap]\n"
        "7f06-7f07 rw-p 00000000 00:00 0\n"
        "7f08-7f09 rw-s 00000000 00:01 3       /gone (deleted)\n"
    )
    assert fdinfo.parse_maps(text) == ["/usr/lib/with space.so", "/gone (deleted)"]


@linux
def test_descriptors_of_this_process(tmp_path: Path) -> None:
    made: list[tuple[t.Any, str, str]] = [
        (os.open(os.devnull, os.O_WRONLY), "CHR", "w"),
        (os.open(tmp_path, os.O_RDONLY), "DIR", "r"),
        (os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT), "REG", "u"),
        (os.open(tmp_path, os.O_PATH), "DIR", ""),
        (os.eventfd(3), "eventfd", "u"),
        (os.pidfd_open(os.getpid()), "pidfd", "u"),
        *zip(os.pipe(), ("FIFO", "FIFO"), ("r", "w"), strict=True),
        (select.epoll(), "eventpoll", "u"),
        (socket.socket(), "sock", "u"),
    ]
    try:
        os.lseek(made[2][0], 5, os.SEEK_SET)
        found = {one.fd: one for one in fdinfo.descriptors(os.getpid())}
        for one, kind, mode in made:
            fd = one if isinstance(one, int) else one.fileno()
            assert (found[fd].type, found[fd].mode) == (kind, mode)
            if kind not in ("eventfd", "eventpoll", "pidfd"):
                assert found[fd].inode == os.fstat(fd).st_ino
        file = found[made[2][0]]
        assert file.target == str(tmp_path / "file")
        assert file.info is not None
        assert file.info.position == 5
    finally:
        for one, _, _ in made:
            os.close(one) if isinstance(one, int) else one.close()


@linux
def test_a_file_cannot_pass_for_a_socket(tmp_path: Path) -> None:
    with open(tmp_path / "socket:[41]", "w") as file:
        (one,) = [d for d in fdinfo.descriptors(os.getpid()) if d.fd == file.fileno()]
        assert one.type == "REG"
        assert (file.fileno(), 41) not in fdinfo.socket_inodes(os.getpid())


@linux
def test_mapped_files() -> None:
    found = fdinfo.mapped_files(os.getpid())
    words = {one.fd: one for one in reversed(found)}
    assert words["cwd"].target == os.getcwd()
    assert words["txt"].target == os.path.realpath(sys.executable)
    assert words["mem"].type == "REG"


@linux
def test_who_holds_a_socket() -> None:
    with socket.socket() as one, socket.socket(fileno=os.dup(one.fileno())) as other:
        owners, _ = fdinfo.all_sockets()
        held = owners[os.fstat(one.fileno()).st_ino]
        assert held == [(os.getpid(), one.fileno()), (os.getpid(), other.fileno())]


@linux
def test_no_such_process() -> None:
    with subprocess.Popen(["true"]) as ended:
        ended.wait()
    for look in (fdinfo.descriptors, fdinfo.socket_inodes, fdinfo.mapped_files):
        with pytest.raises(SystemRefused, match=rf"there is no process {ended.pid}$") as caught:
            look(ended.pid)
        assert caught.value.errno == errno.ESRCH
    assert fdinfo.process_name(ended.pid) == ""
    assert fdinfo.network_namespace(ended.pid) == ""


@linux
def test_somebody_elses_process(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> list[str]:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "listdir", refuse)
    with pytest.raises(SystemRefused, match=r"process 1: .* root only; try sudo"):
        fdinfo.descriptors(1)


@linux
def test_named() -> None:
    own = fdinfo.process_name(os.getpid())
    assert os.getpid() in fdinfo.named(own)
    assert not list(fdinfo.named("no such name"))
