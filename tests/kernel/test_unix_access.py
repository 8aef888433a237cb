"""Who may connect to a Unix listener: by the file's mode, and by a list of users."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from jackfield.address import Address, Endpoint, resolve
from jackfield.errors import SystemRefused, UsageError
from jackfield.kernel import sockets

SOMEBODY = 54321
"""A user that is nobody here."""


def one(text: str) -> Address:
    return resolve(Endpoint.parse(text), passive=True)[0]


def test_the_mode_is_widened_before_it_listens(
    short_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Made with 0600, then changed, then listening: nobody connects under another mode."""
    seen = []
    path = short_directory / "s"
    chmod = os.chmod

    def note(where: str, mode: int) -> None:
        with socket.socket(socket.AF_UNIX) as probe:
            refused = probe.connect_ex(str(path)) != 0
        seen.append((stat.S_IMODE(path.stat().st_mode), mode, refused))
        chmod(where, mode)

    monkeypatch.setattr(os, "chmod", note)
    listener = sockets.listen(one(f"unix:{path}?mode=0666"), 5)
    assert seen == [(0o600, 0o666, True)]
    assert stat.S_IMODE(path.stat().st_mode) == 0o666
    listener.close()
    assert not path.exists()


def test_nothing_is_left_when_the_mode_cannot_be_set(
    short_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(where: str, mode: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "chmod", refuse)
    with pytest.raises(SystemRefused):
        sockets.listen(one(f"unix:{short_directory}/s?mode=0666"), 5)
    assert list(short_directory.iterdir()) == []


@pytest.mark.parametrize(
    ("uids", "refusal"),
    [
        ("", None),
        (f"?uid={os.geteuid()}", None),
        (f"?uid={SOMEBODY},{os.geteuid()}", None),
        (f"?uid={SOMEBODY}", "uid"),
    ],
)
def test_the_list_of_users(short_directory: Path, uids: str, refusal: str | None) -> None:
    listener = sockets.listen(one(f"unix:{short_directory}/s{uids}"), 5)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(listener.address.path)
        with listener.sock.accept()[0] as accepted:
            assert listener.refusal(accepted) == refusal
    listener.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
@pytest.mark.parametrize(
    ("options", "said"),
    [
        (f"?mode=0666&uid=0,{SOMEBODY}", "connected None"),
        ("?mode=0666&uid=0", "connected uid"),
        (f"?uid=0,{SOMEBODY}", "refused"),  # the mode counts too
    ],
)
def test_another_user(short_directory: Path, options: str, said: str) -> None:
    short_directory.chmod(0o755)
    listener = sockets.listen(one(f"unix:{short_directory}/s{options}"), 5)
    code = (
        "import os, socket, sys\n"  # first: the interpreter's files may not be for everybody
        f"os.setresuid({SOMEBODY}, {SOMEBODY}, {SOMEBODY})\n"
        "sys.exit(socket.socket(socket.AF_UNIX).connect_ex(sys.argv[1]) != 0)"
    )
    done = subprocess.run([sys.executable, "-I", "-c", code, listener.address.path], check=False)
    if done.returncode:
        assert said == "refused"
    else:
        with listener.sock.accept()[0] as accepted:
            assert said == f"connected {listener.refusal(accepted)}"
    listener.close()


def test_a_system_that_cannot_tell(short_directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    address = one(f"unix:{short_directory}/s?uid=0")
    monkeypatch.setattr(sys, "platform", "sunos5")
    with pytest.raises(UsageError, match="option uid: this system does not tell who connects"):
        sockets.listen(address, 5)
