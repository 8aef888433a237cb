"""Root given up: who is meant, what is refused, and what /proc says of the one who serves."""

from __future__ import annotations

import grp
import os
import pwd
import re
import socket
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest
from tests.cli.process import Serving, run
from tests.support import receive

from jackfield.errors import SystemRefused, UsageError
from jackfield.kernel import privileges
from jackfield.kernel.privileges import Identity
from jackfield.kernel.unix_sockets import FileIdentity
from jackfield.server import Server
from jackfield.services.echo import Echo

NOBODY: t.Final = pwd.getpwnam("nobody")
ANY: t.Final = "tcp://127.0.0.1:0"

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def other_group() -> grp.struct_group:
    """A group that is not nobody's own, nor root's."""
    return next(g for g in grp.getgrall() if g.gr_gid not in (0, NOBODY.pw_gid))


# --- who is meant ------------------------------------------------------------------------------


def found(user: str = "", group: str = "") -> Identity:
    identity = Identity.find(user, group)
    assert identity is not None
    return identity


def test_a_user_has_its_groups() -> None:
    identity = found("nobody")
    assert (identity.uid, identity.gid) == (NOBODY.pw_uid, NOBODY.pw_gid)
    assert set(identity.groups) == set(os.getgrouplist("nobody", NOBODY.pw_gid))
    assert identity.text == "--user nobody"
    assert found(str(NOBODY.pw_uid)) == Identity(
        identity.uid, identity.gid, identity.groups, f"--user {NOBODY.pw_uid}"
    )


def test_another_group() -> None:
    group = other_group()
    for identity in (
        found(f"nobody:{group.gr_name}"),
        found("nobody", group.gr_name),
        found("nobody", str(group.gr_gid)),
    ):
        assert (identity.uid, identity.gid) == (NOBODY.pw_uid, group.gr_gid)
        assert group.gr_gid in identity.groups


def test_numbers_need_no_name() -> None:
    assert found("4000000000:4000000001") == Identity(
        4000000000, 4000000001, (4000000001,), "--user 4000000000:4000000001"
    )


def test_a_group_alone_leaves_the_user() -> None:
    group = other_group()
    identity = found(group=group.gr_name)
    assert (identity.uid, identity.gid, identity.groups) == (
        os.geteuid(),
        group.gr_gid,
        (group.gr_gid,),
    )


def test_nobody_was_meant() -> None:
    assert Identity.find() is None


