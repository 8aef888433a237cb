"""The log: Python's logger "jackfield", loaded when the first line is written.

Nothing is written before a server listens, and ``logging`` takes longer to load than everything
that listening needs of ours. So a module asks for the logger where it has something to say::

    log().warning("cannot fork: %s", exc)

Who sets up logging in a program does that as ever, by the logger's name. Must not know who writes.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

from jackfield import lazy_typing as t

if t.TYPE_CHECKING:
    import logging

NAME: t.Final = "jackfield"

INFO: t.Final = 20
"""``logging.INFO``, as its documentation has it: to ask about a level."""

_prepared: list[Callable[[logging.Logger], object]] = []


@functools.cache
def log() -> logging.Logger:
    """The logger."""
    import logging

    logger = logging.getLogger(NAME)
    for prepare in _prepared:
        prepare(logger)
    return logger


def before_the_first_line(prepare: Callable[[logging.Logger], object]) -> None:
    """Have ``prepare`` called with the logger when it is first asked for; now, if it was before."""
    _prepared.append(prepare)
    if log.cache_info().currsize:
        prepare(log())
