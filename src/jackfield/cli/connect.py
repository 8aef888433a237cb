"""``jackfield connect``: talk to a server from a terminal or a pipe."""

from __future__ import annotations

import sys
import typing as t

import click

from jackfield.address import Endpoint
from jackfield.cli import tls_options
from jackfield.errors import UsageError
from jackfield.tools import client

INTERRUPTED: t.Final = 130
"""What a shell reports of a program that SIGINT (2) ended: 128 + 2."""


@click.command()
@click.argument("endpoint")
@tls_options.connecting
def command(endpoint: str, **options: t.Any) -> int:
    """Connect to ENDPOINT: send it standard input, write what it says to standard output.

    The end of the input (Ctrl-D) half-closes the connection; the command goes on until the
    server ends it. On a terminal, control characters from the server are shown escaped.
    Over UDP and Unix datagrams each line is one datagram.

    \b
    ENDPOINT  tcp://127.0.0.1:8888, tcp://[::1]:8888, udp://127.0.0.1:8888,
              tls://example.org:8888 (its certificate is checked),
              unix:/path, unix:@abstract, unixgram:/path,
              'udp://239.1.2.3:8888?interface=lo' (multicast),
              'udp://192.0.2.255:8888?broadcast=1'

    \b
    Exit status: 0 the server ended the connection in order, 1 it could not be
    reached or broke the connection, 2 bad endpoint, 130 Ctrl-C.
    """
    if sys.platform == "win32":
        raise UsageError("connect is not for Windows, whose select() cannot watch a terminal")
    try:
        there = Endpoint.parse(endpoint)
        with tls_options.hints():
            expected = tls_options.expected(options, there)
            client.converse(there, *client.fill_standard_descriptors(), expected)
    except KeyboardInterrupt:  # not left to click, which would print an empty line
        return INTERRUPTED
    return 0