@pytest.mark.parametrize(
    ("user", "group", "message"),
    [
        ("no-such-user", "", "--user no-such-user: there is no such user here"),
        ("nobody", "no-such-group", "--group no-such-group: there is no such group here"),
        ("nobody:no-such", "", "--group no-such: there is no such group here"),
        ("nobody:", "", "the group is given once"),
        (":nogroup", "", "the group is given once"),
        ("nobody:a", "b", "the group is given once"),
        ("4000000000", "", "--user 4000000000: this number has no group"),
        ("4294967295", "", "4294967295 is no id"),  # -1: setresuid(2) would change nothing
        ("nobody", "9" * 5000, "is no id"),
        ("\x1b[2J", "", r"\\x1b\[2J: there is no such user"),
    ],
)
def test_who_is_not_known(user: str, group: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        Identity.find(user, group)
    assert str(caught.value).isprintable()


# --- what is refused ---------------------------------------------------------------------------


def not_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(os, "getuid", lambda: 1000)


def test_not_root(monkeypatch: pytest.MonkeyPatch) -> None:
    not_root(monkeypatch)
    with pytest.raises(UsageError, match=r"^--user nobody: only root can .*; start it as root"):
        Server(ANY, Echo, user="nobody").open()
    with pytest.raises(UsageError, match="only root can"):
        privileges.drop(found("nobody"))


def test_who_is_that_user_already_needs_no_root(monkeypatch: pytest.MonkeyPatch) -> None:
    not_root(monkeypatch)
    identity = Identity(1000, os.getegid(), (*os.getgroups(), os.getegid()), "--user me")
    privileges.require(identity)
    fewer = Identity(1000, os.getegid() + 1, (os.getegid() + 1,), "--user me:other")
    with pytest.raises(UsageError):
        privileges.require(fewer)


def test_the_command_line_says_so_in_one_line() -> None:
    said = run("serve", "echo", ANY, "--user", "no-such-user")
    assert said.returncode == 2
    assert said.stderr == "jackfield: --user no-such-user: there is no such user here\n"


# --- the order of the steps, and what is checked afterwards ------------------------------------


class System:
    """The system calls by hand: what was called, and who we are then."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[str] = []
        self.uid = self.gid = 0
        self.groups: tuple[int, ...] = (0, 4)
        self.root_returns = ""
        for name in ("setgroups", "setresgid", "setresuid", "setgid", "setuid"):
            monkeypatch.setattr(os, name, self.named(name), raising=False)
        for name in ("setegid", "seteuid"):
            monkeypatch.setattr(os, name, self.named(name))
        for name in ("getuid", "geteuid"):
            monkeypatch.setattr(os, name, lambda: self.uid)
        for name in ("getgid", "getegid"):
            monkeypatch.setattr(os, name, lambda: self.gid)
        monkeypatch.setattr(os, "getgroups", lambda: list(self.groups))
        monkeypatch.setattr(privileges, "no_new_privileges", self.named("no_new_privs"))

    def named(self, name: str) -> t.Any:
        def call(*args: t.Any) -> None:
            self.calls.append(name)
            if args == (0,) and name != self.root_returns:
                raise PermissionError
            if name == "setgroups":
                self.groups = args[0]
            elif name == "setresgid":
                self.gid = args[0]
            elif name == "setresuid":
                self.uid = args[0]

        return call


@linux
def test_in_the_only_order_that_works(monkeypatch: pytest.MonkeyPatch) -> None:
    system = System(monkeypatch)
    privileges.drop(Identity(1000, 100, (100, 7), "--user x"))
    assert system.calls[:4] == ["setgroups", "setresgid", "setresuid", "no_new_privs"]
    assert set(system.calls[4:]) == {"setuid", "seteuid", "setgid", "setegid"}
    assert (system.uid, system.gid, system.groups) == (1000, 100, (100, 7))


@linux
@pytest.mark.parametrize("way", ["setuid", "seteuid", "setgid", "setegid"])
def test_root_that_can_be_had_again(monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    System(monkeypatch).root_returns = way
    with pytest.raises(SystemRefused, match="--user x: root could be had again; not serving"):
        privileges.drop(Identity(1000, 100, (100,), "--user x"))


@linux
@pytest.mark.parametrize("step", ["setgroups", "setresgid", "setresuid"])
def test_a_step_that_does_nothing(monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    System(monkeypatch)
    monkeypatch.setattr(os, step, lambda *args: None)
    with pytest.raises(SystemRefused, match="the system did not change all ids"):
        privileges.drop(Identity(1000, 100, (100,), "--user x"))


@linux
def test_a_step_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    System(monkeypatch)

    def fail(groups: object) -> t.NoReturn:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "setgroups", fail)
    with pytest.raises(SystemRefused, match=r"^--user x: Operation not permitted$"):
        privileges.drop(Identity(1000, 100, (100,), "--user x"))


# --- for real ----------------------------------------------------------------------------------


def status_of(pid: int) -> dict[str, list[str]]:
    """/proc/PID/status."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.split() for name, _, value in (line.partition(":") for line in lines)}


def free_privileged_port() -> int:
    """One that only root may bind."""
    for port in range(1023, 600, -1):
        with socket.socket() as sock:
            try:
                sock.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    pytest.skip("no port under 1024 is free")


@as_root
@linux
@pytest.mark.parametrize("group", ["", "other"])
def test_who_serves(group: str) -> None:
    """Bound as root to a port under 1024, served as nobody: every id, group and capability."""
    port = free_privileged_port()
    gid = other_group().gr_gid if group else NOBODY.pw_gid
    options = ["--group", str(gid)] if group else []
    groups = {str(gid), *map(str, os.getgrouplist("nobody", gid))}
    with Serving(
        "serve", "echo", f"tcp://127.0.0.1:{port}", "--user", "nobody", *options
    ) as server:
        assert server.port() == port
        status = status_of(server.process.pid)
        assert status["Uid"] == [str(NOBODY.pw_uid)] * 4
        assert status["Gid"] == [str(gid)] * 4
        assert set(status["Groups"]) == groups
        for name in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
            assert int(status[name][0], 16) == 0, name
        assert status["NoNewPrivs"] == ["1"]
        with server.connect(port) as client:
            client.sendall(b"hello")
            assert receive(client, 5) == b"hello"
        assert server.terminate() == 0


@as_root
@linux
def test_the_file_of_a_unix_socket_changes_hands(short_directory: Path) -> None:
    short_directory.chmod(0o777)  # nobody may remove it again
    path = short_directory / "s"
    with Serving("serve", "echo", f"unix:{path}", "--user", "nobody") as server:
        server.expect(rf"listening unix:{re.escape(str(path))} .*")
        status = path.stat()
        assert (status.st_uid, status.st_gid) == (NOBODY.pw_uid, NOBODY.pw_gid)
        assert status.st_mode & 0o777 == 0o600
        assert server.terminate() == 0
    assert not path.exists()


@as_root
def test_a_file_put_in_its_place_is_not_given_away(short_directory: Path) -> None:
    path = short_directory / "s"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))
        status = path.stat()
        made = FileIdentity(str(path), status.st_dev, status.st_ino, os.getpid())
        secret = short_directory / "secret"
        secret.write_text("root's")
        path.rename(short_directory / "moved")
        for put in (os.link, os.symlink):
            put(secret, path)
            with pytest.raises(SystemRefused, match=r"was replaced|cannot be given"):
                privileges.give(made, found("nobody"))
            path.unlink()
        with pytest.raises(SystemRefused, match="cannot be given to the new owner"):
            privileges.give(made, found("nobody"))
        assert secret.stat().st_uid == os.geteuid()


