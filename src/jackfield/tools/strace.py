"""strace(1) on a process or a command, and what it says as ``SocketCall``s. Linux only.

    with Strace.start(["nc", "127.0.0.1", "8888"]) as strace:
        for calls in strace.batches():
            ...

strace writes to a FIFO of ours, so that neither its output nor its descriptors meet those of the
command. A command is our own child, with strace beside it in a process group of its own
(``-DD``): so Ctrl-C reaches the command as ever, and strace sees it end. Must not know how calls
are shown.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import types
import typing as t
from collections.abc import Iterator, Sequence

from jackfield.endpoint import printable
from jackfield.errors import SystemRefused, UsageError
from jackfield.instrument import SocketCall
from jackfield.kernel import system_limits as system
from jackfield.tools.strace_lines import TRACED, StraceLines

BLOCK: t.Final = 65536
"""Bytes read at a time: all that a pipe holds."""

LOOK: t.Final = 0.1
"""Seconds between two looks whether strace ended without a word."""

PATIENCE: t.Final = 5.0
"""Seconds for what was told to end; then it is killed."""


WHOLE: t.Final = ("recvmmsg", "sendmmsg", "socketpair")
"""Calls whose arrays are wanted in full, for what they say of descriptors and sizes: strace would
show as many members as bytes of a payload."""


class Strace:
    """Traces until its process ends or ``stop``. Use ``attach`` or ``start`` to make one."""

    def __init__(self, command: Sequence[str], payload: int) -> None:
        """``command`` is traced; if it is empty, a process will be."""
        self.lines = StraceLines()
        self._program = find()
        self._payload = payload
        self._is_ours = bool(command)
        self._directory = tempfile.TemporaryDirectory(prefix="jackfield-trace-")
        self._fifo = os.path.join(self._directory.name, "calls")
        os.mkfifo(self._fifo, 0o600)
        self._reading = os.open(self._fifo, os.O_RDONLY | os.O_NONBLOCK)
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    def attach(cls, pid: int, payload: int = 0) -> Strace:
        """Trace process ``pid`` with all its threads, and the children it makes; ``payload``
        bytes are shown of each call. Raises ``UsageError`` or ``SystemRefused``."""
        check(pid)
        made = cls((), payload)
        made._run(["-p", str(pid)], stderr_to=os.path.join(made._directory.name, "errors"))
        return made

    @classmethod
    def start(cls, command: Sequence[str], payload: int = 0) -> Strace:
        """Run ``command`` and trace it with its children. Raises ``UsageError``."""
        if shutil.which(command[0]) is None:
            raise UsageError(f"there is no command {printable(command[0])} here")
        made = cls(command, payload)
        made._run(["-DD", "--seccomp-bpf", "--", *command])
        return made

    def _run(self, target: list[str], stderr_to: str = "") -> None:
        wanted = "trace=" + ",".join(name if name[0] == "%" else f"?{name}" for name in TRACED)
        options = ["-q", "-f", "-ttt", "-T", "-yy"]
        options += ["-e", wanted, "-e", "signal=none", "-e", f"abbrev=!{','.join(WHOLE)}"]
        size = ["-s", str(self._payload), "-o", self._fifo]
        try:
            with open(stderr_to or os.devnull, "wb") as errors:
                self._process = subprocess.Popen(
                    [self._program, *options, *size, *target], stderr=errors if stderr_to else None
                )
        except BaseException:
            self._release()
            raise

    def __enter__(self) -> t.Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: types.TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def traces_a_command(self) -> bool:
        """Is what is traced ours to end?"""
        return self._is_ours

    def batches(self) -> Iterator[list[SocketCall]]:
        """Calls as they return, those that came together in one list. Ends with what is traced.

        Raises ``SystemRefused`` where strace may not trace it."""
        while True:
            data = self._read()
            if data is None:
                continue
            if not data:
                break
            yield list(self.lines.feed(data))
        self._check_end()

    def _read(self) -> bytes | None:
        """What strace has written; b"" when it has ended, None when there is nothing yet."""
        process = t.cast("subprocess.Popen[bytes]", self._process)
        if not select.select([self._reading], [], [], LOOK)[0] and process.poll() is None:
            return None
        try:
            return os.read(self._reading, BLOCK)
        except BlockingIOError:  # the command has ended, and strace has not
            return None

    def _check_end(self) -> None:
        """strace is gone. Had it anything to trace?"""
        status = self.wait()
        if not status or self.lines.first:
            return
        if self._is_ours:
            raise SystemRefused("strace could not trace the command; it has said above why")
        raise SystemRefused(self._refusal())

    def _refusal(self) -> str:
        said = system.read("errors", self._directory.name) or ""
        last = printable(said.strip().rpartition("\n")[2])
        if "Operation not permitted" in said:
            return why_not()
        if "No such process" in said:
            return "the process has ended"
        return last or "strace ended without a word"

    def wait(self) -> int:
        """Wait for the end of the command, or of strace; its exit status as a shell has it."""
        process = t.cast("subprocess.Popen[bytes]", self._process)
        status = process.wait()
        return status if status >= 0 else 128 - status

    def stop(self) -> None:
        """End the tracing: a command is ended with it, a process that was there before lives on.
        May be called twice."""
        if self._process is not None:
            if self._process.poll() is None:
                self._process.send_signal(signal.SIGTERM)
                try:
                    self._process.wait(PATIENCE)
                except subprocess.TimeoutExpired:
                    self._process.kill()
                    self._process.wait()
            self._drain()
        self._release()

    def _drain(self) -> None:
        """Let strace, which writes to us, come to its end by itself."""
        deadline = time.monotonic() + PATIENCE
        while self._reading >= 0 and time.monotonic() < deadline:
            try:
                if not os.read(self._reading, BLOCK):
                    return
            except BlockingIOError:
                select.select([self._reading], [], [], LOOK)

    def _release(self) -> None:
        if self._reading >= 0:
            os.close(self._reading)
            self._reading = -1
        self._directory.cleanup()


# --- what is in the way ------------------------------------------------------------------------


def find() -> str:
    """Where strace is. Raises ``UsageError`` with what to do where it is not."""
    if sys.platform != "linux":
        raise UsageError(
            "strace is Linux's; a server of jackfield's is traced without it: serve ... --trace"
        )
    path = shutil.which("strace")
    if path is None:
        raise UsageError(
            "strace is not installed; install the package strace, or trace a server of jackfield's "
            "without it: jackfield serve ... --trace"
        )
    return path


def check(pid: int) -> None:
    """Raise ``UsageError`` where process ``pid`` is not there or cannot be traced by us."""
    if pid == os.getpid():
        raise UsageError(f"process {pid} is this command itself")
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        raise UsageError(f"no process {pid} is here") from None
    except PermissionError:
        raise UsageError(
            f"process {pid} is another user's; trace it as that user or root"
        ) from None
    tracer = system.status_number(pid, "TracerPid")
    if tracer:
        raise UsageError(f"process {pid} is being traced already, by process {tracer}")


def why_not(root: str = "/") -> str:
    """Why the system does not let us trace a process of our own, and what to do."""
    scope = system.sysctl("kernel.yama.ptrace_scope", root)
    if scope == [1]:
        return (
            "the system lets nobody but root trace a process that runs already "
            "(kernel.yama.ptrace_scope=1); run this as root, or start what is to be traced with "
            "it: jackfield trace -- COMMAND"
        )
    if scope and scope[0] > 1:
        return (
            f"the system lets {'root alone' if scope[0] == 2 else 'nobody'} trace processes "
            f"(kernel.yama.ptrace_scope={scope[0]})"
        )
    return (
        "no permission to trace; run this as root, or in a container with the capability SYS_PTRACE"
    )
