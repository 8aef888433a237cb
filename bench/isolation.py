"""A measurement's own network namespace: what others have open on the machine is not counted."""

from __future__ import annotations

import os
import shutil
import sys

ISOLATED = "--isolated"
"""The option that says that it is there already."""


def isolate(script: str, arguments: list[str]) -> None:
    """Run ``script`` anew in a network namespace of its own; return where that cannot be had."""
    if os.geteuid() == 0 and shutil.which("unshare") and shutil.which("ip"):
        start = 'ip link set lo up && exec "$@"'
        again = [sys.executable, script, *arguments, ISOLATED]
        os.execvp("unshare", ["unshare", "--net", "sh", "-c", start, "sh", *again])
