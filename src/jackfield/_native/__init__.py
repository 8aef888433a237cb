"""The compiled parts: the hot paths of the engines ``native`` and ``uring``, in Cython and C.

Optional. Where they could not be compiled, ``missing`` says so, and the engines in Python serve.
They hold fields and move bytes; how a connection lives and ends is in ``transports/``, for all
engines alike, and no module here imports anything of jackfield but ``limits`` and ``errors``.
"""

from __future__ import annotations

import importlib

from jackfield import lazy_typing as t

PARTS: t.Final = ("loop", "uring_loop")
"""The modules that engines begin with; they import the others."""


def missing(part: str) -> str | None:
    """Why the compiled module ``part`` (``loop``, say) cannot be used here, or None."""
    try:
        importlib.import_module(f"{__name__}.{part}")
    except ModuleNotFoundError:
        return (
            "its C part was not compiled; install a C compiler and Python's headers "
            "(gcc, python3-dev), then jackfield again"
        )
    except ImportError as exc:
        return f"its C part cannot be loaded: {exc}"
    return None
