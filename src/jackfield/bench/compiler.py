"""Compile the C sources beside this file on the spot, once, into the user's cache.

It must not know what it compiles. The file's name carries a hash of the sources and of the
command, so that a changed source is a new file and an old one is never run by mistake.
"""

from __future__ import annotations

import atexit
import functools
import hashlib
import os
import shutil
import subprocess
import tempfile
import typing as t
from pathlib import Path

from jackfield.errors import SystemRefused

SOURCES: t.Final = Path(__file__).parent / "c"
OPTIMISATION: t.Final = "-O2"
FLAGS: t.Final = ("-std=c11", OPTIMISATION, "-Wall", "-Wextra")
COMPILE_TIMEOUT: t.Final = 120.0
"""Seconds: a few hundred lines take one; a machine that needs more cannot be measured on."""


def find_compiler() -> str:
    """The C compiler to call: ``$CC`` or the first of cc, gcc, clang.

    Raises ``SystemRefused`` where there is none.
    """
    for name in (os.environ.get("CC", ""), "cc", "gcc", "clang"):
        found = shutil.which(name) if name else None
        if found:
            return found
    raise SystemRefused(
        "bench compiles its load generator and found no C compiler (cc, gcc or clang): "
        "install one, or name it in CC"
    )


def build(name: str, sources: t.Sequence[Path], cache: Path | None = None) -> Path:
    """Compile and link C ``sources`` to the program ``name``; return its path.

    ``cache`` is where programs are kept; the default is ``$XDG_CACHE_HOME/jackfield``, or
    ``~/.cache/jackfield``. Raises ``SystemRefused``: no compiler, or one that fails.
    """
    compiler = find_compiler()
    program = (cache or cache_directory()) / f"{name}-{_digest(compiler, sources)}"
    if not program.exists():
        _compile(compiler, sources, program)
    return program


def cache_directory() -> Path:
    """Where compiled programs are kept: private to the user, made if it is missing.

    Where that cannot be, a temporary directory serves, removed when this process ends.
    """
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    place = Path(root) / "jackfield"
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        # What is run from here must be nobody else's.
        usable = os.access(place, os.W_OK | os.X_OK) and place.stat().st_uid == os.getuid()
    except OSError:
        usable = False
    return place if usable else _temporary_directory()


@functools.cache
def _temporary_directory() -> Path:
    place = tempfile.mkdtemp(prefix="jackfield-")
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    return Path(place)


def _digest(compiler: str, sources: t.Sequence[Path]) -> str:
    digest = hashlib.sha256(repr((compiler, FLAGS)).encode())
    headers = sorted({header for source in sources for header in source.parent.glob("*.h")})
    for path in [*headers, *sources]:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _compile(compiler: str, sources: t.Sequence[Path], program: Path) -> None:
    # Another bench may run at the same time: each compiles to a file of its own, and the
    # rename puts a complete program in place.
    unfinished = program.with_name(f"{program.name}.{os.getpid()}")
    command = [compiler, *FLAGS, *map(str, sources), "-o", str(unfinished)]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=COMPILE_TIMEOUT)
        unfinished.replace(program)
    except subprocess.CalledProcessError as error:
        raise SystemRefused(f"{compiler} failed: {_first_error(error.stderr)}") from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SystemRefused(f"{compiler} failed: {error}") from None
    finally:
        unfinished.unlink(missing_ok=True)


def _first_error(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return next((line for line in lines if "error" in line), lines[0] if lines else "no message")
