"""Bytes from a peer made safe for a terminal, which obeys control characters.

A terminal that is handed ESC may be told to retitle itself, hide lines or answer as if somebody
typed. So everything except text, TAB and line ends is shown as an escape instead::

    b"hi \\x1b[2J\\r\\n"  ->  b"hi \\\\x1b[2J\\r\\n"

The stream arrives in pieces that were cut anywhere: a UTF-8 character or CR LF split between
two of them is held until its other half comes. Must not know descriptors or sockets.
"""

from __future__ import annotations

import codecs
import re
import typing as t

UNSAFE: t.Final = re.compile(
    r"\r(?!\n)"  # a lone CR overwrites the line from its start
    r"|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]"  # C0 except TAB, LF, CR; DEL; C1
    "|[\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]"
)
"""What a terminal obeys, and what reorders or breaks lines (UAX #9). Joiners and no-break
spaces do not print either, but letters and emoji need them."""


class TerminalText:
    """One stream's escaper."""

    __slots__ = ("_decoder", "_held")

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")
        self._held = ""

    def escape(self, data: bytes, final: bool = False) -> bytes:
        """``data`` as UTF-8 that is safe to show. ``final``: nothing comes after it, so that
        what was held comes out. What is no UTF-8 is shown byte by byte as ``\\xff``."""
        text = self._held + self._decoder.decode(data, final)
        self._held = "\r" if text.endswith("\r") and not final else ""
        return UNSAFE.sub(_escaped, text.removesuffix(self._held)).encode()


def _escaped(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode()
