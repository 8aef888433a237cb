"""The command line: a file a verb, imported when it is called. Parses and prints, nothing else.

A user's mistake is one line on standard error and exit status 2; a failure is one line and 1.
click reads command lines and helps who writes them; but loading it takes longer than a server's
start, so a plain ``jackfield serve`` is read without it (``options``).
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence

from jackfield import lazy_typing as t
from jackfield.errors import JackfieldError, SystemRefused, UsageError

COMPLETION: t.Final = "_JACKFIELD_COMPLETE"
"""Set where a shell asks click to complete a command line."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    try:
        status = _run(sys.argv[1:] if arguments is None else list(arguments))
        if sys.stdout is not None:  # None: it was closed before we began
            sys.stdout.flush()
        return status
    except (UsageError, SystemRefused) as exc:
        return _fail(str(exc), 2)
    except JackfieldError as exc:
        return _fail(str(exc), 1)
    except BrokenPipeError:
        # Whoever read our output (head, say) has seen enough. Python would complain at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as exc:
        return _fail(f"cannot write: {exc.strerror}", 1)
    except KeyboardInterrupt:
        return 130  # what a shell reports of a program that SIGINT ended
    finally:
        gc.enable()


def _run(words: list[str]) -> int:
    if words[:1] == ["serve"] and COMPLETION not in os.environ:
        gc.disable()  # until it listens: nothing that is loaded till then is garbage
        from jackfield.cli import serve_options, serving

        options = serve_options.plain(words[1:])
        if options is not None:
            serving.run(**options)
            return 0
    from jackfield.cli import verbs

    return verbs.run(words)


def _fail(message: str, status: int) -> int:
    if sys.stderr is not None:
        print(f"jackfield: {message}", file=sys.stderr)
    return status
