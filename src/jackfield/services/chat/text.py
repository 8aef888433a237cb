"""What a line may say. Everything a peer sends passes here before anybody else sees it.

Refused, never repaired: invalid UTF-8, control characters (ESC and a lone CR among them), and the
characters that reorder or break lines. Sans-I/O.
"""

from __future__ import annotations

import re
import typing as t

CONTROL: t.Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
"""C0 and C1, DEL: a terminal obeys them."""

REORDERING: t.Final = re.compile("[\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
"""Bidirectional marks, embeddings, overrides and isolates (UAX #9), line and paragraph
separators: with them a line can look like another's."""

HTTP_REQUEST: t.Final = re.compile(rb"[A-Z]+ [^ ]*[/:*][^ ]* HTTP/\d(\.\d)?|(?i:host):[ \t]*[^ ]+")
"""A request line, or the Host field that follows it (RFC 9112, 3): a page in somebody's browser was
made to talk to us. The page chooses how long the request line is, and one over the bound is
discarded unseen; the field behind it is the browser's own."""


def is_http_request(line: bytes) -> bool:
    """Is this one of the two lines that every HTTP request begins with?"""
    return (b" HTTP/" in line or line[4:5] == b":") and HTTP_REQUEST.fullmatch(line) is not None


def refusal(line: bytes) -> str | None:
    """Why ``line`` may not be said, or None if it may."""
    try:
        text = line.decode()
    except UnicodeDecodeError:
        return "that line is not valid UTF-8"
    if text.isprintable():  # almost every line; what it excludes is looked at closely
        return None
    if CONTROL.search(text):
        return "that line contains control characters"
    if REORDERING.search(text):
        return "that line contains characters that reorder or break lines"
    return None
