"""What pyproject.toml cannot say: the compiled parts, which an install may lack.

Without a C compiler, Python's headers or Cython the install succeeds, and the engines in Python
serve; ``jackfield engines`` tells what is missing. JACKFIELD_PURE=1 leaves them out on purpose.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from setuptools import Extension, setup

NATIVE = Path("src/jackfield/_native")

# Not on Windows, which has neither epoll(7) nor kqueue(2).
WANTED = os.name == "posix" and not os.environ.get("JACKFIELD_PURE")

# Every path of these modules is called with checked indices, and C's division is meant.
DIRECTIVES = {
    "language_level": "3",
    "boundscheck": False,
    "wraparound": False,
    "cdivision": True,
    "embedsignature": True,
}


def extensions() -> list[Extension]:
    """One per .pyx; each may fail alone."""
    if not WANTED:
        return []
    try:
        from Cython.Build import cythonize
    except ImportError:
        return []
    headers = [str(path) for path in NATIVE.glob("*.h")]
    modules = [
        Extension(
            f"jackfield._native.{path.stem}",
            [str(path)],
            include_dirs=[str(NATIVE)],
            depends=headers,
            extra_compile_args=["-O2", "-Wall", "-Werror=implicit-function-declaration"],
        )
        for path in sorted(NATIVE.glob("*.pyx"))
        if sys.platform == "linux" or not path.stem.startswith(("uring", "ring"))
    ]
    made: list[Extension] = cythonize(
        modules,
        compiler_directives=DIRECTIVES,
        include_path=["src"],
        build_dir="build/cython",
        quiet=True,
    )
    for extension in made:
        extension.optional = True  # only now: cythonize makes others of them, and forgets it
    return made


setup(ext_modules=extensions())
