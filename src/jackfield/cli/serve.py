"""``jackfield serve``: a service, or a protocol of yours, on endpoints, under an engine.

As click sees it, for help and for what is wrong: what is plain does not come here (``cli.main``).
"""

from __future__ import annotations

import typing as t

import click

from jackfield.cli import click_options, serving
from jackfield.cli.serve_options import OPTIONS


@click.command()
@click.argument("service")
@click.argument("endpoints", nargs=-1, metavar="[ENDPOINT]...")
@lambda function: click_options.add(OPTIONS, function)
def command(service: str, endpoints: tuple[str, ...], **options: t.Any) -> None:
    """Serve SERVICE on every ENDPOINT until SIGINT or SIGTERM.

    \b
    SERVICE   chat, echo, discard, daytime, time or chargen;
              or your own protocol as module:Factory
              (a coroutine as module:handle, with --engine asyncio or uvloop)
    ENDPOINT  tcp://127.0.0.1:8888 (the default), tcp://[::1]:8888,
              tls://[::1]:8888 (with --tls-cert and --tls-key),
              tcp://:8888 (every address), unix:/path, unix:@abstract,
              udp://127.0.0.1:8888, unixgram:/path, fd://3,
              systemd: (all sockets that systemd passed), systemd:NAME;
              these with TLS: fd://3?tls=1, systemd:NAME?tls=1
    """
    serving.run(service, endpoints, **options)
