"""The services by name, as ``jackfield serve NAME`` takes them.

A service's module is imported when it is chosen, or, by a server that wants to listen first, when
that listens. Must not know engines or servers.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

from jackfield import lazy_typing as t
from jackfield import limits
from jackfield.errors import UsageError

if t.TYPE_CHECKING:
    from jackfield.services.small_datagrams import EchoDatagrams

Factory: t.TypeAlias = Callable[[], t.Any]


class ServiceOptions(t.NamedTuple):
    """What may be asked of a service: ``greeting``, a line sent on connect, and ``flood``, chat
    lines a second per user (0: no limit). None: nothing was said, so it is as usual."""

    greeting: str | None = None
    flood: float | None = None


class Service(t.NamedTuple):
    """A protocol factory for streams, and one for datagram sockets where there is one.
    ``load()`` loads what streams need, if the first of them has not yet."""

    stream: Factory
    datagram: Factory | None
    load: Callable[[], object] = lambda: None


def _late(make: Callable[[], Factory], datagram: Factory | None) -> Service:
    """A service whose stream factory is what ``make()`` returns."""
    once = functools.cache(make)

    def factory() -> t.Any:
        return once()()

    return Service(factory, datagram, once)


def _echo(options: ServiceOptions) -> Service:
    greeting = b"" if options.greeting is None else f"{options.greeting}\r\n".encode()
    own_ports: set[int] = set()

    def make() -> Factory:
        from jackfield.services.echo import Echo

        return lambda: Echo(greeting)

    return _late(make, lambda: _echo_datagrams(own_ports))


def _echo_datagrams(own_ports: set[int]) -> EchoDatagrams:
    from jackfield.services.small_datagrams import EchoDatagrams

    return EchoDatagrams(own_ports)


def _small(stream: str, datagram: str | None) -> Callable[[ServiceOptions], Service]:
    def make(_options: ServiceOptions) -> Service:
        from jackfield.services import small, small_datagrams

        own_ports: set[int] = set()
        twin = None if datagram is None else getattr(small_datagrams, datagram)
        return Service(getattr(small, stream), None if twin is None else lambda: twin(own_ports))

    return make


def _chat(options: ServiceOptions) -> Service:
    flood = limits.FLOOD_RATE if options.flood is None else options.flood

    def make() -> Factory:
        from jackfield.services.chat.line_door import LineDoor
        from jackfield.services.chat.replica import ChatReplica

        chat = ChatReplica()
        return lambda: LineDoor(chat, flood=flood, greeting=options.greeting)

    return _late(make, None)


_MAKERS: t.Final[dict[str, Callable[[ServiceOptions], Service]]] = {
    "chat": _chat,
    "chargen": _small("Chargen", None),
    "daytime": _small("Daytime", "DaytimeDatagrams"),
    "discard": _small("Discard", "DiscardDatagrams"),
    "echo": _echo,
    "time": _small("Time", "TimeDatagrams"),
}

NAMES: t.Final = tuple(_MAKERS)

GREETING: t.Final = frozenset({"chat", "echo"})
"""The services that greet."""


def make(name: str, options: ServiceOptions, *, late: bool = False) -> Service:
    """The service called ``name``. ``late``: its ``load`` is called later, in the one thread and
    process that serves. Raises ``UsageError`` for an unknown one, or for a greeting asked of one
    that says nothing of its own."""
    maker = _MAKERS.get(name)
    if maker is None:
        raise UsageError(
            f"unknown service {name!r}; known: {' '.join(NAMES)}, or your own as module:Factory"
        )
    require_none(name, options)
    if not _is_text(options.greeting or ""):
        raise UsageError("--greeting is not valid UTF-8")
    service = maker(options)
    if not late:
        service.load()
    return service


def require_none(name: str, options: ServiceOptions) -> None:
    """Refuse the options that mean nothing to the service, or other protocol, called ``name``."""
    if options.greeting is not None and name not in GREETING:
        raise UsageError(f"--greeting is for {' and '.join(sorted(GREETING))}, not for {name}")
    if options.flood is not None and name != "chat":
        raise UsageError(f"--flood is for chat, not for {name}")


def _is_text(words: str) -> bool:
    """False for an argument whose bytes were no UTF-8: Python keeps them as surrogates."""
    try:
        words.encode()
    except UnicodeEncodeError:
        return False
    return True
