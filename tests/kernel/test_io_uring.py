"""Why io_uring cannot be used, in words for who can change it."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from jackfield.kernel import io_uring


def test_it_works_or_says_why() -> None:
    why = io_uring.missing()
    assert why is None or (why and "\n" not in why)


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        ("0\n", "seccomp"),
        ("1\n", "kernel.io_uring_group"),
        ("2\n", "kernel.io_uring_disabled is 2"),
        (None, "seccomp"),  # before Linux 6.6
    ],
)
def test_who_forbids_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, level: str | None, expected: str
) -> None:
    path = tmp_path / "io_uring_disabled"
    if level is not None:
        path.write_text(level)
    monkeypatch.setattr(io_uring, "DISABLED", path)
    assert expected in io_uring.explain(errno.EPERM, "opening a ring")


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (errno.ENOSYS, "no io_uring"),
        (errno.ENOMEM, "ulimit -l"),
        (errno.EINVAL, "too old for offering buffers"),
        (errno.EMFILE, "offering buffers failed: Too many open files"),
    ],
)
def test_what_is_missing(number: int, expected: str) -> None:
    assert expected in io_uring.explain(number, "offering buffers")


def test_only_linux_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    assert io_uring.missing.__wrapped__() == "io_uring(7) is Linux's"
