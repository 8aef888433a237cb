"""The log is loaded with its first line, and set up before that."""

from __future__ import annotations

import logging
import subprocess
import sys

from jackfield.log import INFO, NAME, log

PROGRAM = """\
import sys
from jackfield.log import before_the_first_line, log

before_the_first_line(lambda logger: print("set up", logger.name))
assert "logging" not in sys.modules
print("first")
assert log() is log()
before_the_first_line(lambda logger: print("late"))
"""


def test_it_is_the_logger_of_that_name() -> None:
    assert log() is logging.getLogger(NAME)
    assert INFO == logging.INFO


def test_it_is_loaded_and_set_up_when_it_is_first_asked_for() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.split("\n") == ["first", "set up jackfield", "late", ""]
