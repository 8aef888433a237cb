"""What a measurement was made on: enough to judge it by, nothing that names the machine."""

from __future__ import annotations

import platform
import re
from importlib import metadata
from pathlib import Path

from jackfield.bench import cores


def facts() -> dict[str, object]:
    """CPU model, cores, kernel and versions. No host name, user name or path."""
    assigned = cores.cores()
    return {
        "cpu": cpu_model(Path("/proc/cpuinfo")),
        "cores": len(cores.usable()),
        "pinned": assigned is not None,
        "system": platform.system(),
        "kernel": platform.release(),
        "architecture": platform.machine(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "jackfield": metadata.version("jackfield"),
    }


def cpu_model(cpuinfo: Path) -> str:
    """The first processor's model name, or "unknown" where the file does not tell."""
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", cpuinfo.read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found[1].strip() if found else "unknown"
