"""What ``jackfield serve`` does, however its command line was read. Must not know click."""

from __future__ import annotations

import gc
import os
import sys

from jackfield import engines, services
from jackfield import lazy_typing as t
from jackfield.cli import tls_options, trace_options
from jackfield.endpoint import printable
from jackfield.errors import UsageError
from jackfield.log import before_the_first_line, log
from jackfield.server import Server
from jackfield.services import Service, ServiceOptions

if t.TYPE_CHECKING:
    import logging

DEFAULT_ENDPOINT: t.Final = "tcp://127.0.0.1:8888"
"""This machine alone: to be reached from elsewhere is a decision."""


def run(
    service: str,
    endpoints: tuple[str, ...],
    *,
    engine: str,
    greeting: str | None,
    flood: float | None,
    log_level: str,
    **options: t.Any,
) -> None:
    """Serve until SIGINT or SIGTERM. ``options``: the rows of ``serve_options``, by their keys."""
    _log_to_stderr(log_level)
    late = _loads_late(engine, options)
    made = _make(service, ServiceOptions(greeting=greeting, flood=flood), late=late)
    instruments, report = trace_options.take(options, engine)
    server = Server(
        endpoints or DEFAULT_ENDPOINT,
        made.stream,
        datagram_factory=made.datagram or _no_datagrams(service),
        engine=engine,
        tls=tls_options.server_config(options),
        instruments=instruments,
        **options,
    )
    server.open()
    # Once it runs: who waits for the lines may send a signal at once, and it must be handled.
    server.engine.call_soon(server.announce)
    server.engine.call_soon(made.load)  # while those who connect are in the backlog
    server.engine.call_soon(log)  # loaded while nobody waits, and once for all who are forked
    gc.freeze()  # what was loaded stays: neither searched for garbage, nor copied by a fork
    gc.enable()
    server.run()
    if report is not None:
        report.end()


def _loads_late(engine: str, options: dict[str, t.Any]) -> bool:
    """Whether the service may be loaded when it listens already. Not if it will be another user,
    who may not be allowed to read our files. Several processes or threads share what the service
    keeps, so it is there before they part."""
    alone = engine in (engines.AUTO, *engines.ONE_THREAD) and not options["workers"]
    return alone and not options["user"] and not options["group"]


def _make(service: str, options: ServiceOptions, *, late: bool) -> Service:
    if ":" not in service:
        return services.make(service, options, late=late)
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
    import importlib

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


def _log_to_stderr(level: str) -> None:
    def prepare(logger: logging.Logger) -> None:
        from jackfield.cli.stderr_log import set_up

        set_up(logger, level)

    before_the_first_line(prepare)
