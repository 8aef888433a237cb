"""``jackfield serve``: a service, or a protocol of yours, on endpoints, under an engine."""

from __future__ import annotations

import importlib
import logging
import os
import sys
import typing as t

import click

from jackfield import engines, limits, services
from jackfield.cli import tls_options
from jackfield.endpoint import printable
from jackfield.errors import UsageError
from jackfield.server import Server
from jackfield.services import Service, ServiceOptions

DEFAULT_ENDPOINT: t.Final = "tcp://127.0.0.1:8888"
"""This machine alone: to be reached from elsewhere is a decision."""


def _rate(_context: click.Context, _option: click.Parameter, value: str | None) -> float | None:
    """``off``, or lines a second; None where nothing was said."""
    if value is None:
        return None
    if value == "off":
        return 0.0
    try:
        rate = float(value)
    except ValueError:
        rate = -1.0
    if not 0 <= rate < float("inf"):
        raise click.BadParameter(f"{value!r} is neither off nor a number of lines per second")
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
    "--max-held",
    type=COUNT,
    default=limits.MAX_HELD,
    show_default=True,
    help="Bytes that may wait for a client that does not read before it is disconnected; 0: no "
    "limit but that of rooms.",
)
@click.option(
    "--max-per-second",
    type=SECONDS,
    default=limits.MAX_PER_SECOND,
    show_default=True,
    help="New connections a second, lastingly; others are closed at once; 0: no limit.",
)
@click.option(
    "--threads-max",
    type=COUNT,
    default=limits.THREADS_MAX,
    show_default=True,
    help="Connections at a time with --engine thread; others wait in the backlog; 0: no limit.",
)
@click.option(
    "--thread-stack",
    type=COUNT,
    default=limits.THREAD_STACK,
    show_default=True,
    help="Bytes of stack of each thread; 0: the system's default.",
)
@click.option(
    "--status",
    type=SECONDS,
    default=0,
    metavar="SECONDS",
    help="Say this often how many were accepted, wait in the backlog, were refused and are "
    "connected, as SIGUSR1 does once.",
)
@click.option(
    "--flood",
    callback=_rate,
    metavar="off|RATE",
    help=f"Chat lines a second per user; off: no limit.  [default: {limits.FLOOD_RATE:g}]",
)
@click.option(
    "--workers",
    type=COUNT,
    default=0,
    show_default=True,
    help="Processes that serve together, rooms included; 0: this one alone.",
)
@click.option(
    "--accept",
    type=click.Choice(["auto", "shared", "reuseport"]),
    default="auto",
    show_default=True,
    help="One listener shared by the workers, or one for each (SO_REUSEPORT).",
)
@click.option(
    "--drain",
    type=SECONDS,
    default=limits.DRAIN,
    show_default=True,
    help="Seconds to flush all connections on SIGINT or SIGTERM.",
)
@click.option(
    "--proxy-from",
    metavar="ADDRESSES",
    default="",
    help="Serve only these proxies, which must send a PROXY header (v1 or v2) with their "
    "client's address: 127.0.0.1,10.0.0.0/8; unix: all peers on Unix sockets.",
)
@tls_options.serving
@click.option(
    "--user",
    metavar="NAME[:GROUP]",
    default="",
    help="Become this user once every endpoint is open; start as root.",
)
@click.option("--group", metavar="NAME", default="", help="The group to be in then.")
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
    flood: float | None,
    log_level: str,
    **options: t.Any,
) -> None:
    """Serve SERVICE on every ENDPOINT until SIGINT or SIGTERM.

    \b
    SERVICE   chat, echo, discard, daytime, time or chargen;
              or your own protocol as module:Factory
              (a coroutine as module:handle, with --engine asyncio or uvloop)
    ENDPOINT  tcp://127.0.0.1:8888 (the default), tcp://[::1]:8888,
              tls://[::1]:8888 (with --tls-cert and --tls-key),
              tcp://:8888 (every address), unix:/path, unix:@abstract,
              udp://127.0.0.1:8888, unixgram:/path, fd://3,
              systemd: (all sockets that systemd passed), systemd:NAME
    """
    _log_to_stderr(log_level)
    made = _make(service, ServiceOptions(greeting=greeting, flood=flood))
    server = Server(
        endpoints or DEFAULT_ENDPOINT,
        made.stream,
        datagram_factory=made.datagram or _no_datagrams(service),
        engine=engine,
        tls=tls_options.server_config(options),
        **options,
    )
    server.open()
    # Once it runs: who waits for the lines may send a signal at once, and it must be handled.
    server.engine.call_soon(server.announce)
    server.run()


def _make(service: str, options: ServiceOptions) -> Service:
    if ":" not in service:
        return services.make(service, options)
    services.require_none(service, options)
    factory = _load(service)
    return Service(factory, factory)


def _load(name: str) -> t.Callable[[], t.Any]:
    """Import ``module:Factory``, the module from the working directory too."""
    module_name, _, attribute = name.partition(":")
    shown = printable(name)
    if attribute.startswith("//") or module_name in ("unix", "unixgram", "systemd"):
        raise UsageError(f"{shown} is an endpoint; name the service first, as in echo {shown}")
    if module_name.endswith(".py"):
        raise UsageError(f"{shown}: a module is named without its .py")
    if not module_name or not all(map(str.isidentifier, module_name.split("."))):
        raise UsageError(f"{shown}: write module:Factory, as in myserver:MyProtocol")
    sys.path.insert(0, os.getcwd())
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as exc:
        raise UsageError(f"{shown}: there is no module {exc.name} here or installed") from exc
    factory = getattr(module, attribute, None)
    if not callable(factory):
        raise UsageError(f"{shown}: {module_name} has no protocol class or factory {attribute!r}")
    return t.cast(t.Callable[[], t.Any], factory)


def _no_datagrams(service: str) -> t.Callable[[], t.Any]:
    def refuse() -> t.NoReturn:
        raise UsageError(f"{service} is not served by datagrams; use tcp:// or unix:")

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
