"""The options of ``jackfield serve``: a row each. See ``options``."""

from __future__ import annotations

from jackfield import engines, limits
from jackfield import lazy_typing as t
from jackfield.cli import tls_options, trace_options
from jackfield.cli.options import Option, count, read, seconds


def rate(text: str) -> float:
    """Lines a second; ``off`` is 0, no limit."""
    if text == "off":
        return 0.0
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number < float("inf"):
        raise ValueError(f"{text!r} is neither off nor a number of lines per second")
    return number


OPTIONS: t.Final = (
    Option("--engine", "See jackfield engines.", default=engines.AUTO, show_default=True),
    Option(
        "--backlog",
        "Completed connections that the kernel keeps waiting.",
        kind=count,
        default=limits.BACKLOG,
        show_default=True,
    ),
    Option("--greeting", "A line sent on connect (echo, chat).", metavar="TEXT"),
    Option(
        "--idle-timeout",
        "Seconds without a complete message before a client is disconnected; 0: no limit.",
        kind=seconds,
        default=limits.IDLE_TIMEOUT,
        show_default=True,
    ),
    Option(
        "--login-timeout",
        "Seconds for a client's first complete message; 0: no limit.",
        kind=seconds,
        default=limits.LOGIN_TIMEOUT,
        show_default=True,
    ),
    Option(
        "--max-connections",
        "Connections at a time, in all workers together; 0: as many as there are descriptors.",
        kind=count,
        default=limits.MAX_CONNECTIONS,
        show_default=True,
    ),
    Option(
        "--max-per-host",
        "Connections at a time from one address, in all workers together; 0: no limit.",
        kind=count,
        default=limits.MAX_PER_HOST,
        show_default=True,
    ),
    Option(
        "--max-held",
        "Bytes that may wait for a client that does not read before it is disconnected; 0: no "
        "limit but that of rooms.",
        kind=count,
        default=limits.MAX_HELD,
        show_default=True,
    ),
    Option(
        "--max-per-second",
        "New connections a second, lastingly, in all workers together; others are closed at "
        "once; 0: no limit.",
        kind=seconds,
        default=limits.MAX_PER_SECOND,
        show_default=True,
    ),
    Option(
        "--threads-max",
        "Connections at a time with --engine thread; others wait in the backlog; 0: no limit.",
        kind=count,
        default=limits.THREADS_MAX,
        show_default=True,
    ),
    Option(
        "--thread-stack",
        "Bytes of stack of each thread; 0: the system's default.",
        kind=count,
        default=limits.THREAD_STACK,
        show_default=True,
    ),
    Option(
        "--status",
        "Say this often how many were accepted, wait in the backlog, were refused and are "
        "connected, in all workers and in each, as SIGUSR1 does once.",
        kind=seconds,
        default=0,
        metavar="SECONDS",
    ),
    Option(
        "--status-endpoint",
        "Where jackfield status asks how it does: unix:/path, or tcp://127.0.0.1:port, where "
        "every user of this machine can ask.",
        default="",
        metavar="ENDPOINT",
    ),
    Option(
        "--flood",
        f"Chat lines a second per user; off: no limit.  [default: {limits.FLOOD_RATE:g}]",
        kind=rate,
        metavar="off|RATE",
    ),
    Option(
        "--workers",
        "Processes that serve together, rooms included; 0: this one alone.",
        kind=count,
        default=0,
        show_default=True,
    ),
    Option(
        "--accept",
        "One listener shared by the workers, or one for each (SO_REUSEPORT).",
        kind=("auto", "shared", "reuseport"),
        default="auto",
        show_default=True,
    ),
    Option(
        "--drain",
        "Seconds to flush all connections on SIGINT or SIGTERM.",
        kind=seconds,
        default=limits.DRAIN,
        show_default=True,
    ),
    Option(
        "--proxy-from",
        "Serve only these proxies, which must send a PROXY header (v1 or v2) with their "
        "client's address: 127.0.0.1,10.0.0.0/8; unix: all peers on Unix sockets.",
        default="",
        metavar="ADDRESSES",
    ),
    *tls_options.SERVING,
    Option(
        "--user",
        "Become this user once every endpoint is open; start as root.",
        default="",
        metavar="NAME[:GROUP]",
    ),
    *trace_options.SERVING,
    Option("--group", "The group to be in then.", default="", metavar="NAME"),
    Option(
        "--log-level",
        "Lines of this kind and graver are logged.",
        kind=("debug", "info", "warning"),
        default="info",
        show_default=True,
    ),
)


def plain(words: list[str]) -> dict[str, t.Any] | None:
    """What ``serving.run`` is to be given, or None where click has to look at ``words``."""
    given = read(OPTIONS, words)
    if given is None or not given[0]:
        return None
    (service, *endpoints), options = given
    return {"service": service, "endpoints": tuple(endpoints), **options}