RESTORES: t.Final = """
import os
from jackfield import Protocol, Server

server = Server("tcp://127.0.0.1:0", Protocol, user="nobody")
server.open()
for number in (0, 1):
    for call in (os.setuid, os.seteuid, os.setgid, os.setegid):
        try:
            call(number)
        except PermissionError:
            continue
        raise SystemExit(f"{call.__name__}({number}) worked")
try:
    open("/etc/shadow").close()
except PermissionError:
    print("gone for good")
server.stop()
"""


@as_root
@linux
def test_a_program_cannot_get_root_back() -> None:
    said = subprocess.run(
        [sys.executable, "-c", RESTORES], capture_output=True, text=True, check=False, timeout=60
    )
    assert (said.stdout, said.stderr) == ("gone for good\n", "")


ALREADY: t.Final = """
import os, sys
from jackfield.cli import main, serve_options, serving
from jackfield.services import echo

os.setgroups([])
os.setresgid(*[int(sys.argv[1])] * 3)
os.setresuid(*[int(sys.argv[2])] * 3)
raise SystemExit(main(["serve", "echo", "tcp://127.0.0.1:0", "--user", "root"]))
"""
"""As somebody who may read the interpreter's files no more."""


@as_root
@linux
def test_who_is_not_root_is_told() -> None:
    ids = (str(NOBODY.pw_gid), str(NOBODY.pw_uid))
    said = subprocess.run(
        [sys.executable, "-c", ALREADY, *ids],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert said.returncode == 2
    assert said.stderr.startswith("jackfield: --user root: only root can change user and group")
