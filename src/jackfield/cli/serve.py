"""``jackfield serve``: a service, or a protocol of yours, on endpoints, under an engine."""

from __future__ import annotations

import importlib
import logging
import os
import sys
import typing as t

import click

from jackfield import engines, limits, services
from jackfield.errors import UsageError
from jackfield.server import Server
from jackfield.services import Service, ServiceOptions

DEFAULT_ENDPOINT: t.Final = "tcp://127.0.0.1:8888"
"""This machine alone: to be reached from elsewhere is a decision."""


class Flood(click.ParamType[float]):
    """``off``, or lines a second."""

    name = "off|RATE"

    def convert(
        self, value: t.Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        if value == "off":
            return 0.0
        try:
            rate = float(value)
        except ValueError:
            rate = -1.0
        if not 0 <= rate < float("inf"):
            self.fail(f"{value!r} is neither off nor a number of lines per second", param, ctx)
        return rate


SECONDS = click.FloatRange(min=0)
COUNT = click.IntRange(min=0)


@click.command()
@click.argument("service")
@click.argument("endpoints", nargs=-1, metavar="[ENDPOINT]...")
@click.option("--engine", default=engines.AUTO, show_default=True, help="See jackfield engines.")
@click.option(
    "--backlog",
    type=COUNT,
    default=limits.BACKLOG,
    show_default=True,
    help="Completed connections that the kernel keeps waiting.",
)
@click.option("--greeting", metavar="TEXT", help="A line sent on connect (echo, chat).")
@click.option(
    "--idle-timeout",
    type=SECONDS,
    default=limits.IDLE_TIMEOUT,
    show_default=True,
    help="Seconds without a complete message before a client is disconnected; 0: no limit.",
)
@click.option(
    "--login-timeout",
    type=SECONDS,
    default=limits.LOGIN_TIMEOUT,
    show_default=True,
    help="Seconds for a client's first complete message; 0: no limit.",
)
@click.option(
    "--max-connections",
    type=COUNT,
    default=limits.MAX_CONNECTIONS,
    show_default=True,
    help="Connections at a time; 0: as many as there are descriptors.",
)
@click.option(
    "--max-per-host",
    type=COUNT,
    default=limits.MAX_PER_HOST,
    show_default=True,
    help="Connections at a time from one address; 0: no limit.",
)
@click.option(
    "--flood",
    type=Flood(),
    default=limits.FLOOD_RATE,
    show_default=True,
    help="Chat lines a second per user; off: no limit.",
)
@click.option(
    "--drain",
    type=SECONDS,
    default=limits.DRAIN,
    show_default=True,
    help="Seconds to flush all connections on SIGINT or SIGTERM.",
)
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning"]),
    default="info",
    show_default=True,
)
def command(
    service: str,
    endpoints: tuple[str, ...],
    *,
    engine: str,
    greeting: str | None,
    flood: float,
    log_level: str,
    **options: t.Any,
) -> None:
    """Serve SERVICE on every ENDPOINT until SIGINT or SIGTERM.

    \b
    SERVICE   chat, echo, discard, daytime, time or chargen;
              or your own protocol as module:Factory
    ENDPOINT  tcp://127.0.0.1:8888 (the default), tcp://[::1]:8888,
              tcp://:8888 (every address), unix:/path, unix:@abstract,
              udp://127.0.0.1:8888, fd://3
    """
    _log_to_stderr(log_level)
    made = _make(service, ServiceOptions(greeting=greeting, flood=flood))
    server = Server(
        endpoints or DEFAULT_ENDPOINT,
        made.stream,
        datagram_factory=made.datagram or _no_datagrams(service),
        engine=engine,
        **options,
    )
    server.open()
    for line in server.describe():
        click.echo(line, err=True)
    for line in server.clamped():
        logging.getLogger("jackfield").warning("%s", line)
    server.run()


def _make(service: str, options: ServiceOptions) -> Service:
    if ":" not in service:
        return services.make(service, options)
    if options.greeting is not None:
        raise UsageError(f"--greeting is for echo and chat, not for {service}")
    factory = _load(service)
    return Service(factory, factory)


def _load(name: str) -> t.Callable[[], t.Any]:
    """Import ``module:Factory``, the module from the working directory too."""
    module_name, _, attribute = name.partition(":")
    sys.path.insert(0, os.getcwd())
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as exc:
        raise UsageError(f"{name}: there is no module {exc.name} here or installed") from exc
    except ValueError as exc:
        raise UsageError(f"{name}: write module:Factory, as in myserver:MyProtocol") from exc
    factory = getattr(module, attribute, None)
    if not callable(factory):
        raise UsageError(f"{name}: {module_name} has no protocol class or factory {attribute!r}")
    return t.cast(t.Callable[[], t.Any], factory)


def _no_datagrams(service: str) -> t.Callable[[], t.Any]:
    def refuse() -> t.NoReturn:
        raise UsageError(f"{service} is not served over UDP; use tcp:// or unix:")

    return refuse


class _Lines(logging.Formatter):
    """Plain lines; trouble is marked. The time is added by whatever collects them."""

    def format(self, record: logging.LogRecord) -> str:
        line = super().format(record)
        return f"{record.levelname.lower()}: {line}" if record.levelno > logging.INFO else line


def _log_to_stderr(level: str) -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(_Lines())
    logger = logging.getLogger("jackfield")
    logger.addHandler(handler)
    logger.setLevel(level.upper())
