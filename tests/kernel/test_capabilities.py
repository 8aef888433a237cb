"""Capabilities given up: what /proc says of the process afterwards."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys

import pytest

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="capabilities are Linux's"),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root has something to give up"),
]

PROGRAM = """
import os
from jackfield.errors import SystemRefused
from jackfield.kernel import capabilities
print(capabilities.give_up())
print(os.geteuid(), capabilities.effective())
for line in open("/proc/self/status"):
    if line.startswith(("CapPrm", "CapEff", "NoNewPrivs")):
        print(line.split()[1])
"""


def after(*command: str, **environment: str) -> list[str]:
    run = subprocess.run(
        [*command, sys.executable, "-c", PROGRAM],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    )
    assert run.returncode == 0, run.stderr
    return run.stdout.splitlines()


def test_root_keeps_its_name_and_nothing_else() -> None:
    none = "0" * 16
    assert after() == ["all capabilities given up", "0 0", none, none, "1"]


def test_called_by_sudo_it_becomes_who_called() -> None:
    nobody = pwd.getpwnam("nobody")
    said = after(SUDO_UID=str(nobody.pw_uid), SUDO_GID=str(nobody.pw_gid))
    none = "0" * 16
    assert said[0] == f"root given up for user {nobody.pw_uid}, who called sudo"
    assert said[1:] == [f"{nobody.pw_uid} 0", none, none, "1"]


@pytest.mark.parametrize("word", ["", "0", "-1", "root"])
def test_words_that_are_not_sudos(word: str) -> None:
    assert after(SUDO_UID=word)[:2] == ["all capabilities given up", "0 0"]


def test_who_has_none_gives_none_up() -> None:
    if shutil.which("setpriv") is None:
        pytest.skip("needs setpriv (util-linux)")
    assert after("setpriv", "--bounding-set=-all", "--inh-caps=-all")[0] == "no capabilities held"
